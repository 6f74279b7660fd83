"""One measurement in a fork of this process: it has what is built already, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable
from typing import Any


def in_fork(
    measure: Callable[[], dict[str, Any]], cpu_seconds: int, memory: int | None = None
) -> dict[str, Any]:
    """What `measure` gives (JSON data), or {"error": ...} where it fails, takes too long or too much.

    What it prints is dropped. `memory` is the most address space that it may take beyond the present one.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))
        if memory is not None:
            with open("/proc/self/statm") as file:
                own = int(file.read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (own + memory, own + memory))
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        try:
            answer = json.dumps(measure())
        except BaseException as error:
            answer = json.dumps({"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"})
        with open(writing, "w") as pipe:
            pipe.write(answer)
        os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if not text:
        return {"error": f"killed by signal {status & 127}: no answer in time or memory"}
    found: dict[str, Any] = json.loads(text)
    return found
