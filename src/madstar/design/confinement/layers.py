"""The layers put together: for a worker, and for the command that runs the loop."""

from __future__ import annotations

import os
import resource
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...workers.limits import private_bytes
from ..limits import GRACE, Limits
from . import landlock, system
from .guard import Guard


@dataclass(frozen=True)
class Held:
    """Which layers the operating system gave: the rest is held by Python's guard and by the loop's looks.

    `files`: Landlock keeps writes below the folders. `network`: there is no interface in this process's
    network. `tcp`, `signals`: Landlock refuses TCP, and signals to processes outside. `privileges`: nothing
    can gain rights. `memory`: a hard limit of the kernel.
    """

    files: bool
    network: bool
    tcp: bool
    signals: bool
    privileges: bool
    memory: bool

    def to_dict(self) -> dict[str, bool]:
        """JSON data."""
        return asdict(self)

    @property
    def missing(self) -> tuple[str, ...]:
        """The layers that this system does not give, in words."""
        words = {
            "files": "writes outside the run's directory are held by Python only (no Landlock)",
            "network": "the network is held by Python only (no network namespace)",
            "privileges": "programs with more rights can be started (no no_new_privs)",
            "memory": "memory is looked at four times a second only (no RLIMIT_DATA)",
        }
        return tuple(text for name, text in words.items() if not getattr(self, name))


def confine(limits: Limits, writable: Sequence[Path], *, network: bool = True) -> Held:
    """Confine this worker process for good, before it is given anything that others decided.

    `writable` are the folders below which it may write, temporary files included. `network` False leaves
    the network's namespace as it is, where the parent has left it already.
    """
    os.environ["TMPDIR"] = tempfile.tempdir = str(writable[0])
    alone = (system.leave_network() or not system.has_network()) if network else not system.has_network()
    base = private_bytes()
    if base is not None:
        _lower(resource.RLIMIT_DATA, base + limits.memory + limits.memory // 4)
    _lower(resource.RLIMIT_FSIZE, limits.disk)
    _lower(resource.RLIMIT_CORE, 0)
    # A write beyond RLIMIT_FSIZE is an error of that write, and not the end of the process.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if os.getuid() != 0:  # the kernel counts all of a user's; root is never counted
        with suppress(OSError, ValueError):
            _lower(resource.RLIMIT_NPROC, _tasks_of_user() + limits.processes)
    privileges = system.no_new_privileges()
    system.drop_capabilities()
    layers = landlock.restrict(writable) if privileges else ()
    Guard(writable, processes=False).install()
    return Held(
        files="files" in layers,
        network=alone,
        tcp="tcp" in layers,
        signals="scopes" in layers,
        privileges=privileges,
        memory=base is not None,
    )


def confine_command(limits: Limits, seconds_left: float, writable: Sequence[Path]) -> Held:
    """Confine the process of the loop itself: no network, writes below its home only, an end by the clock.

    Workers are started after this and inherit it. Call it before anything else: a process of several threads
    may not enter a namespace of its own.
    """
    alone = system.leave_network() or not system.has_network()
    privileges = system.no_new_privileges()
    layers = landlock.restrict(writable) if privileges else ()
    Guard(writable, processes=True).install()
    # The default action of this signal ends the process; the loop itself stops long before.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds_left + GRACE)
    return Held("files" in layers, alone, "tcp" in layers, "scopes" in layers, privileges, True)


def _lower(which: int, most: int) -> None:
    """Set a limit, soft and hard, where it is not lower already."""
    soft, hard = resource.getrlimit(which)
    infinite = resource.RLIM_INFINITY
    lowest = min([most, *(each for each in (soft, hard) if each != infinite)])
    lowest = min(lowest, sys.maxsize - 1)
    with suppress(OSError, ValueError):
        resource.setrlimit(which, (lowest, lowest))


def _tasks_of_user() -> int:
    """Threads that this user has now, as the kernel counts them."""
    user, found = os.getuid(), 0
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with suppress(OSError):
                if process.stat().st_uid == user:
                    found += len(list((process / "task").iterdir()))
    return found


def told(data: dict[str, Any]) -> Held:
    """What `to_dict` wrote."""
    return Held(**{name: bool(data[name]) for name in Held.__dataclass_fields__})
