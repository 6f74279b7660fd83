"""A search told in plain lines, for logs and pipes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from ..archive import CandidateRow, EvaluationRow, RunRow
from ..objectives import Objective
from ..search import SearchSettings, Snapshot
from ..tasks import TextTask
from .lines import PROGRESS_SECONDS, Lines
from .measures import heading, look_up
from .quantities import amount, duration, left, plural
from .tally import failure, label_of


class PlainWatcher:
    """Writes a line for each evaluation, and one on progress about every half minute.

    It never raises: where the stream can no longer be written to, it falls silent.
    """

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lines, self._clock = Lines(stream), clock
        self._rungs, self._objectives = 0, tuple[Objective, ...]()
        self._begun, self._told = clock(), 0.0

    def began(self, run: RunRow, settings: SearchSettings, task: TextTask, resumed: bool) -> None:
        """Note when the run began, and how it is set."""
        self._begun, self._told = self._clock() - run.seconds, run.seconds
        self._rungs, self._objectives = len(settings.rungs), settings.parsed_objectives

    def evaluated(self, candidate: CandidateRow, evaluation: EvaluationRow) -> None:
        """Write one line: elapsed, candidate, rung, steps, status, objectives or error."""
        self._lines.say(lambda: self._line(candidate, evaluation))

    def tick(self, snapshot: Snapshot) -> None:
        """Write a line on progress, if the last was long enough ago."""
        if snapshot.seconds - self._told < PROGRESS_SECONDS:
            return
        self._told = snapshot.seconds
        self._lines.say(lambda: self._progress(snapshot))

    def close(self) -> None:
        """Nothing is held; a live watcher has something to let go of."""

    def _progress(self, snapshot: Snapshot) -> str:
        failed = sum(snapshot.failures.values())
        told = f", {failed} failed" if failed else ""
        return (
            f"{self._stamp(snapshot.seconds)} {snapshot.fraction:.0%} of the budget"
            f"{left(snapshot.seconds_left)}, {plural(snapshot.evaluations, 'evaluation')}{told}"
        )

    def _line(self, candidate: CandidateRow, evaluation: EvaluationRow) -> str:
        parts = [
            f"{self._stamp(self._clock() - self._begun)} {label_of(candidate)}",
            f"rung {evaluation.rung + 1}/{self._rungs}",
            f"{evaluation.steps} steps",
        ]
        if evaluation.stage == "repeat":
            parts.append(f"again with seed {evaluation.seed}")
        if evaluation.status != "ok":
            return "  ".join([*parts, failure(evaluation)])
        parts.append(evaluation.status)
        for objective in self._objectives:
            value = look_up(objective.name, evaluation.values, candidate.values)
            error = look_up(objective.name, evaluation.errors)
            parts.append(f"{heading(objective)} {amount(value, objective.unit, error)}")
        return "  ".join(parts)

    @staticmethod
    def _stamp(seconds: float) -> str:
        return f"[{duration(seconds):>7}]"
