"""What a job says of itself: its steps while it runs, and how it ended as the fields of a row."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from .job import Outcome

Report = Callable[[dict[str, Any]], None]
_SECONDS = 0.5


def steps_told(report: Report) -> Callable[[int, int], None]:
    """Report steps at most twice a second: messages cost time that training could use."""
    last = 0.0

    def tell(step: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _SECONDS:
            last = now
            report({"step": step, "total": total})

    return tell


def row_fields(outcome: Outcome, result: Mapping[str, Any] | None = None, shared: int = 1) -> dict[str, Any]:
    """What an evaluation's row says of how a job ended; which job it was, the caller knows.

    `result` is what the handler said of this evaluation, all that it returned if None; where a job made
    several, its time is divided among these `shared`.
    """
    value = (outcome.value or {}) if result is None else result
    return {
        "steps": value.get("steps", 0),
        "tokens": value.get("tokens", 0),
        "status": value.get("status", outcome.status),
        "error": value.get("error", outcome.error),
        "values": value.get("values", {}),
        "errors": value.get("errors", {}),
        "curve": value.get("curve", ()),
        "timings": {**value.get("timings", {}), "total": outcome.seconds / shared},
        "worker": outcome.worker,
        "started_at": outcome.started_at,
        "finished_at": outcome.finished_at,
    }
