"""What a confined process can and cannot do, tried in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from .conftest import HERE, some_limits

TRY = """
import ctypes, json, os, sys, threading
sys.path.insert(0, {here!r})
from pathlib import Path
from madstar.design.confinement import confine, confine_command, landlock, system
from madstar.design.limits import Limits
told = json.loads(sys.argv[1])
if not told["kernel"]:
    landlock.restrict = lambda *arguments, **named: ()
    system.leave_network = lambda: False
    system.drop_capabilities = lambda: False
work = Path(told["work"])
limits = Limits(**told["limits"])
if told["command"]:
    held = confine_command(limits, 60.0, [work])
else:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    held = confine(limits, [work])
import tried_deeds
print(json.dumps({{"held": held.to_dict(), "missing": held.missing, **tried_deeds.all_of(work, told)}}))
"""


def tried(tmp_path: Path, *, kernel: bool = True, command: bool = False) -> dict[str, Any]:
    """How each deed of `tried_deeds` ended in a fresh confined process: "done", or the error."""
    work, outside = tmp_path / "work", tmp_path / "outside"
    work.mkdir()
    outside.mkdir()
    (outside / "there.txt").write_text("as it was")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        told = {
            "work": str(work),
            "outside": str(outside),
            "limits": some_limits().to_dict(),
            "port": listening.getsockname()[1],
            "parent": os.getpid(),
            "kernel": kernel,
            "command": command,
        }
        done = subprocess.run(
            [sys.executable, "-c", TRY.format(here=HERE), json.dumps(told)],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    assert (outside / "there.txt").read_text() == "as it was" or not kernel
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


INSIDE = [
    "write inside",
    "read outside",
    "temporary file",
    "write to null",
    "rename inside",
    "remove tree inside",
]
PYTHON = [
    "socket", "connect", "resolve", "write outside", "append outside", "os.open outside", "remove outside",
    "rename outside", "link outside", "through a link", "make a folder outside", "truncate outside",
    "chmod outside", "shared memory",
]  # fmt: skip
STARTING = ["fork", "program", "spawn", "signal to the parent"]
KERNEL = ["connect in C", "open in C", "unlink in C", "raise limits in C", "signal in C", "namespace in C"]


def test_a_worker_is_held_by_kernel_and_python(tmp_path: Path) -> None:
    ended = tried(tmp_path)
    held = ended["held"]
    for name in INSIDE:
        assert ended[name] == "done", (name, ended[name])
    for name in (*PYTHON, *STARTING):
        assert ended[name].startswith(("ConfinementError", "OSError", "FileExistsError")), (name, ended[name])
    assert ended["a large file"].startswith("OSError")
    assert ended["much memory"].startswith("MemoryError")
    wanted = {
        "connect in C": "network",
        "open in C": "files",
        "unlink in C": "files",
        "signal in C": "signals",
    }
    for name in KERNEL:
        if held.get(wanted.get(name, "privileges"), True):
            assert ended[name] == "refused", (name, ended[name])


def test_without_the_kernels_means_python_refuses_and_it_is_said(tmp_path: Path) -> None:
    ended = tried(tmp_path, kernel=False)
    for name in (*PYTHON, *STARTING):
        assert ended[name].startswith(("ConfinementError", "OSError", "FileExistsError")), (name, ended[name])
    assert not ended["held"]["files"]
    assert any("Python only" in line for line in ended["missing"])


def test_the_loops_own_process_may_start_workers_and_nothing_beyond_its_home(tmp_path: Path) -> None:
    ended = tried(tmp_path, command=True)
    for name in (*INSIDE, "fork", "program"):
        assert ended[name] == "done", (name, ended[name])
    for name in PYTHON:
        assert ended[name].startswith(("ConfinementError", "OSError", "FileExistsError")), (name, ended[name])


def test_the_loops_own_process_ends_by_the_clock(tmp_path: Path) -> None:
    code = (
        "import time, madstar.design.confinement.layers as c\n"
        "from madstar.design.limits import Limits\n"
        "c.GRACE = 0.3\n"
        "from pathlib import Path\n"
        f"limits = Limits(**{some_limits().to_dict()!r})\n"
        f"c.confine_command(limits, 0.2, [Path({str(tmp_path)!r})])\n"
        "while True: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGALRM
