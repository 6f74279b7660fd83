"""A scaled run read back: members beside baselines, and both beside what they were at their own size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..archive import Archive, CandidateRow, EvaluationRow, RunRow
from ..objectives import find_objective
from ..search.evaluation import TEST
from ..search.ledger import BASELINE, SEARCH
from ..training import Budget
from .statistics import BETTER, TIE, Interval, mean_interval, paired_difference, verdict

SCALED = "scaled"
VALIDATIONS = "validations"
VALIDATION = "validation"
VALID = "bits_per_byte"

HOLDS, GAINED, OPEN, LOST, BEHIND = "holds", "gained", "open", "lost", "behind"

Scores = Mapping[int, float]
"""Bits per byte by seed."""


@dataclass(frozen=True)
class Against:
    """A member against one baseline: bits per byte of the member less the baseline's, paired by seed.

    `own` is the difference at the run's own size, None where that is not known; `verdict` is about
    `scaled`. `outcome` puts the two together: "holds" (ahead before and better now), "gained" (not ahead
    before, better now), "open" (a tie now), "lost" (ahead before, worse now), "behind" (neither).
    """

    baseline: str
    own: Interval | None
    scaled: Interval
    verdict: str
    outcome: str


@dataclass(frozen=True)
class ScaledEntry:
    """A member or a baseline at the larger size: bits per byte over seeds, and what it costs.

    `index` is its number in the run it comes from. `parameters` and `cache` (bytes) are at the larger
    size; `own` are its bits per byte at the run's own size, where known. `failures` says how trainings
    ended that gave no figure.
    """

    index: int
    label: str
    role: str
    genome: str
    parameters: float
    cache: float
    scores: dict[int, float]
    scaled: Interval
    own: Interval | None
    against: tuple[Against, ...]
    failures: tuple[str, ...]


@dataclass(frozen=True)
class ScaledResult:
    """What a scaled run says: members first, best first, then baselines.

    `measure` names the figure: test bits per byte where every training has it, else validation's.
    `own_budget` is the budget of the figures at the run's own size; None where there are none.
    """

    run: str
    source: str
    sizes: dict[str, Any]
    budget: str
    own_budget: str | None
    learning_rate: float
    measure: str
    entries: tuple[ScaledEntry, ...]

    @property
    def members(self) -> tuple[ScaledEntry, ...]:
        """The front's members that were scaled."""
        return tuple(entry for entry in self.entries if entry.role == SEARCH)

    def to_dict(self) -> dict[str, Any]:
        """One JSON document."""
        return {
            "run": self.run,
            "from": self.source,
            "sizes": self.sizes,
            "budget": self.budget,
            "own_budget": self.own_budget,
            "learning_rate": self.learning_rate,
            "measure": self.measure,
            "entries": [_entry_dict(entry) for entry in self.entries],
        }


def read_scaled(archive: Archive, run: RunRow, number: int) -> ScaledResult:
    """Read a scaled run's validation of that number back, beside the run that it comes from."""
    about, validation = run.config[SCALED], run.config[VALIDATIONS][number]
    source = archive.run(about["from"])
    rows = [r for r in archive.evaluations(run.id) if (r.stage, r.rung) == (VALIDATION, number)]
    tried = {row.candidate for row in rows}
    own, own_budget = _own_rows(archive, source, tried, validation["budget"])
    measured = [row for row in (*rows, *own) if row.status == "ok"]
    measure = TEST if measured and all(TEST in row.values for row in measured) else VALID
    candidates = [c for c in archive.candidates(run.id) if c.index in tried]
    scaled, before = _scores(rows, measure), _scores(own, measure)
    entries = [_entry(c, rows, scaled, before, candidates) for c in candidates]
    return ScaledResult(
        run=run.name,
        source=source.name,
        sizes={name: about[name] for name in ("width", "heads", "depth", "how")},
        budget=validation["budget"],
        own_budget=own_budget,
        learning_rate=about["learning_rate"],
        measure=measure,
        entries=tuple(sorted(entries, key=_order)),
    )


