"""A study of several runs as one page that opens anywhere."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..studies.study import Difference, Metric, Study
from ..studies.treatments import told
from .filled import filled_page
from .html import write_atomically
from .quantities import MISSING, amount, plural
from .study_figures import COLOURS, bounds_words, curve_plots, difference_words, facts, mean_words, signed
from .study_terminal import print_study

__all__ = ["print_study", "render_study", "write_study"]

_TEMPLATE = "study.html.j2"


@dataclass(frozen=True)
class Told:
    """A figure in a table: what it says, what stands small below it, a verdict, and what it is sorted by."""

    text: str
    below: tuple[str, ...] = ()
    verdict: str = ""
    order: str = ""


def write_study(study: Study, path: str | Path) -> Path:
    """Write a study's page and return where it is; a page that is there already is replaced at once.

    Raises OutputError where the page cannot be written.
    """
    path = Path(path)
    write_atomically(path, render_study(study))
    return path


def render_study(study: Study) -> str:
    """The page as text."""
    plots = curve_plots(study)
    return filled_page(_TEMPLATE, {**_page(study), "plots": plots}, plots)


def _page(study: Study) -> dict[str, Any]:
    judged = [m for m in study.metrics if m.better]
    described = [m for m in study.metrics if not m.better]
    return {
        "title": " against ".join(t.label for t in study.treatments),
        "task": study.task,
        "facts": facts(study),
        "notes": study.notes,
        "motifs": study.motifs,
        "judged": judged,
        "described": described,
        "attained": [(t.label, [_mean(study, t.label, m) for m in judged]) for t in study.treatments],
        "costs": [(t.label, [_mean(study, t.label, m) for m in described]) for t in study.treatments],
        "colours": {t.label: COLOURS[i % len(COLOURS)] for i, t in enumerate(study.treatments)},
        "pairs": [
            (one, other, [_difference(each) for each in found]) for one, other, found in _pairs(study, judged)
        ],
        "by_size": _by_size(study),
        "cap": None if study.cap is None else amount(study.cap),
        "runs": [
            (each, [_figure(each.figures[m.name], m) for m in study.metrics]) for each in study.attained
        ],
        "metrics": study.metrics,
        "settings": _settings(study),
        "equal": study.equal,
        "level": f"{study.level:.0%}",
        "paired": study.paired,
        "horizon": f"{study.horizon:,.0f}",
        "validation": study.validation,
        "budget": study.rungs[-1],
    }


def _mean(study: Study, label: str, metric: Metric) -> Told:
    interval = study.summaries[label][metric.name]
    below = [bounds_words(interval)]
    if interval.n < len(study.seeds):
        below.append(f"of {plural(interval.n, 'seed')}" if interval.n else "")
    rank = study.ranks.get(metric.name, {}).get(label)
    if rank is not None:
        below.append(f"rank {rank:.3g}")
    return Told(mean_words(interval, metric.unit), tuple(filter(None, below)))


def _pairs(study: Study, judged: list[Metric]) -> Iterator[tuple[str, str, list[Difference | None]]]:
    """Each pair of treatments with its differences, in the order of the metrics."""
    found = {(d.one, d.other, d.metric): d for d in study.differences}
    for one, other in itertools.combinations([t.label for t in study.treatments], 2):
        yield one, other, [found.get((one, other, metric.name)) for metric in judged]


def _difference(each: Difference | None) -> Told:
    if each is None:
        return Told("")
    return Told(difference_words(each.interval), (bounds_words(each.interval),), each.verdict)


def _by_size(study: Study) -> list[tuple[str, str, str, str]]:
    """By pair the difference in quality, and the part of it that goes with size."""
    return [
        (d.one, d.other, difference_words(d.interval), signed(d.by_size))
        for d in study.differences
        if d.by_size == d.by_size
    ]


def _figure(value: float, metric: Metric) -> Told:
    finite = value == value
    return Told(
        amount(value if finite else None, metric.unit if metric.unit == "bytes" else ""),
        order=repr(value) if finite else "",
    )


def _settings(study: Study) -> list[tuple[str, list[str], bool]]:
    """The settings of treatments: name, values, and whether they differ."""
    columns = [dict(treatment.settings) for treatment in study.treatments]
    rows = []
    for name in dict.fromkeys(name for column in columns for name in column):
        values = [told(column[name]) if name in column else MISSING for column in columns]
        rows.append((name, values, len(set(values) - {MISSING}) > 1))
    return sorted(rows, key=lambda row: not row[2])
