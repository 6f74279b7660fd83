"""What runs inside a worker process.

It reads one hello, builds the handler, says that it is ready, then answers one job after
another until the stream ends. Only the coordinator starts it; see `process.py`.
"""

import atexit
import contextlib
import faulthandler
import fcntl
import importlib
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from madstar.errors import in_one_line
from madstar.workers.frames import FrameReader, encode
from madstar.workers.lifeline import hold_on
from madstar.workers.limits import memory_ceiling, private_bytes, ran_out_of_memory
from madstar.workers.reporting import Report

Handler = Callable[[dict[str, Any], Report], dict[str, Any]]


class _Channel:
    """The stream to the coordinator; safe to send on from several threads."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, message: dict[str, Any]) -> None:
        frame = encode(message)
        with self._lock:
            self._stream.sendall(frame)

    def messages(self) -> Iterator[dict[str, Any]]:
        reader = FrameReader()
        while data := self._stream.recv(1 << 16):
            yield from reader.feed(data)


def main(descriptor: int) -> None:
    """Serve the coordinator at the other end of the socket until it hangs up."""
    _settle()
    channel = _Channel(socket.socket(fileno=descriptor))
    messages = channel.messages()
    hello = next(messages, None)
    if hello is None:
        return
    try:
        handler = _load(hello["target"])(hello["setup"])
        _one_thread()
    except BaseException as error:
        channel.send({"kind": "failed", "error": in_one_line(error)})
        return
    baseline = private_bytes()
    channel.send({"kind": "ready"})
    for message in messages:
        limit = message["memory_limit"]
        ceiling = None if limit is None or baseline is None else baseline + limit
        _answer(channel, handler, message, ceiling)
    _leave()


def _settle() -> None:
    """Make this process safe to run anything in."""
    lifeline = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    hold_on(lifeline)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the coordinator's business
    faulthandler.enable()
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # If the machine itself runs out of memory, let it take a worker rather than the coordinator.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def _leave() -> NoReturn:
    """Clean up and end, without taking large libraries apart piece by piece, which takes a second."""
    atexit._run_exitfuncs()
    _flush()
    os._exit(0)


def _load(target: str) -> Callable[[dict[str, Any]], Handler]:
    """Import the factory named "package.module:function"."""
    module, _, name = target.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    factory: Callable[[dict[str, Any]], Handler] = found
    return factory


def _one_thread() -> None:
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def _answer(channel: _Channel, handler: Handler, job: dict[str, Any], ceiling: int | None) -> None:
    """Run one job and send exactly one "done" for it, whatever the handler does."""

    def report(progress: dict[str, Any]) -> None:
        channel.send({"kind": "progress", "id": job["id"], "progress": progress})

    done: dict[str, Any] = {"kind": "done", "id": job["id"], "status": "ok", "value": None, "error": None}
    try:
        with memory_ceiling(ceiling):
            done["value"] = handler(job["payload"], report)
        if not isinstance(done["value"], dict):
            raise TypeError(f"the handler returned {type(done['value']).__name__}, not a dict")
        channel.send(done)
        return
    except BaseException as error:
        status = "memory" if ran_out_of_memory(error) else "error"
        done |= {"status": status, "value": None, "error": in_one_line(error)}
    _flush()
    channel.send(done)


def _flush() -> None:
    """Hand on what the job has printed, even if it has broken its own streams."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
