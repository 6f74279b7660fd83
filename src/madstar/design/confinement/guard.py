"""Python's own events watched: sockets, processes, files opened for writing outside, changes of the system.

It says clearly what is refused, and holds where the operating system has no means. It is no wall: code that
calls the C library by ctypes raises no event. The walls are in `landlock.py` and `system.py`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_PROCESSES = frozenset(
    (
        *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty"),
        *("os.startfile", "pty.spawn", "os.putenv", "os.kill", "os.killpg", "signal.pthread_kill"),
    )
)
# Events that change a file: places of its path, and of the descriptor of the folder it is relative to.
_PATHS: dict[str, tuple[tuple[int, int | None], ...]] = {
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.mkdir": ((0, 2),),
    "os.rename": ((0, 2), (1, 3)),
    "os.link": ((1, 3),),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, None),),
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.utime": ((0, 3),),
    "os.setxattr": ((0, None),),
    "os.removexattr": ((0, None),),
}
# Of these the link itself is changed where the path is one, and not what it leads to.
_OF_LINKS = frozenset(("os.remove", "os.rmdir", "os.mkdir", "os.rename", "os.link", "os.symlink"))
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_DEVICES = frozenset((os.devnull,))


class ConfinementError(PermissionError):
    """Something that the limits of a design run forbid was tried."""


class Guard:
    """An audit hook of one process; it cannot be taken away again.

    `processes` says whether other processes may be started and signalled. Limits of resources are not
    watched: the kernel does not let them be raised.
    """

    def __init__(self, writable: Sequence[Path], *, processes: bool) -> None:
        self._roots = tuple(str(path.resolve()) for path in writable)
        self._processes = processes

    def install(self) -> None:
        """Watch from now on."""
        sys.addaudithook(self._event)

    def _event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = isinstance(flags, int) and flags & _WRITING
            if writes or (isinstance(mode, str) and set(mode) & set("wax+")):
                self._check_path(path)
        elif event in _PATHS:
            for place, folder in _PATHS[event]:
                within = arguments[folder] if folder is not None and folder < len(arguments) else -1
                self._check_path(arguments[place], within, itself=event in _OF_LINKS)
        elif event.startswith("socket."):
            # A process of one's own, such as a pool's, is spoken to by a pair of sockets that exist already.
            if event not in ("socket.__new__", "socket.gethostname") or not _is_local(arguments):
                raise ConfinementError(f"no network is allowed here ({event})")
        elif not self._processes and event in _PROCESSES:
            raise ConfinementError(f"{event} is not allowed here")

    def _check_path(self, path: Any, folder: Any = -1, *, itself: bool = False) -> None:
        if isinstance(path, int):
            return  # a file that is open already
        try:
            name = os.fsdecode(path)
            if isinstance(folder, int) and folder >= 0:
                name = os.path.join(os.path.realpath(f"/proc/self/fd/{folder}"), name)
            if itself:
                above, last = os.path.split(name.rstrip("/"))
                whole = os.path.join(os.path.realpath(above or "."), last)
            else:
                whole = os.path.realpath(name)
        except (TypeError, ValueError):
            raise ConfinementError("a file was to be changed whose name is none") from None
        if whole in _DEVICES or any(whole == root or whole.startswith(f"{root}/") for root in self._roots):
            return
        raise ConfinementError(f"{whole} may not be written: only what is below {', '.join(self._roots)}")


def _is_local(arguments: tuple[Any, ...]) -> bool:
    """Whether a new socket is a UNIX one."""
    import socket

    return len(arguments) > 1 and arguments[1] == getattr(socket, "AF_UNIX", None)
