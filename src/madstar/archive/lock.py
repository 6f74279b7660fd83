"""One process works on a run: a lock that the kernel gives back when its holder dies, however it dies.

Two searches in one archive are fine: each writes rows of its own run. Two of the same run would train
the same candidates twice, neither knowing of the other.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from ..errors import ArchiveError, OutputError

LOCK_NAME = ".lock"
_HELD = (errno.EWOULDBLOCK, errno.EACCES)


class RunLock:
    """Holds a run for this process while the block runs.

    Whoever adds rows to a run holds its lock, and takes it before reading the rows to go on from:

        with RunLock(run.directory, run.name):
            row = archive.run(run.name)
            ...

    The outermost takes it, once: the lock belongs to this object and not to the process, so a second
    one for the same run is refused in the same process too. Reading a run needs no lock.

    It is advisory (flock on `.lock` in the run's directory, which is made if missing). Processes
    started in the meantime by exec, workers among them, do not inherit it. The file stays, for
    removing it would let two processes lock two files of one name; what stands in it says who holds
    the lock and is written for people.

    Raises ArchiveError while another holds the run, OutputError where the directory cannot be written
    to or its file system knows no locks.
    """

    def __init__(self, directory: Path, run: str) -> None:
        self.path, self.run = directory / LOCK_NAME, run
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _read(descriptor)
            os.close(descriptor)
            if error.errno not in _HELD:
                raise self._unwritable(error) from None
            raise ArchiveError(
                f"run {self.run} is being worked on by {holder}: wait for it, or stop it"
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        # Where the disk is full the lock holds all the same; it only cannot say whose it is.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} since {_now()}\n".encode(), 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
            os.close(descriptor)

    def _unwritable(self, error: OSError) -> OutputError:
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
        return OutputError(f"{self.path} cannot be locked ({reason}): make room, or choose another home")


def _read(descriptor: int) -> str:
    """Who holds a lock, as it says itself."""
    try:
        text = os.pread(descriptor, 200, 0).decode("utf-8", "replace")
    except OSError:
        text = ""
    return " ".join(text.split()) or "another process"


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime())
