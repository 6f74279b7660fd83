"""A validation: front and baselines trained again from scratch, compared by intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...studies.retrained import Comparison, HitRate, Retrained, Validation
from ...studies.statistics import Interval
from ..measures import heading
from ..quantities import MISSING, amount, plural
from .cells import Cell

# Figures that are known without training, in the order of the table, with their units.
_STATIC = (("parameters", ""), ("cache@4096", "bytes"))


@dataclass(frozen=True)
class RetrainedRow:
    """An architecture after retraining; `place` is what became of a member of the front."""

    label: str
    role: str
    seeds: int
    figures: list[str]
    place: str


@dataclass(frozen=True)
class DifferenceRow:
    """A member of the front against each baseline; `verdicts` are "better", "worse", "tie", or nothing."""

    label: str
    cells: list[Cell]
    verdicts: list[str]


@dataclass(frozen=True)
class HitRow:
    """How many of the search's final population beat a baseline as searched."""

    baseline: str
    cells: list[str]


@dataclass(frozen=True)
class RetrainedSection:
    """The section. `progress` is empty where all trainings have ended well."""

    budget: str
    seeds: int
    progress: str
    headings: list[str]
    rows: list[RetrainedRow]
    baselines: list[str]
    differences: list[DifferenceRow]
    verdict: str
    population: str
    hit_objectives: list[str]
    hits: list[HitRow]


def retrained_section(validation: Validation) -> RetrainedSection:
    """A validation as the page shows it."""
    labels = {each.index: each.label for each in validation.architectures}
    others = [o for o in validation.objectives if o.name != "quality"]
    named = {o.name for o in others}
    static = [(name, unit) for name, unit in _STATIC if name not in named]
    return RetrainedSection(
        budget=validation.budget,
        seeds=validation.seeds,
        progress=progress(validation),
        headings=["test", "validation", *map(heading, others), *(name for name, _ in static)],
        rows=[
            RetrainedRow(
                label=each.label,
                role="baseline" if each.is_baseline else "front",
                seeds=each.test.n,
                figures=[
                    mean_with_error(each.test),
                    mean_with_error(each.valid),
                    *(amount(each.means.get(o.name), o.unit) for o in others),
                    *(amount(each.figures.get(name), unit) for name, unit in static),
                ],
                place=_place(each, labels),
            )
            for each in validation.architectures
        ],
        baselines=[each.label for each in validation.baselines],
        differences=[_difference_row(member, validation) for member in validation.members],
        verdict=better_than_all(validation),
        population=plural(validation.hit_rates[0].population, "candidate") if validation.hit_rates else "",
        hit_objectives=[heading(o) for o in validation.objectives],
        hits=[_hit_row(hit, labels, validation) for hit in validation.hit_rates],
    )


def progress(validation: Validation) -> str:
    """What is missing of a validation, in a sentence; nothing where all is there."""
    parts = []
    if not validation.complete:
        parts.append(f"{validation.done} of {validation.wanted} trainings have ended")
    if validation.failed:
        parts.append(f"{plural(validation.failed, 'training')} failed")
    return "; ".join(parts)


def better_than_all(validation: Validation) -> str:
    """Which members of the front are better than every baseline, in a sentence."""
    labels = [each.label for each in validation.members if each.index in validation.better_than_all]
    if not labels:
        return "No member of the front is better than every baseline on test text."
    names, verb = ", ".join(labels), "is" if len(labels) == 1 else "are"
    return f"{names} {verb} better than every baseline on test text."


def mean_with_error(interval: Interval) -> str:
    """ "2.413 ± 0.012": a mean and its standard error over seeds."""
    return MISSING if math.isnan(interval.mean) else amount(interval.mean, "", interval.error)


def difference(interval: Interval) -> tuple[str, str]:
    """A difference with its sign, and its interval in words; empty where there are too few seeds."""
    if math.isnan(interval.mean):
        return MISSING, ""
    within = "" if math.isnan(interval.low) else f"{interval.low:+.3f} to {interval.high:+.3f}"
    return _minus(f"{interval.mean:+.3f}"), _minus(within)


def _minus(text: str) -> str:
    return text.replace("-", "−")


def _place(each: Retrained, labels: dict[int, str]) -> str:
    if each.is_baseline:
        return ""
    if not each.means:
        return "no training succeeded"
    place = "stays on the front" if each.stays else "leaves the front"
    by = ", ".join(labels[index] for index in each.dominated_by)
    return f"{place}; dominated by {by}" if by else place


def _difference_row(member: Retrained, validation: Validation) -> DifferenceRow:
    compared = [validation.comparison(member.index, other.index) for other in validation.baselines]
    return DifferenceRow(member.label, [_difference_cell(c) for c in compared], list(map(_word, compared)))


def _difference_cell(compared: Comparison) -> Cell:
    text, within = difference(compared.difference)
    return Cell(text, note=within)


def _word(compared: Comparison) -> str:
    return compared.verdict if compared.difference.n > 1 else ""


def _hit_row(hit: HitRate, labels: dict[int, str], validation: Validation) -> HitRow:
    dominating = f"{hit.share:.0%} ({hit.dominating})" if hit.population else MISSING
    better = [
        f"{hit.better.get(o.name, 0) / hit.population:.0%}" if hit.population else MISSING
        for o in validation.objectives
    ]
    return HitRow(labels.get(hit.baseline, f"#{hit.baseline}"), [dominating, *better])
