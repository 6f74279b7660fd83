"""A benchmark told while it goes on: a bar and what is under way on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..archive import EvaluationRow, RunRow
from ..protocol import BenchmarkProgress, Plan
from ..protocol.race import OK, Wanted
from .benchmark_terminal import score_words
from .lines import PROGRESS_SECONDS, Lines
from .quantities import MISSING, duration, one_line, plural


class Told:
    """A `BenchmarkWatcher` that knows the plan's words. It holds nothing; `close` may be called twice."""

    plan: Plan | None = None
    run = ""

    def began(self, plan: Plan, run: RunRow, done: int) -> None:
        """Note what is trained."""
        self.plan, self.run = plan, run.name

    def ended(self, wanted: Wanted, row: EvaluationRow) -> None:
        """Say nothing."""

    def tick(self, progress: BenchmarkProgress) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Let go of nothing."""

    def name(self, wanted: Wanted) -> str:
        """A training in words: task, setting, sweep point, and seed where it is not the first."""
        settings = {each.key: f"{each.task} {each.name}" for each in self.plan.settings} if self.plan else {}
        seed = f"  seed {wanted.seed}" if wanted.seed else ""
        return f"{settings.get(wanted.setting, wanted.setting)}  {wanted.point}{seed}"

    def line(self, wanted: Wanted, row: EvaluationRow) -> str:
        """A training that has ended, in one line."""
        begin = f"{self.name(wanted)}  {row.steps} steps  "
        if row.status != OK or self.plan is None:
            return f"{begin}{row.status}: {one_line(row.error)}"
        protocol = self.plan.protocol
        value, error = (
            row.values.get(protocol.selection_metric),
            row.errors.get(f"{protocol.selection}_micro"),
        )
        figure = MISSING if value is None else score_words(value, math.nan if error is None else error)
        return f"{begin}{protocol.selection} {figure}  in {duration(row.timings.get('total', 0.0))}"


def benchmark_watcher(stream: TextIO) -> Told:
    """A picture where `stream` is a terminal, plain lines elsewhere."""
    return LiveBenchmark(Console(file=stream)) if stream.isatty() else PlainBenchmark(stream)


class PlainBenchmark(Told):
    """Writes a line for each training that ends, and one on progress about every half minute.

    It never raises: where the stream can no longer be written to, it falls silent.
    """

    def __init__(self, stream: TextIO) -> None:
        self._lines, self._told = Lines(stream), 0.0

    def began(self, plan: Plan, run: RunRow, done: int) -> None:
        """Say how much there is to do."""
        super().began(plan, run, done)
        before = f", {plural(done, 'training')} done before" if done else ""
        points = plural(len(plan.points), "sweep point")
        self._lines.say(lambda: f"{run.name}: {plural(len(plan.settings), 'setting')}, {points} each{before}")

    def ended(self, wanted: Wanted, row: EvaluationRow) -> None:
        """Write one line."""
        self._lines.say(lambda: self.line(wanted, row))

    def tick(self, progress: BenchmarkProgress) -> None:
        """Write a line on progress, if the last was long enough ago."""
        if progress.seconds - self._told >= PROGRESS_SECONDS:
            self._told = progress.seconds
            self._lines.say(lambda: f"benchmark: {_told(progress)}")


class LiveBenchmark(Told):
    """Draws a bar and the trainings under way on `console`; `close` wipes them.

    It never raises: where drawing fails, it stops.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    def began(self, plan: Plan, run: RunRow, done: int) -> None:
        """Begin to draw."""
        super().began(plan, run, done)
        self._guard(self._begin)

    def ended(self, wanted: Wanted, row: EvaluationRow) -> None:
        """Tell of a training that failed; the bar counts the others."""
        if row.status != OK and self._live is not None:
            text = Text(self.line(wanted, row), style="yellow")
            self._guard(lambda: self._console.print(text, markup=False, highlight=False))

    def tick(self, progress: BenchmarkProgress) -> None:
        """Draw how it stands."""
        self._guard(lambda: self._draw(progress))

    def close(self) -> None:
        """Wipe the picture and give the terminal back. Closing again does nothing."""
        live, self._live = self._live, None
        if live is not None:
            self._guard(live.stop)

    def _begin(self) -> None:
        self.close()
        # Redrawn with each tick and never by a thread; stdout is left to results.
        self._live = Live(
            Text(f"{self.run}: starting", style="dim", no_wrap=True, overflow="ellipsis"),
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
        )
        self._live.start(refresh=True)

    def _draw(self, progress: BenchmarkProgress) -> None:
        if self._live is not None:
            self._live.update(self._picture(progress), refresh=True)

    def _picture(self, progress: BenchmarkProgress) -> RenderableType:
        width = self._console.width
        told = _told(progress)
        grid = Table.grid(padding=(0, 1))
        bar = min(40, width - len(told) - 2)
        cells: list[RenderableType] = [Text(told, no_wrap=True, overflow="ellipsis")]
        if bar >= 8:
            cells.insert(0, ProgressBar(total=1.0, completed=fraction(progress), width=bar))
        grid.add_row(*cells)
        lines: list[RenderableType] = [
            Text(self.run, style="bold", no_wrap=True, overflow="ellipsis"),
            grid,
        ]
        for wanted, step, total in progress.running:
            steps = f"step {step}/{total}" if total else "preparing"
            name = self.name(wanted)
            lines.append(
                Text(
                    f"{steps:<14} {name}", style="cyan" if total else "dim", no_wrap=True, overflow="ellipsis"
                )
            )
        return Group(*lines)

    def _guard(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception:  # Training must not end because it could not be drawn.
            live, self._live = self._live, None
            if live is not None:
                try:
                    live.stop()
                except Exception:
                    return


def fraction(progress: BenchmarkProgress) -> float:
    """The share done, by time where a pace is known, else by settings."""
    if progress.seconds_left is None:
        return progress.settled / max(1, progress.settings)
    whole = progress.seconds + progress.seconds_left
    return progress.seconds / whole if whole > 0 else 1.0


def _told(progress: BenchmarkProgress) -> str:
    failed = f", {progress.failed} failed" if progress.failed else ""
    left = ""
    if progress.seconds_left is not None:
        left = (
            f", at most {duration(progress.seconds_left)} left"
            if progress.seconds_left > 0
            else ", finishing"
        )
    return (
        f"{progress.settled}/{progress.settings} settings, {plural(progress.trainings, 'training')}{failed}, "
        f"{duration(progress.seconds)}{left}"
    )
