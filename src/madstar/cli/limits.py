"""Limits of time and memory on what a command does in its own process."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from ..errors import ConfigurationError, GraphError


class _TimeIsOver(BaseException):
    """Not an Exception, so that a model which catches all of these does not go on."""


@contextmanager
def limited(what: str, seconds: float | None, gibibytes: float | None) -> Iterator[None]:
    """Run under limits; GraphError where they do not suffice.

    Args:
        what: What is done, in the words of an error: "hf:llama".
        seconds: By the clock, from when torch is loaded; None for no limit.
        gibibytes: Address space beyond what the process has now; None for no limit.

    Raises:
        ConfigurationError: a limit that is not above zero.
        GraphError: a limit was reached.
    """
    for name, value in (("time-limit", seconds), ("memory-limit", gibibytes)):
        if value is not None and not 0 < value < float("inf"):
            raise ConfigurationError(f"--{name} is {value:g}: give a number above 0")
    import torch  # noqa: F401  what it takes by itself is not the model's

    before = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.getsignal(signal.SIGALRM)
    if gibibytes is not None:
        most = _address_space() + int(gibibytes * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    try:
        if seconds is not None:
            signal.signal(signal.SIGALRM, _stop)
            # Again and again: where it comes in a destructor or a callback, Python drops it.
            signal.setitimer(signal.ITIMER_REAL, seconds, 0.2)
        yield
    except _TimeIsOver:
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise GraphError(f"{what}: not done within {seconds:g} s; raise --time-limit") from None
    except (MemoryError, GraphError) as error:
        if gibibytes is None or not _of_memory(error):
            raise
        raise GraphError(
            f"{what}: takes more than {gibibytes:g} GiB of memory; raise --memory-limit"
        ) from error
    finally:
        if seconds is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def _stop(number: int, frame: FrameType | None) -> None:
    raise _TimeIsOver


def _address_space() -> int:
    """Bytes of this process's address space; 0 where the system does not say."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[0]) * resource.getpagesize() if statm.exists() else 0


def _of_memory(error: BaseException) -> bool:
    """Whether memory ran out at the root of an error."""
    found: BaseException | None = error
    while found is not None:
        said = str(found)
        if isinstance(found, MemoryError) or "MemoryError" in said or "can't allocate memory" in said:
            return True
        found = found.__cause__ or found.__context__
    return False
