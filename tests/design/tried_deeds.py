"""Deeds that a confined process may do, and such that it may not. Run in processes of their own."""

import ctypes
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

MIB = 2**20


def all_of(work, told):
    """Each deed's end: "done", "refused" for those in C, or the error's type and words."""
    outside, there = Path(told["outside"]), Path(told["outside"]) / "there.txt"
    libc = ctypes.CDLL(None, use_errno=True)

    def in_c(result):
        if result >= 0:
            return "done"
        return "refused"

    def connect_in_c():
        opened = libc.socket(socket.AF_INET, socket.SOCK_STREAM, 0)
        port = told["port"].to_bytes(2, "big")
        return in_c(libc.connect(opened, b"\x02\x00" + port + bytes([127, 0, 0, 1]) + bytes(8), 16))

    class Limit(ctypes.Structure):
        _fields_ = (("soft", ctypes.c_uint64), ("hard", ctypes.c_uint64))

    def through_a_link():
        (work / "leads-out").symlink_to(outside)
        (work / "leads-out" / "new.txt").write_text("x")

    def temporary_file():
        with tempfile.TemporaryFile(dir=work) as file:
            file.write(b"x")

    def rename_inside():
        (work / "a.txt").write_text("x")
        (work / "a.txt").rename(work / "b.txt")

    def remove_tree_inside():
        (work / "tree" / "inner").mkdir(parents=True)
        (work / "tree" / "inner" / "file").write_text("x")
        shutil.rmtree(work / "tree")

    def large_file():
        with open(work / "large", "wb") as file:
            for _ in range(told["limits"]["disk"] // MIB + 2):
                file.write(bytes(MIB))

    def fork():
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)

    deeds = {
        "write inside": lambda: (work / "in.txt").write_text("x"),
        "read outside": there.read_text,
        "temporary file": temporary_file,
        "write to null": lambda: Path(os.devnull).write_text("x"),
        "rename inside": rename_inside,
        "remove tree inside": remove_tree_inside,
        "socket": socket.socket,
        "connect": lambda: socket.create_connection(("127.0.0.1", told["port"]), 2),
        "resolve": lambda: socket.getaddrinfo("example.org", 80),
        "write outside": lambda: there.write_text("changed"),
        "append outside": lambda: there.open("a").write("changed"),
        "os.open outside": lambda: os.open(outside / "new", os.O_CREAT | os.O_WRONLY),
        "remove outside": there.unlink,
        "rename outside": lambda: (work / "in.txt").rename(outside / "in.txt"),
        "link outside": lambda: os.link(work / "b.txt", outside / "b.txt"),
        "through a link": through_a_link,
        "make a folder outside": lambda: (outside / "folder").mkdir(),
        "truncate outside": lambda: os.truncate(there, 0),
        "chmod outside": lambda: there.chmod(0o777),
        "shared memory": Path("/dev/shm/madstar-test").touch,
        "fork": fork,
        "program": lambda: subprocess.run(["true"], check=True),
        "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
        "signal to the parent": lambda: os.kill(told["parent"], 0),
        "connect in C": connect_in_c,
        "open in C": lambda: in_c(libc.open(os.fsencode(there), os.O_WRONLY | os.O_TRUNC)),
        "unlink in C": lambda: in_c(libc.unlink(os.fsencode(there))),
        "raise limits in C": lambda: in_c(libc.setrlimit(2, ctypes.byref(Limit(2**62, 2**62)))),
        "signal in C": lambda: in_c(libc.kill(told["parent"], 0)),
        "namespace in C": lambda: in_c(libc.unshare(0x40000000)),
    }
    if not told["command"]:
        deeds["a large file"] = large_file
        deeds["much memory"] = lambda: bytearray(2 * told["limits"]["memory"]) and None
    if not told["kernel"]:
        deeds = {name: deed for name, deed in deeds.items() if not name.endswith("in C")}
    return {name: ended(deed) for name, deed in deeds.items()}


def ended(deed):
    try:
        said = deed()
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return said if said in ("done", "refused") else "done"
