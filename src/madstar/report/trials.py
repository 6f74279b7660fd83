"""A list of trainings told while it goes on: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from ..archive import EvaluationRow
from ..search.evaluation import TEST
from ..search.trials import Trial, TrialProgress, TrialWatcher
from .lines import PROGRESS_SECONDS, Lines
from .quantities import amount, duration, left, one_line, plural


class Trials(TrialWatcher):
    """A watcher that can be closed."""

    def close(self) -> None:
        """Let go of what is held. Closing again does nothing."""


def trials_watcher(stream: TextIO, what: str) -> Trials:
    """A bar where `stream` is a terminal, plain lines elsewhere.

    `what` names the list in one word, such as "validation".
    """
    if stream.isatty():
        return LiveTrials(Console(file=stream), what)
    return PlainTrials(stream, what)


class PlainTrials(Trials):
    """Writes a line for each training that ends, and one on progress about every half minute.

    It never raises: where the stream can no longer be written to, it falls silent.
    """

    def __init__(self, stream: TextIO, what: str) -> None:
        self._lines, self._what = Lines(stream), what
        self._total, self._done, self._told = 0, 0, 0.0

    def began(self, total: int, done: int) -> None:
        """Say how many there are to do."""
        self._total, self._done = total, done
        before = f", {done} done before" if done else ""
        self._lines.say(lambda: f"{self._what}: {plural(total, 'training')}{before}")

    def ended(self, trial: Trial, row: EvaluationRow) -> None:
        """Write one line."""
        self._done += 1
        self._lines.say(lambda: f"[{self._done}/{self._total}] {_line(trial, row)}")

    def tick(self, progress: TrialProgress) -> None:
        """Write a line on progress, if the last was long enough ago."""
        if progress.seconds - self._told >= PROGRESS_SECONDS:
            self._told = progress.seconds
            self._lines.say(lambda: f"{self._what}: {_told(progress)}")


class LiveTrials(Trials):
    """Draws one bar on `console`; `close` wipes it. It never raises: where drawing fails, it stops."""

    def __init__(self, console: Console, what: str) -> None:
        self._console, self._what = console, what
        self._progress: Progress | None = None
        self._task = TaskID(0)

    def began(self, total: int, done: int) -> None:
        """Begin to draw."""
        self._guard(lambda: self._begin(total, done))

    def ended(self, trial: Trial, row: EvaluationRow) -> None:
        """Tell of a training that failed; the bar counts the others."""
        if row.status != "ok" and self._progress is not None:
            line = _line(trial, row)
            self._guard(lambda: self._console.print(line, style="yellow", markup=False, highlight=False))

    def tick(self, progress: TrialProgress) -> None:
        """Draw how it stands."""
        self._guard(lambda: self._draw(progress))

    def close(self) -> None:
        """Wipe the bar and give the terminal back. Closing again does nothing."""
        progress, self._progress = self._progress, None
        if progress is not None:
            self._guard(progress.stop)

    def _begin(self, total: int, done: int) -> None:
        self.close()
        # Redrawn with each tick and never by a thread; stdout is left to results.
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[told]}", markup=False),
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
        )
        told = f"{done}/{total}, starting"
        self._task = self._progress.add_task(self._what, total=1.0, told=told)
        self._progress.update(self._task, completed=done / max(1, total))
        self._progress.start()
        self._progress.refresh()

    def _draw(self, progress: TrialProgress) -> None:
        if self._progress is not None:
            self._progress.update(self._task, completed=progress.fraction, told=_told(progress))
            self._progress.refresh()

    def _guard(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception:  # Training must not end because it could not be drawn.
            self.close()


def _told(progress: TrialProgress) -> str:
    failed = f", {progress.failed} failed" if progress.failed else ""
    spent = duration(progress.seconds)
    return f"{progress.done}/{progress.total} trained{failed}, {spent}{left(progress.seconds_left)}"


def _line(trial: Trial, row: EvaluationRow) -> str:
    begin = f"{trial.label}  seed {trial.seed}  {row.steps} steps  "
    if row.status != "ok":
        return f"{begin}{row.status}: {one_line(row.error)}"
    figure = amount(row.values.get(TEST), error=row.errors.get(TEST))
    return f"{begin}test {figure}  in {duration(row.timings.get('total', 0.0))}"