def _entry(
    candidate: CandidateRow,
    rows: Sequence[EvaluationRow],
    scaled: Mapping[int, Scores],
    before: Mapping[int, Scores],
    candidates: Sequence[CandidateRow],
) -> ScaledEntry:
    index = candidate.index
    failed = [r for r in rows if r.candidate == index and r.status != "ok"]
    rivals = [c for c in candidates if c.role == BASELINE and c.index != index and scaled.get(c.index)]
    return ScaledEntry(
        index=index,
        label=candidate.name or f"#{index}",
        role=candidate.role,
        genome=candidate.genome,
        parameters=candidate.values[find_objective("parameters").name],
        cache=candidate.values[find_objective("cache").name],
        scores=dict(scaled.get(index, {})),
        scaled=mean_interval(list(scaled.get(index, {}).values())),
        own=mean_interval(list(before[index].values())) if index in before else None,
        against=tuple(_against(index, rival, scaled, before) for rival in rivals if index in scaled),
        failures=tuple(f"seed {row.seed}: {row.status}" for row in failed),
    )


def _against(
    index: int, rival: CandidateRow, scaled: Mapping[int, Scores], before: Mapping[int, Scores]
) -> Against:
    now = _difference(scaled[index], scaled[rival.index])
    own = None
    if index in before and rival.index in before:
        own = _difference(before[index], before[rival.index])
    said = verdict(now)
    return Against(str(rival.name), own, now, said, outcome_of(own, said))


def _difference(ours: Scores, theirs: Scores) -> Interval:
    """Paired by seed: it decides the batches, which both have seen alike."""
    both = sorted(set(ours) & set(theirs))
    return paired_difference([ours[seed] for seed in both], [theirs[seed] for seed in both])


def outcome_of(own: Interval | None, said: str) -> str:
    """What became of a lead, from the difference before and the verdict now; see `Against`."""
    ahead = own is not None and own.mean < 0
    if said == TIE:
        return OPEN
    if said == BETTER:
        return HOLDS if ahead else GAINED
    return LOST if ahead else BEHIND


def _scores(rows: Iterable[EvaluationRow], measure: str) -> dict[int, dict[int, float]]:
    scores: dict[int, dict[int, float]] = {}
    for row in rows:
        if row.status == "ok":
            scores.setdefault(row.candidate, {})[row.seed] = row.values[measure]
    return scores


def _own_rows(
    archive: Archive, source: RunRow, wanted: set[int], budget: str
) -> tuple[list[EvaluationRow], str | None]:
    """Trainings at the run's own size to stand beside the scaled ones, all of one budget.

    A search's highest rung and its repeats are one group, each of its validations another. The group
    with most of the candidates is taken; of such the one of the same budget, else of the largest.
    """
    groups: dict[tuple[bool, int], list[EvaluationRow]] = {}
    for row in archive.evaluations(source.id):
        if row.status == "ok" and row.candidate in wanted:
            groups.setdefault((row.stage == VALIDATION, row.rung), []).append(row)
    if not groups:
        return [], None
    texts = {group: _budget_of(source, *group) for group in groups}

    def worth(group: tuple[bool, int]) -> tuple[int, bool, bool, float]:
        found = Budget.parse(texts[group])
        covered = len({row.candidate for row in groups[group]})
        return covered, found == Budget.parse(budget), group[0], found.amount

    best = max(groups, key=worth)
    return groups[best], texts[best]


def _budget_of(source: RunRow, validation: bool, rung: int) -> str:
    if validation:
        return str(source.config[VALIDATIONS][rung]["budget"])
    return str(source.config["settings"]["rungs"][rung])


def _order(entry: ScaledEntry) -> tuple[bool, bool, float, int]:
    mean = entry.scaled.mean
    return entry.role == BASELINE, not entry.scores, mean if entry.scores else 0.0, entry.index


def _entry_dict(entry: ScaledEntry) -> dict[str, Any]:
    return {
        "index": entry.index,
        "label": entry.label,
        "role": entry.role,
        "genome": entry.genome,
        "parameters": entry.parameters,
        "cache": entry.cache,
        "scores": {str(seed): score for seed, score in entry.scores.items()},
        "scaled": entry.scaled.to_dict(),
        "own": None if entry.own is None else entry.own.to_dict(),
        "against": [
            {
                "baseline": one.baseline,
                "own": None if one.own is None else one.own.to_dict(),
                "scaled": one.scaled.to_dict(),
                "verdict": one.verdict,
                "outcome": one.outcome,
            }
            for one in entry.against
        ],
        "failures": list(entry.failures),
    }
