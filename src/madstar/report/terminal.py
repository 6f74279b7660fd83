"""A run's summary as tables in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..objectives import Objective
from ..search import Entry, RunSummary
from .advice import no_front
from .comparison import beaten
from .measures import error, heading, shown, units, value
from .quantities import amount, duration, plural
from .words import LEGEND, letters

_LABEL_WIDTH = 20


def print_summary(summary: RunSummary, console: Console) -> None:
    """Print what a run has found: the front beside the baselines, then figures on the search itself.

    Tables fit the console's width, in several parts where there are many objectives; only genomes
    may be longer, so that they can be copied whole.
    """
    _print_head(summary, console)
    if summary.front:
        _print_figures(summary, console)
        _print_genomes(summary, console)
    else:
        console.print(Text(no_front(summary), style="yellow"))
        console.print()
    _print_search(summary, console)


def _print_head(summary: RunSummary, console: Console) -> None:
    settings, run = summary.settings, summary.run
    depth = f"{settings.min_depth}" + (
        f" to {settings.max_depth}" if settings.max_depth > settings.min_depth else ""
    )
    lines = {
        "Run": f"{run.name}, {run.status} after {duration(run.seconds)}",
        "Data": summary.task,
        "Models": f"{depth} layers, width {settings.width}, {plural(settings.heads, 'head')}",
        "Rungs": ", ".join(settings.rungs),
    }
    grid = Table.grid(padding=(0, 2))
    for key, text in lines.items():
        grid.add_row(Text(key, style="dim"), Text(text))
    console.print(grid)
    console.print()


def _print_figures(summary: RunSummary, console: Console) -> None:
    measures = shown(summary.objectives)
    fair = [entry for entry in summary.baselines if entry.rung == summary.rung]
    marks = {entry.index: chr(ord("a") + place) for place, entry in enumerate(fair)}
    budget = summary.settings.rungs[summary.rung]
    console.print(
        Text(f"Front at rung {summary.rung + 1} of {len(summary.settings.rungs)} ({budget})", style="bold")
    )
    beats = _beaten_marks(summary, fair, marks)
    for part in _parts(summary, measures, console.width):
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("", max_width=_LABEL_WIDTH, overflow="fold")
        for measure in part:
            table.add_column(heading(measure), justify="right", overflow="fold")
        table.add_column("beats", no_wrap=True)
        for entry in summary.front:
            cells = [_cell(entry, measure) for measure in part]
            table.add_row(Text(entry.label, style="bold"), *cells, beats[entry.index])
        if fair:
            table.add_section()
        for entry in fair:
            cells = [_cell(entry, measure) for measure in part]
            table.add_row(f"{marks[entry.index]} {entry.label}", *cells, "", style="cyan")
        console.print(table)
    _print_notes(summary, measures, beats, console)


def _print_notes(
    summary: RunSummary, measures: Sequence[Objective], beats: dict[int, str], console: Console
) -> None:
    notes = [f"{units(measures)}; ± is one standard error."]
    if any(beats.values()):
        notes.append(
            "beats: the baselines it dominates, in the objectives, at this rung"
            + (
                "; ~ where a difference is less than twice its standard error."
                if any("~" in marks for marks in beats.values())
                else "."
            )
        )
    late = [entry.label for entry in summary.baselines if entry.rung != summary.rung]
    if late:
        notes.append(f"Not measured at this rung, so not compared: {', '.join(late)}.")
    for note in notes:
        console.print(Text(note, style="dim"))
    console.print()


def _beaten_marks(summary: RunSummary, fair: Sequence[Entry], marks: dict[int, str]) -> dict[int, str]:
    return {
        entry.index: " ".join(
            marks[b.baseline.index] + ("" if b.sure else "~") for b in beaten(entry, fair, summary.objectives)
        )
        for entry in summary.front
    }


def _parts(summary: RunSummary, measures: Sequence[Objective], width: int) -> list[list[Objective]]:
    """The measures in groups, each a table that fits the width."""
    labels = [len(entry.label) for entry in summary.front]
    labels += [len(entry.label) + 2 for entry in summary.baselines]
    beats = 2 + max(len("beats"), 3 * len(summary.baselines))
    room = width - min(_LABEL_WIDTH, max(labels, default=0)) - 2 - beats
    parts: list[list[Objective]] = []
    left = 0
    for measure in measures:
        cells = [_cell(entry, measure) for entry in (*summary.front, *summary.baselines)]
        needed = 2 + max(map(len, (heading(measure), *cells)))
        if not parts or needed > left:
            parts.append([])
            left = room
        parts[-1].append(measure)
        left -= needed
    return parts


def _cell(entry: Entry, measure: Objective) -> str:
    return amount(value(entry, measure), measure.unit, error(entry, measure))


def _print_genomes(summary: RunSummary, console: Console) -> None:
    console.print(Text("Layers from input to output, and genome", style="bold"))
    for entry in (*summary.front, *summary.baselines):
        style = "bold" if entry.candidate.role == "search" else "cyan"
        console.print(Text.assemble((f"{entry.label}  ", style), letters(entry.genome)))
        console.print(Text(f"  {entry.genome}", style="dim"), soft_wrap=True)
    console.print(Text(LEGEND, style="dim"))
    console.print()


def _print_search(summary: RunSummary, console: Console) -> None:
    counts = summary.validity
    reasons = ", ".join(f"{count} {status}" for status, count in summary.failures.items())
    lines = {
        "Hypervolume": f"{summary.hypervolume:.4g}" if summary.hypervolumes else "none yet",
        "Evaluations": f"{len(summary.evaluations):,}, {summary.failed} failed"
        + (f" ({reasons})" if reasons else ""),
        "Offspring": f"{counts.valid} valid, {counts.repaired} repaired, {counts.rejected} rejected, "
        f"{counts.duplicate} duplicate",
    }
    grid = Table.grid(padding=(0, 2))
    for key, text in lines.items():
        grid.add_row(Text(key, style="dim"), Text(text))
    console.print(grid)
