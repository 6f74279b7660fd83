"""A run's summary as tables in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..objectives import Objective
from ..search import Entry, RunSummary
from .advice import no_front
from .comparison import beaten
from .measures import error, heading, reported, units, value
from .method import finalists, motif_seeds, promotion, strategy, trainings
from .quantities import amount, duration, plural
from .words import LEGEND, letters

if TYPE_CHECKING:
    from ..studies.retrained import Validation

# By column heading and candidate: how many seeds, the marks of baselines.
_SEEDS = "seeds"
Verdicts = dict[str, dict[int, str]]

_VERDICTS = {"better": "better than", "worse": "worse than", "tie": "a tie with"}
_LABEL_WIDTHS = (30, 23, 15)


def print_summary(summary: RunSummary, console: Console, validation: Validation | None = None) -> None:
    """Print what a run has found: the front beside the baselines, then figures on the search itself.

    With a validation, in short what retraining has shown.

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
    if validation is not None:
        _print_retrained(validation, console)


def _print_head(summary: RunSummary, console: Console) -> None:
    settings, run = summary.settings, summary.run
    depth = f"{settings.min_depth}" + (
        f" to {settings.max_depth}" if settings.max_depth > settings.min_depth else ""
    )
    lines = {
        "Run": f"{run.name}, {run.status} after {duration(run.seconds)}",
        "Data": summary.task,
        "Models": f"{depth} layers, width {settings.width}, {plural(settings.heads, 'head')}",
        "Search": strategy(settings),
        **({"Knowledge": str(run.config["knowledge"])} if run.config.get("knowledge") else {}),
        "Motifs": f"seeds {motif_seeds(settings)}",
        "Rungs": f"{', '.join(settings.rungs)}; promotion: {promotion(settings)}",
        "Finalists": finalists(settings),
    }
    _print_lines(lines, console)
    console.print()


def _print_figures(summary: RunSummary, console: Console) -> None:
    measures = reported(summary)
    fair = [entry for entry in summary.baselines if entry.rung == summary.rung]
    marks = {entry.index: chr(ord("a") + place) for place, entry in enumerate(fair)}
    labels = {entry.index: f"{marks[entry.index]} {entry.label}" for entry in fair}
    labels |= {entry.index: entry.label for entry in summary.front}
    verdicts = {**_seeds([*summary.front, *fair]), **_verdicts(summary, fair, marks)}
    budget = summary.settings.rungs[summary.rung]
    console.print(
        Text(f"Front at rung {summary.rung + 1} of {len(summary.settings.rungs)} ({budget})", style="bold")
    )
    entries = [*summary.front, *fair]
    for label_width, part in _parts(entries, labels, measures, verdicts, console.width):
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("", width=label_width, overflow="fold")
        for measure in part:
            table.add_column(heading(measure), justify="right", overflow="fold")
        for verdict in verdicts:
            table.add_column(verdict, no_wrap=True)
        for entry in entries:
            cells = [_cell(entry, measure) for measure in part]
            told = [by_entry.get(entry.index, "") for by_entry in verdicts.values()]
            table.add_row(labels[entry.index], *cells, *told, style=_style(entry))
        console.print(table)
    _print_notes(summary, measures, verdicts, console)


def _print_notes(
    summary: RunSummary, measures: Sequence[Objective], verdicts: Verdicts, console: Console
) -> None:
    notes = [f"{units(measures)}; ± is one standard error."]
    if _SEEDS in verdicts:
        notes.append("Seeds: n trainings with different seeds, of which the figures are means.")
    dominance = [name for name in verdicts if name != _SEEDS]
    if dominance:
        doubtful = any("~" in marks for by_entry in verdicts.values() for marks in by_entry.values())
        doubt = "; ~ where a difference is less than twice its standard error" if doubtful else ""
        notes.append(f"{' / '.join(dominance)}: dominance in the objectives at this rung{doubt}.")
    late = [entry.label for entry in summary.baselines if entry.rung != summary.rung]
    if late:
        notes.append(f"Not measured at this rung, so not compared: {', '.join(late)}.")
    for note in notes:
        console.print(Text(note, style="dim"))
    console.print()


