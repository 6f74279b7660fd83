"""Landlock (Linux 5.13 and later): writing below a few folders only, no TCP, no signals to others.

Reading is left free: Python, torch and the data lie in many places, and what is read cannot leave.
https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

from .system import LINUX, call

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION, _BENEATH = 1, 1
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_WRITE_FILE = 1 << 1
# Removing, making and linking files of every kind; moving between folders, cutting files: later versions.
_CHANGES = sum(1 << bit for bit in range(4, 13)) | _WRITE_FILE
_REFER, _TRUNCATE, _DEVICES = 1 << 13, 1 << 14, 1 << 15
_TCP = 0b11
_SCOPES = 0b11  # abstract UNIX sockets, signals
_SINCE = {"refer": 2, "truncate": 3, "tcp": 4, "devices": 5, "scopes": 6}


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _Rule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """The kernel's version of Landlock; 0 where there is none, or it is switched off."""
    if not LINUX:
        return 0
    try:
        return call(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    except OSError:
        return 0


def restrict(writable: Sequence[Path], devices: Sequence[Path] = (Path("/dev/null"),)) -> tuple[str, ...]:
    """Let this thread, and what it starts, write below these folders only; returns what else is held.

    The words are "files", "tcp", "scopes"; none where the kernel has no Landlock. `no_new_privileges` comes
    before. Folders must be there.
    """
    now = version()
    if not now:
        return ()
    files = _CHANGES
    for name, right in (("refer", _REFER), ("truncate", _TRUNCATE), ("devices", _DEVICES)):
        files |= right if now >= _SINCE[name] else 0
    tcp, scopes = now >= _SINCE["tcp"], now >= _SINCE["scopes"]
    ruleset = _Ruleset(files, _TCP if tcp else 0, _SCOPES if scopes else 0)
    size = 24 if scopes else 16 if tcp else 8
    try:
        descriptor = call(_CREATE, ctypes.byref(ruleset), ctypes.c_size_t(size), ctypes.c_uint32(0))
    except OSError:
        return ()
    try:
        for folder in writable:
            _allow(descriptor, folder, files)
        for device in devices:
            _allow(descriptor, device, files & (_WRITE_FILE | _TRUNCATE | _DEVICES))
        call(_RESTRICT, ctypes.c_int(descriptor), ctypes.c_uint32(0))
    except OSError:
        return ()
    finally:
        os.close(descriptor)
    return ("files", *(("tcp",) if tcp else ()), *(("scopes",) if scopes else ()))


def _allow(ruleset: int, path: Path, rights: int) -> None:
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _Rule(rights, opened)
        call(_ADD, ctypes.c_int(ruleset), ctypes.c_int(_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0))
    finally:
        os.close(opened)
