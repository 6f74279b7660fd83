"""A study of several runs as tables in a terminal."""

from __future__ import annotations

import math

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..studies.statistics import Interval
from ..studies.study import Metric, Study
from .quantities import amount
from .study_figures import bounds_words, difference_words, facts, mean_words, signed

_STYLES = {"better": "green", "worse": "red", "tie": "dim"}


def print_study(study: Study, console: Console) -> None:
    """Print a study: what it is of, then by figure the treatments and their differences, then the costs."""
    grid = Table.grid(padding=(0, 2))
    for key, text in (("data", study.task), *facts(study)):
        grid.add_row(Text(key, style="dim"), Text(text))
    console.print(grid)
    console.print()
    console.print(Text(study.motifs))
    for note in study.notes:
        console.print(Text(note, style="yellow"))
    console.print()
    for metric in study.metrics:
        if metric.better:
            _print_metric(study, metric, console)
    _print_costs(study, console)
    closing = (
        f"Brackets are {study.level:.0%} intervals over seeds, each on its own. A difference is the first "
        "less the second; a tie is one whose interval holds 0."
    )
    console.print(Text(closing, style="dim"))


def _print_metric(study: Study, metric: Metric, console: Console) -> None:
    unit = f", {metric.unit}" if metric.unit else ""
    name = metric.heading.capitalize()
    console.print(Text.assemble((name, "bold"), f" ({metric.better} is better{unit})"))
    console.print(Text(metric.meaning, style="dim"))
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(overflow="fold", min_width=12)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    ranks = study.ranks.get(metric.name, {})
    for treatment in study.treatments:
        interval = study.summaries[treatment.label][metric.name]
        rank = f"rank {ranks[treatment.label]:.3g}" if treatment.label in ranks else ""
        table.add_row(Text(treatment.label), mean_words(interval), _bracketed(interval), rank)
    for each in (d for d in study.differences if d.metric == metric.name):
        verdict = Text(each.verdict, style=_STYLES[each.verdict])
        pair = Text(f"{each.one} − {each.other}")
        table.add_row(pair, difference_words(each.interval), _bracketed(each.interval), verdict)
        if math.isfinite(each.by_size):
            table.add_row(Text("  by size alone", style="dim"), signed(each.by_size))
    console.print(table)
    console.print()


def _bracketed(interval: Interval) -> Text:
    words = bounds_words(interval)
    return Text(f"[{words}]" if words else "")


def _print_costs(study: Study, console: Console) -> None:
    console.print(Text("A run on average", style="bold"))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    for treatment in study.treatments:
        table.add_column(Text(treatment.label), justify="right", overflow="fold")
    for metric in study.metrics:
        if not metric.better:
            means = (study.summaries[t.label][metric.name].mean for t in study.treatments)
            table.add_row(metric.heading, *(amount(None if math.isnan(mean) else mean) for mean in means))
    console.print(table)
    if study.cap is not None:
        console.print(Text(f"Parameters may be {amount(study.cap)} at most.", style="dim"))
    console.print()