def _seeds(entries: Sequence[Entry]) -> Verdicts:
    """How many trainings figures are means of; nothing where all are of one."""
    if all(trainings(entry) == 1 for entry in entries):
        return {}
    return {_SEEDS: {entry.index: f"n = {trainings(entry)}" for entry in entries}}


def _verdicts(summary: RunSummary, fair: Sequence[Entry], marks: dict[int, str]) -> Verdicts:
    """Whom each member of the front dominates, and by whom it is dominated; columns with nothing left out."""
    beats, loses = {}, {}
    for entry in summary.front:
        won = beaten(entry, fair, summary.objectives)
        beats[entry.index] = " ".join(marks[b.baseline.index] + ("" if b.sure else "~") for b in won)
        lost = [(other, beaten(other, [entry], summary.objectives)) for other in fair]
        loses[entry.index] = " ".join(
            marks[other.index] + ("" if found[0].sure else "~") for other, found in lost if found
        )
    columns = {"beats": beats, "loses to": loses}
    return {name: by_entry for name, by_entry in columns.items() if any(by_entry.values())}


def _parts(
    entries: Sequence[Entry],
    labels: dict[int, str],
    measures: Sequence[Objective],
    verdicts: Verdicts,
    width: int,
) -> list[tuple[int, list[Objective]]]:
    """The measures in groups, each a table that fits the width, and how wide its labels may be."""
    widths = {
        m.name: 2 + max(map(len, (heading(m), *(_cell(entry, m) for entry in entries)))) for m in measures
    }
    fixed = 2 + sum(2 + max(map(len, (name, *marks.values()))) for name, marks in verdicts.items())
    longest = max(map(len, labels.values()))
    fitting = [w for w in _LABEL_WIDTHS if fixed + min(longest, w) + sum(widths.values()) <= width]
    fallback = _LABEL_WIDTHS[1] if width >= 60 else _LABEL_WIDTHS[2]
    wanted = min(longest, max(fitting, default=fallback))
    parts: list[tuple[int, list[Objective]]] = []
    left = 0
    for measure in measures:
        if not parts or widths[measure.name] > left:
            parts.append((wanted, []))
            left = width - fixed - wanted
        parts[-1][1].append(measure)
        left -= widths[measure.name]
    return parts


def _style(entry: Entry) -> str:
    return "cyan" if entry.candidate.role == "baseline" else "bold"


def _cell(entry: Entry, measure: Objective) -> str:
    return amount(value(entry, measure), measure.unit, error(entry, measure))


def _print_genomes(summary: RunSummary, console: Console) -> None:
    console.print(Text("Layers from input to output, and genome", style="bold"))
    for entry in (*summary.front, *summary.baselines):
        console.print(Text.assemble((f"{entry.label}  ", _style(entry)), letters(entry.genome)))
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
    if summary.guiding is not None:
        lines["Guiding"] = str(summary.guiding)
    _print_lines(lines, console)


def _print_retrained(validation: Validation, console: Console) -> None:
    """What retraining has shown, a line for each member of the front."""
    from .sections.retrained import better_than_all, mean_with_error, progress

    console.print()
    title = f"Retrained to {validation.budget}, {plural(validation.seeds, 'seed')} each: test bits per byte"
    console.print(Text(title, style="bold"))
    if missing := progress(validation):
        console.print(Text(missing, style="yellow"))
    labels = {each.index: each.label for each in validation.baselines}
    told: dict[int, list[str]] = {each.index: [] for each in validation.members}
    for word in ("better", "worse", "tie"):
        for index, verdicts in told.items():
            named = [
                labels[c.baseline]
                for c in validation.comparisons
                if c.member == index and c.verdict == word and c.difference.n > 1
            ]
            verdicts += [f"{_VERDICTS[word]} {', '.join(named)}"] if named else []
    lines = {
        each.label: "; ".join([mean_with_error(each.test), *told.get(each.index, [])])
        for each in validation.architectures
    }
    _print_lines(lines, console)
    console.print(Text(f"{better_than_all(validation)} A tie: its 95% interval holds 0.", style="dim"))


def _print_lines(lines: dict[str, str], console: Console) -> None:
    grid = Table.grid(padding=(0, 2))
    for key, text in lines.items():
        grid.add_row(Text(key, style="dim"), Text(text))
    console.print(grid)
