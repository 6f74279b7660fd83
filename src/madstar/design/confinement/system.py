"""Calls of the Linux kernel that Python has no function for, by ctypes."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from typing import Any

LINUX = sys.platform == "linux"
_NO_NEW_PRIVILEGES, _DROP_BOUNDING = 38, 24
_LAST_CAPABILITY = 63
_VERSION_3 = 0x20080522
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000


@cache
def libc() -> Any:
    """The C library of this process."""
    return ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: Any) -> int:
    """A system call by number. Raises OSError with what the kernel said."""
    result = libc().syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return int(result)


def no_new_privileges() -> bool:
    """Nothing that this process starts can have more rights than it has, by setuid files or otherwise."""
    return LINUX and libc().prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def drop_capabilities() -> bool:
    """Give up what root may do beyond others: raise limits, enter namespaces, mount, trace.

    True where none are left, which is so from the start for those who are not root.
    """
    if not LINUX:
        return False
    for capability in range(_LAST_CAPABILITY + 1):
        libc().prctl(_DROP_BOUNDING, capability, 0, 0, 0)  # refused where there is none to drop
    header, data = _Header(_VERSION_3, 0), (_Data * 2)()
    return bool(libc().capset(ctypes.byref(header), ctypes.byref(data)) == 0)


def leave_network() -> bool:
    """Move this process, and all that it starts, into a network of its own that has no interface up.

    Root moves at once; others by a user namespace of their own, which a process of several threads may not
    enter and some systems refuse.
    """
    if not LINUX:
        return False
    user, group = os.getuid(), os.getgid()
    if libc().unshare(CLONE_NEWNET) == 0:
        return True
    if libc().unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        return False
    # Without a mapping files would belong to nobody. The group may be mapped once setgroups is given up.
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        try:
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
        except OSError:
            continue
    return True


def has_network() -> bool:
    """Whether this process has an interface beside the loopback, by the kernel's own list."""
    try:
        with open("/proc/self/net/dev") as file:
            names = [line.partition(":")[0].strip() for line in file if ":" in line]
    except OSError:
        return True
    return any(name != "lo" for name in names)


def only_thread() -> bool:
    """Whether this process has one thread."""
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False
