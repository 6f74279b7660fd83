"""One worker process as its coordinator sees it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import psutil

from madstar.errors import WorkerError
from madstar.workers.family import descendants, proportional_bytes, resident_bytes
from madstar.workers.frames import FrameError, FrameReader
from madstar.workers.job import Job

# The child gets the coordinator's search path, so that it finds the same madstar and the same target.
_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from madstar.workers.child import main; main(int(sys.argv[2]))"
)
_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
# Some models go through sets of words, whose order is drawn anew for each process unless this is fixed.
_ONE_ORDER = {"PYTHONHASHSEED": "0"}
_TAIL = 1 << 14  # bytes of a child's output kept to explain its death; a dump of many modules fits
_LAST_WORDS = (("terminate called", "what()", "libc++abi:"), ("Fatal Python error",))
_FOREIGN = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)
_CHUNK = 1 << 16
_TURN = 64  # chunks read from one child before others get their turn


@dataclass(frozen=True)
class Running:
    """A job on its worker, with the times that its outcome needs.

    `tried` says that a first try was ended from outside.
    """

    job: Job
    frame: bytes
    memory_limit: int | None
    began: float
    started_at: float
    tried: bool = False

    def again(self) -> "Running":
        """The same job, started anew now."""
        return replace(self, began=time.monotonic(), started_at=time.time(), tried=True)

    @property
    def deadline(self) -> float:
        """When the worker is to be killed, on the monotonic clock."""
        limit = self.job.time_limit
        return float("inf") if limit is None else self.began + limit


class WorkerProcess:
    """A child process with its socket, its output and the job it has.

    Every child leads a session of its own: a terminal's Ctrl-C does not reach it, and what it
    starts dies with it. All reading and writing here returns at once.

    Args:
        index: The worker's place in its pool.
        hello: The frame that tells the child what to serve.
        search_path: The child's `sys.path`.

    Raises:
        WorkerError: the operating system refuses a new process.
    """

    def __init__(self, index: int, hello: bytes, search_path: Sequence[str]) -> None:
        self.index = index
        self.born = time.monotonic()
        self.ready = False
        self.running: Running | None = None
        self.dismissed = False
        self.lost_at: float | None = None
        self.complaint: str | None = None
        self._outgoing = bytearray(hello)
        self._sent: Running | None = None
        self._reader = FrameReader()
        self._tail = b""
        self._at_ready = 0
        self._killed = False
        self.socket, theirs = socket.socketpair()
        try:
            self._process = _launch(theirs, search_path)
        except OSError as error:
            self.socket.close()
            raise WorkerError(f"a worker process cannot be started: {error.strerror or error}") from None
        finally:
            theirs.close()
        assert self._process.stdout is not None
        self.output = self._process.stdout
        os.set_blocking(self.output.fileno(), False)
        self.socket.setblocking(False)
        self._inspector = _inspector(self._process.pid)

    @property
    def idle(self) -> bool:
        """Whether it can take a job now."""
        return self.ready and self.running is None and not self.dismissed and self.lost_at is None

    def mark_ready(self) -> None:
        """Note that the child is set up, and how much memory it holds before any job.

        The time of a job that waits to be tried again runs from here.
        """
        self.ready = True
        self._at_ready = resident_bytes(self._process.pid)
        if self.running is not None:
            self.running = self.running.again()

    @property
    def wants_to_write(self) -> bool:
        """Whether bytes wait until the child reads."""
        return bool(self._outgoing)

    def send(self) -> None:
        """Write what the child's socket takes now, a new job's frame included."""
        if self.ready and self.running is not None and self._sent is not self.running:
            self._outgoing += self.running.frame
            self._sent = self.running
            self._tail = b""
        try:
            while self._outgoing:
                del self._outgoing[: self.socket.send(memoryview(self._outgoing)[: _CHUNK * 4].tobytes())]
        except BlockingIOError:
            pass
        except OSError:
            self._outgoing.clear()
            self.lose()

    def receive(self) -> list[dict[str, Any]]:
        """Read the messages that have come in; note it if the stream has ended or is broken."""
        messages: list[dict[str, Any]] = []
        try:
            for _ in range(_TURN):
                data = self.socket.recv(_CHUNK)
                if not data:
                    self.lose()
                    break
                messages.extend(self._reader.feed(data))
        except BlockingIOError:
            pass
        except FrameError as error:
            self.break_off(str(error))
        except OSError:
            self.lose()
        return messages

    def read_output(self) -> bool:
        """Keep the end of what the child has printed; False once its output has ended."""
        for _ in range(_TURN):
            try:
                data = self.output.read(_CHUNK)
            except OSError:
                return False
            if data is None:
                return True
            if not data:
                return False
            self._tail = (self._tail + data)[-_TAIL:]
        return True

    def break_off(self, complaint: str) -> None:
        """Treat the child as lost because it does not keep to the protocol."""
        self.complaint = f"broke the worker protocol: {complaint}"
        self.lose()

    def lose(self) -> float:
        """Note that the child is beyond reach, and return since when."""
        if self.lost_at is None:
            self.lost_at = time.monotonic()
        return self.lost_at

    def exited(self) -> bool:
        """Whether the process has ended. Does not reap it: until then its group's number is its own."""
        if self._inspector is None:
            return True
        try:
            return bool(self._inspector.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD))
        except psutil.Error:
            return True

    def family(self) -> list[int]:
        """Return the processes that the child has started and those that these have."""
        return descendants(self._process.pid)

    def growth(self, family: Sequence[int] = (), *, exact: bool = False) -> int:
        """Return the resident bytes that the child has gained since it was ready, its family's included.

        A forked process shares most of its pages with its parent; only `exact` does not count them twice.
        """
        measure = proportional_bytes if exact and family else resident_bytes
        return sum(map(measure, (self._process.pid, *family))) - self._at_ready

    def kill(self) -> None:
        """Kill the child, its group and its descendants that have left the group."""
        if self._killed:
            return  # once reaped, its number may be another's
        self._killed = True
        descendants: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            if self._inspector is not None:
                descendants = self._inspector.children(recursive=True)
        # Refused if all are gone or only a zombie is left.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for descendant in descendants:
            with contextlib.suppress(psutil.Error):
                descendant.kill()

    def hang_up(self) -> None:
        """Let an idle child end by itself."""
        self.dismissed = True
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.lose()

    def reap(self) -> bool:
        """Collect a dead child's status; False while it still dies."""
        return self._process.poll() is not None

    def release(self) -> None:
        """Close the coordinator's ends. The lifeline goes last: closing it kills what is left."""
        self.socket.close()
        self.output.close()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def killed_from_outside(self) -> bool:
        """Whether a signal ended the child that its own faults do not send; call it after `reap`.

        The kernel sends one where the machine is out of memory, whoever it was that took it.
        """
        return self.complaint is None and -(self._process.returncode or 0) in _FOREIGN

    def epitaph(self) -> str:
        """Return one line on how the child ended; call it after `kill` and `reap`."""
        self.read_output()
        code = self._process.returncode
        if self.complaint is not None:
            how = self.complaint
        elif code is None:
            how = "does not end although it was killed"
        elif code < 0:
            how = f"killed by signal {-code}{_signal_name(-code)}"
        else:
            how = f"exited with status {code}"
        last = _telling_line(self._tail)
        return (f"{how}: {last}" if last else how)[:300]


def _launch(theirs: socket.socket, search_path: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _START, json.dumps(list(search_path)), str(theirs.fileno())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        pass_fds=[theirs.fileno()],
        start_new_session=True,
        env=dict(os.environ) | dict.fromkeys(_ONE_THREAD, "1") | _ONE_ORDER,
    )


def _inspector(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None


def _signal_name(number: int) -> str:
    try:
        return f" ({signal.Signals(number).name})"
    except ValueError:
        return ""


def _telling_line(output: bytes) -> str:
    """Return the line that says most about a death: a runtime's last words, else the last line."""
    lines = [line.strip() for line in output.decode("utf-8", "replace").splitlines() if line.strip()]
    for beginnings in _LAST_WORDS:
        telling = [line for line in lines if line.startswith(beginnings)]
        if telling:
            return telling[-1]
    return lines[-1] if lines else ""
