"""What goes into a worker and what comes out of it."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from madstar.errors import ConfigurationError

Status = Literal["ok", "error", "timeout", "memory", "crash"]


@dataclass(frozen=True)
class Job:
    """One piece of work for one worker.

    Args:
        id: Names the job among those running at the same time.
        payload: JSON data handed to the handler.
        time_limit: Seconds from `submit` until the worker is killed; None for no limit.
        memory_limit: Bytes the job may take beyond what its worker held once it was set up;
            None for the pool's own limit.

    Raises:
        ConfigurationError: the id is empty or a limit is not a positive number.
    """

    id: str
    payload: dict[str, Any]
    time_limit: float | None = None
    memory_limit: int | None = None

    def __post_init__(self) -> None:
        if not self.id:
            raise ConfigurationError("a job's id is empty; give it a name")
        if self.time_limit is not None and not (math.isfinite(self.time_limit) and self.time_limit > 0):
            raise ConfigurationError(
                f"job {self.id!r}: time limit is {self.time_limit}; give seconds above 0, or None"
            )
        if self.memory_limit is not None and self.memory_limit <= 0:
            raise ConfigurationError(
                f"job {self.id!r}: memory limit is {self.memory_limit}; give bytes above 0, or None"
            )


@dataclass(frozen=True)
class Outcome:
    """How one job ended.

    Args:
        id: The job's id.
        status: "ok"; "error" if the handler raised or started too many processes; "timeout" or
            "memory" if it went beyond a limit; "crash" if its process died. A process that was
            killed from outside is no crash the first time: the job is tried once more.
        value: What the handler returned if the status is "ok", else None.
        error: One line that says what happened, None if the status is "ok".
        worker: The worker's place in the pool, from 0.
        seconds: Time from the start of the last try to the end, on a clock that never jumps.
        started_at: Seconds since the epoch when that try began.
        finished_at: `started_at` and `seconds` together, so that it is never the earlier one,
            wherever the machine's clock has been set meanwhile.
    """

    id: str
    status: Status
    value: dict[str, Any] | None
    error: str | None
    worker: int
    seconds: float
    started_at: float
    finished_at: float
