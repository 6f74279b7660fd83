"""The processes that a worker's job has started, and the memory that they hold together."""

import contextlib
from pathlib import Path

import psutil


def descendants(pid: int) -> list[int]:
    """Return the processes below one, ended ones not yet collected included; none where it is gone.

    The kernel's own lists are read where it keeps any: cheap enough for several looks a second,
    where searching all processes of the machine is not.
    """
    if not Path(f"/proc/{pid}/task/{pid}/children").exists():
        with contextlib.suppress(psutil.Error):
            return [child.pid for child in psutil.Process(pid).children(recursive=True)]
        return []
    found: list[int] = []
    waiting = [pid]
    while waiting:
        for child in _children(waiting.pop()):
            found.append(child)
            waiting.append(child)
    return found


def _children(pid: int) -> list[int]:
    """A process's children: each of its threads has a list of those that it has started."""
    children: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                children += map(int, (thread / "children").read_text().split())
    return children


def resident_bytes(pid: int) -> int:
    """Return a process's resident bytes, pages that it shares with others counted whole; 0 if gone."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def proportional_bytes(pid: int) -> int:
    """Return the same with shared pages divided among those who share them, where that is known."""
    try:
        full = psutil.Process(pid).memory_full_info()
    except psutil.Error:
        return 0
    return int(getattr(full, "pss", 0) or full.rss)
