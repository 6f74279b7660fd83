"""A ceiling on the memory of the running process, and how to tell that something hit it."""

import errno
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from madstar.errors import in_one_line

ENFORCED = sys.platform == "linux"
"""Whether the kernel counts all private memory against RLIMIT_DATA (elsewhere: only the heap's break)."""

_SIGNS = ("can't allocate memory", "cannot allocate memory", "bad_alloc", "bad allocation", "out of memory")


def private_bytes() -> int | None:
    """Return what the kernel counts against RLIMIT_DATA for this process; None where it does not tell."""
    if not ENFORCED:
        return None
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:")), None)


@contextmanager
def memory_ceiling(ceiling: int | None) -> Iterator[None]:
    """Let this process hold at most `ceiling` private bytes while the block runs.

    An allocation beyond it fails in place, with the allocating library's own error. None, or a
    platform without enforcement, leaves things as they are; an outer, lower limit stays in force.
    """
    if ceiling is None or not ENFORCED:
        yield
        return
    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    known = [limit for limit in (before, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([ceiling, sys.maxsize - 1, *known]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))


def ran_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory is what an exception, or one it came from, is about."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if isinstance(current, MemoryError) or (
            isinstance(current, OSError) and current.errno == errno.ENOMEM
        ):
            return True
        if isinstance(current, RuntimeError | ImportError) and speaks_of_memory(in_one_line(current)):
            return True
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return False


def speaks_of_memory(text: str) -> bool:
    """Tell whether a message is one that libraries print when an allocation failed."""
    lowered = text.lower()
    return any(sign in lowered for sign in _SIGNS)
