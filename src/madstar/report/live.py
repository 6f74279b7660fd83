"""A search told on a terminal: one picture, redrawn in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..archive import CandidateRow, EvaluationRow, RunRow
from ..objectives import Objective
from ..search import Running, SearchSettings, Snapshot
from ..tasks import TextTask
from .measures import heading, look_up, shown
from .quantities import amount, duration, left, plural
from .tally import Figures, Tally, failure, label_of

_MOST_ROWS = 12
# Lines that are not rows of the front: bar, counts, last failure, heading, and a margin.
_OTHER_LINES = 8


class LiveWatcher:
    """Draws on `console`, which should write to a terminal's stderr; `close` wipes the picture.

    It never raises: where drawing fails, it stops drawing.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._picture: _Picture | None = None

    def began(self, run: RunRow, settings: SearchSettings, task: TextTask, resumed: bool) -> None:
        """Begin to draw."""
        self._guard(lambda: self._begin(run, settings, resumed))

    def evaluated(self, candidate: CandidateRow, evaluation: EvaluationRow) -> None:
        """Take in an evaluation; it is drawn with the next tick."""
        self._guard(lambda: self._picture.add(candidate, evaluation) if self._picture else None)

    def tick(self, snapshot: Snapshot) -> None:
        """Draw how the run stands."""
        self._guard(lambda: self._draw(snapshot))

    def close(self) -> None:
        """Wipe the picture and give the terminal back. Closing again does nothing."""
        live, self._live, self._picture = self._live, None, None
        if live is not None:
            self._guard(live.stop)

    def _begin(self, run: RunRow, settings: SearchSettings, resumed: bool) -> None:
        self.close()
        self._picture = _Picture(run.name, settings, resumed)
        # Redrawn with each tick and never by a thread; stdout is left to results.
        self._live = Live(
            self._picture,
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
        )
        self._live.start(refresh=True)

    def _draw(self, snapshot: Snapshot) -> None:
        if self._live is not None and self._picture is not None:
            self._picture.snapshot = snapshot
            self._live.refresh()

    def _guard(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception:  # A search must not end because it could not be drawn.
            self.close()


class _Picture:
    """What is on the screen, drawn at whatever width and height the terminal has by then."""

    def __init__(self, run: str, settings: SearchSettings, resumed: bool) -> None:
        self.run, self.settings, self.resumed = run, settings, resumed
        objectives = settings.parsed_objectives
        self.tally, self.measures = Tally(objectives), shown(objectives)
        self.snapshot: Snapshot | None = None
        self.last_failure = ""

    def add(self, candidate: CandidateRow, evaluation: EvaluationRow) -> None:
        self.tally.add(candidate, evaluation)
        if evaluation.status != "ok":
            self.last_failure = f"{label_of(candidate)} {failure(evaluation)}"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.snapshot is None:
            yield Text(f"Run {self.run}: starting {plural(self.settings.workers, 'worker')}", style="dim")
            return
        snapshot, width = self.snapshot, options.max_width
        parts: list[RenderableType] = [self._budget(snapshot, width), self._counts(snapshot)]
        if self.last_failure:
            parts.append(_cut(Text(f"Last failure: {self.last_failure}", style="yellow")))
        parts.append(self._workers(snapshot.running, width))
        room = console.size.height - _OTHER_LINES - len(snapshot.running)
        parts.append(self._front(width, max(1, min(_MOST_ROWS, room))))
        yield Group(*parts)

    def _budget(self, snapshot: Snapshot, width: int) -> RenderableType:
        told = f"{snapshot.fraction:4.0%}  {duration(snapshot.seconds)}{left(snapshot.seconds_left)}"
        grid = Table.grid(padding=(0, 1))
        cells: list[RenderableType] = [Text(self.run, style="bold", no_wrap=True)]
        bar = width - len(self.run) - len(told) - 3
        if bar >= 8:
            cells.append(ProgressBar(total=1.0, completed=snapshot.fraction, width=bar))
        grid.add_row(*cells, Text(told, no_wrap=True))
        return grid

    @staticmethod
    def _counts(snapshot: Snapshot) -> Text:
        line = f"{plural(snapshot.evaluations, 'evaluation')} of {plural(snapshot.candidates, 'candidate')}"
        if snapshot.failures:
            reasons = ", ".join(f"{count} {status}" for status, count in sorted(snapshot.failures.items()))
            line += f"; {sum(snapshot.failures.values())} failed ({reasons})"
        if snapshot.restarts:
            line += f"; {plural(snapshot.restarts, 'worker')} restarted"
        return _cut(Text(line))

    def _workers(self, running: tuple[Running, ...], width: int) -> RenderableType:
        grid = Table.grid(padding=(0, 1))
        if not running:
            return Text("workers idle", style="dim")
        for job in running:
            steps = f"step {job.step:>4}/{job.steps}" if job.steps else "preparing"
            rung = f"rung {job.rung + 1}/{len(self.settings.rungs)}"
            cells: list[RenderableType] = [
                _cut(Text(label_of(job.candidate), style="cyan")),
                Text(rung, no_wrap=True),
            ]
            if width >= 60:
                done = job.step / job.steps if job.steps else 0.0
                cells.append(ProgressBar(total=1.0, completed=done, width=max(8, min(24, width - 56))))
            grid.add_row(*cells, Text(steps, no_wrap=True))
        return grid

    def _front(self, width: int, rows: int) -> RenderableType:
        rung, front, baselines = self.tally.rung, self.tally.front, self.tally.baselines
        if rung is None:
            return Text("no candidate evaluated yet", style="dim")
        here = front[: max(rows - len(baselines), (rows + 1) // 2)]
        kept = baselines[: rows - len(here)]
        title = f"Front of {len(front)} at rung {rung + 1} ({self.settings.rungs[rung]})"
        if len(here) < len(front):
            title += f", the first {len(here)}"
        if self.resumed:
            title += ", since the run was resumed"
        # Room for a label, and for as many columns of "2.413 ± 0.012" as fit; the objectives come first.
        columns = self.measures[: max(1, (width - 30) // 16)]
        table = Table(box=None, padding=(0, 2, 0, 0))
        table.add_column("", no_wrap=True, overflow="ellipsis", max_width=28)
        for objective in columns:
            table.add_column(heading(objective), justify="right", no_wrap=True, overflow="ellipsis")
        for style, group in (("", here), ("dim", kept)):
            for figures in group:
                seeds = f" (n = {figures.seeds} seeds)" if figures.seeds > 1 else ""
                table.add_row(figures.label + seeds, *_cells(figures, columns), style=style)
        return Group(_cut(Text(title, style="bold")), table)


def _cells(figures: Figures, columns: Sequence[Objective]) -> list[str]:
    return [amount(look_up(o.name, figures.values), o.unit, look_up(o.name, figures.errors)) for o in columns]


def _cut(text: Text) -> Text:
    """A line that is cut where the terminal ends, and never wraps."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
