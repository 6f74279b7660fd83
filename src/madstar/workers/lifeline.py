"""Ties a worker's life to its coordinator's.

The coordinator holds the writing end of a pipe and never writes to it. When the coordinator is
gone, by whatever means, the kernel closes that end, and the whole process group of the worker
has to go: the worker and all that its job has started.
"""

import fcntl
import os
import select
import signal
import sys
import threading

_GLANCE = 500  # milliseconds between looks at who the parent is


def hold_on(pipe: int) -> None:
    """Kill this process's group as soon as the pipe's other end closes or the parent is gone.

    The caller must lead a process group of its own. Where the kernel can send the signal by
    itself it does so, which reaches even a job that never lets another thread run; a thread
    watches as well, for the other platforms and for a pipe end that a fork has inherited.
    """
    if sys.platform == "linux":
        fcntl.fcntl(pipe, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    watch = threading.Thread(target=_watch, args=(pipe, os.getppid()), name="lifeline", daemon=True)
    watch.start()


def _watch(pipe: int, parent: int) -> None:
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while os.getppid() == parent and not poll.poll(_GLANCE):
        pass
    os.killpg(0, signal.SIGKILL)
