"""Which figures a report shows: the run's objectives, and quality, parameters and cache in any case."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..objectives import TRAINED, Objective, find_objective
from ..search import Entry, RunSummary

TEST = Objective(
    name="test_bits_per_byte",
    direction="min",
    unit="bits per byte",
    kind=TRAINED,
    meaning="bits per byte on the test split, which no selection has seen",
    measure=lambda subject: subject.metrics["test_bits_per_byte"],
)
QUALITY, ALWAYS = "quality", ("quality", "parameters", "cache")
_TRAINING_QUALITY = "bits_per_byte"


def shown(objectives: Sequence[Objective]) -> tuple[Objective, ...]:
    """The objectives, and of quality, parameters and cache those that are not among them."""
    named = {objective.name: objective for objective in objectives}
    for name in ALWAYS:
        other = find_objective(name)
        named.setdefault(other.name, other)
    return tuple(named.values())


def reported(summary: RunSummary) -> tuple[Objective, ...]:
    """What tables show: `shown`, and beside quality its figure on the test split where there is one."""
    measures = list(shown(summary.objectives))
    if any(TEST.name in entry.values for entry in (*summary.front, *summary.baselines)):
        place = next(i for i, measure in enumerate(measures) if measure.name == QUALITY)
        measures.insert(place + 1, TEST)
    return tuple(measures)


def look_up(name: str, *figures: Mapping[str, float]) -> float | None:
    """The first figure of that name; quality is also known as the bits per byte of training."""
    for mapping in figures:
        if name in mapping:
            return mapping[name]
    return look_up(_TRAINING_QUALITY, *figures) if name == QUALITY else None


def value(entry: Entry, objective: Objective) -> float | None:
    """An entry's figure, measured or known before training; None where it has none."""
    return look_up(objective.name, entry.values, entry.candidate.values)


def error(entry: Entry, objective: Objective) -> float | None:
    """The standard error of that figure; None where it has none."""
    return look_up(objective.name, entry.errors)


def heading(objective: Objective) -> str:
    """A short heading: a user's own objective without the folders its file lies in."""
    if objective.name == TEST.name:
        return "test"
    return objective.name.replace("\\", "/").rpartition("/")[2]


def units(objectives: Iterable[Objective]) -> str:
    """What the headings leave out, in one line: "quality in bits per byte, least is best"."""
    return "; ".join(
        f"{heading(o)}{f' in {o.unit}' if o.unit else ''}, {'lower' if o.direction == 'min' else 'higher'} "
        "is better"
        for o in objectives
    )
