"""A run read back from its rows: the front, the baselines, hypervolume, failures, validity.

Everything here is computed from the archive alone, so it is the same while a run goes on, after it,
and on another machine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..archive import Archive, CandidateRow, EvaluationRow, RunRow
from ..archive.queries import ValidityCounts, top_rung, validity_counts
from ..genome import Genome
from ..objectives import Objective
from .ledger import BASELINE, SEARCH
from .ranking import hypervolume, nondominated
from .settings import SearchSettings
from .worth import Worth, worth_of

FAILURES = ("diverged", "timeout", "memory", "crash", "error")


@dataclass(frozen=True)
class Entry:
    """A candidate with its figures at the highest rung it has reached.

    `values` and `errors` (standard errors) are by objective name, and hold "bits_per_byte" and
    "perplexity" too. For a finalist that was trained again with other seeds (`repeats`) they are means
    over `seeds` trainings, and the errors hold the spread over seeds as well as that over windows.
    """

    candidate: CandidateRow
    evaluation: EvaluationRow
    genome: Genome
    repeats: tuple[EvaluationRow, ...] = ()

    @property
    def index(self) -> int:
        """The candidate's number in the run."""
        return self.candidate.index

    @property
    def label(self) -> str:
        """A baseline's name, or the candidate's number."""
        return self.candidate.name or f"#{self.candidate.index}"

    @property
    def rung(self) -> int:
        """The rung the figures are from."""
        return self.evaluation.rung

    @property
    def seeds(self) -> int:
        """How many trainings the figures are a mean of."""
        return 1 + len(self.repeats)

    @cached_property
    def values(self) -> dict[str, float]:
        """Figures by name."""
        return mean_values((self.evaluation, *self.repeats))

    @cached_property
    def errors(self) -> dict[str, float]:
        """Standard errors by name."""
        return mean_errors((self.evaluation, *self.repeats))


@dataclass(frozen=True)
class RunSummary:
    """What a run has found so far.

    `front` are the candidates of the highest rung any has reached that nothing there dominates, best
    in the first objective first; `baselines` stand beside them. `hypervolumes` are (evaluations so
    far, hypervolume of the candidates at `rung`); `reference` is the point it is bounded by, a tenth of
    the range beyond the worst candidate or baseline at that rung, in the objectives' own units.
    """

    run: RunRow
    settings: SearchSettings
    task: str
    objectives: tuple[Objective, ...]
    rung: int
    front: tuple[Entry, ...]
    baselines: tuple[Entry, ...]
    entries: tuple[Entry, ...]
    candidates: tuple[CandidateRow, ...]
    evaluations: tuple[EvaluationRow, ...]
    hypervolumes: tuple[tuple[int, float], ...]
    reference: tuple[float, ...]
    validity: ValidityCounts
    failures: dict[str, int]

    @property
    def hypervolume(self) -> float:
        """The hypervolume at the end; nan where nothing has been measured."""
        return self.hypervolumes[-1][1] if self.hypervolumes else float("nan")

    @property
    def failed(self) -> int:
        """Evaluations that failed."""
        return sum(self.failures.values())

    @cached_property
    def guiding(self) -> Worth | None:
        """What the guidance of a model was worth in this run; None where there was none."""
        return worth_of(self)

    def to_dict(self) -> dict[str, Any]:
        """One JSON document: run, evaluations, failed, front, baselines, hypervolume, validity."""
        counts = self.validity
        guiding = {} if self.guiding is None else {"guiding": self.guiding.to_dict()}
        return {
            "run": self.run.name,
            "status": self.run.status,
            "strategy": self.settings.strategy,
            "motif_seeds": self.settings.seeds,
            "seconds": round(self.run.seconds, 3),
            "data": self.task,
            "objectives": [
                {"name": o.name, "direction": o.direction, "unit": o.unit} for o in self.objectives
            ],
            "rung": {"number": self.rung, "budget": self.settings.rungs[self.rung]},
            "candidates": len([c for c in self.candidates if c.role == SEARCH and c.status == "pending"]),
            "evaluations": len(self.evaluations),
            "failed": self.failed,
            "failures": self.failures,
            "front": [_entry_dict(entry) for entry in self.front],
            "baselines": [_entry_dict(entry) for entry in self.baselines],
            "hypervolume": self.hypervolume,
            "hypervolume_reference": list(self.reference),
            "offspring_validity": {
                "valid": counts.valid,
                "repaired": counts.repaired,
                "rejected": counts.rejected,
                "duplicate": counts.duplicate,
                "repaired_genes": counts.repaired_genes,
            },
            **guiding,
        }


def summarise(archive: Archive, run: RunRow) -> RunSummary:
    """Read a run back. Raises ObjectiveError where a user's own objective can no longer be loaded."""
    settings = SearchSettings(**run.config["settings"])
    objectives = settings.parsed_objectives
    candidates, evaluations = archive.candidates(run.id), archive.evaluations(run.id)
    entries = _entries(candidates, evaluations)
    searched = [e for e in entries if e.candidate.role == SEARCH]
    baselines = [e for e in entries if e.candidate.role == BASELINE]
    rung = max((e.rung for e in searched), default=0)
    at_rung = {
        r.candidate: r for r in evaluations if r.rung == rung and r.status == "ok" and r.stage == "search"
    }
    compared = [e for e in searched if e.rung == rung]
    front = _front(compared, objectives)
    reference, volumes = _hypervolumes(compared, at_rung, candidates, evaluations, objectives)
    tried = [row for row in evaluations if row.stage != "validation"]
    failures = {s: sum(row.status == s for row in tried) for s in FAILURES}
    return RunSummary(
        run=run,
        settings=settings,
        task=run.config.get("task", {}).get("description", settings.data),
        objectives=objectives,
        rung=rung,
        front=tuple(front),
        baselines=tuple(Entry(e.candidate, at_rung.get(e.index, e.evaluation), e.genome) for e in baselines),
        entries=tuple(entries),
        candidates=candidates,
        evaluations=tuple(tried),
        hypervolumes=volumes,
        reference=reference,
        validity=validity_counts(c for c in candidates if c.role == SEARCH),
        failures={status: count for status, count in failures.items() if count},
    )


def costs_of(values: dict[str, float], objectives: Sequence[Objective]) -> tuple[float, ...]:
    """Figures as costs, to be minimised."""
    return tuple(o.cost(values[o.name]) for o in objectives)


def mean_values(rows: Sequence[EvaluationRow]) -> dict[str, float]:
    """Means over trainings that differ in their seed, of the figures that all have."""
    names = [name for name in rows[0].values if all(name in row.values for row in rows)]
    return {name: float(np.mean([row.values[name] for row in rows])) for name in names}


def mean_errors(rows: Sequence[EvaluationRow]) -> dict[str, float]:
    """Standard errors of those means: that over held-out windows, which all share, and that over seeds."""
    errors = {}
    for name in rows[0].errors:
        if not all(name in row.errors for row in rows):
            continue
        windows = float(np.mean([row.errors[name] for row in rows]))
        values = [row.values[name] for row in rows if name in row.values]
        seeds = float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
        errors[name] = (windows**2 + seeds**2) ** 0.5
    return errors


def _entries(candidates: Sequence[CandidateRow], evaluations: Sequence[EvaluationRow]) -> list[Entry]:
    repeats: defaultdict[int, list[EvaluationRow]] = defaultdict(list)
    for row in evaluations:
        if row.stage == "repeat" and row.status == "ok":
            repeats[row.candidate].append(row)
    by_index = {candidate.index: candidate for candidate in candidates}
    return [
        Entry(by_index[index], row, Genome.parse(by_index[index].genome), tuple(repeats[index]))
        for index, row in top_rung(evaluations).items()
    ]


def _front(entries: Sequence[Entry], objectives: Sequence[Objective]) -> list[Entry]:
    if not entries:
        return []
    costs = np.array([costs_of(entry.values, objectives) for entry in entries])
    front = [entry for entry, best in zip(entries, nondominated(costs), strict=True) if best]
    return sorted(front, key=lambda entry: costs_of(entry.values, objectives))


def _hypervolumes(
    compared: Sequence[Entry],
    at_rung: dict[int, EvaluationRow],
    candidates: Sequence[CandidateRow],
    evaluations: Sequence[EvaluationRow],
    objectives: Sequence[Objective],
) -> tuple[tuple[float, ...], tuple[tuple[int, float], ...]]:
    """The reference point, and the hypervolume of the candidates after each evaluation at the rung.

    A candidate counts from its first evaluation there, with the mean of all.
    """
    if not at_rung:
        return (), ()
    role = {candidate.index: candidate.role for candidate in candidates}
    costs = {index: costs_of(row.values, objectives) for index, row in at_rung.items()}
    costs |= {entry.index: costs_of(entry.values, objectives) for entry in compared}
    corner = _reference(np.array(list(costs.values())))
    seen: list[tuple[float, ...]] = []
    volumes = []
    for count, row in enumerate(evaluations, start=1):
        if role[row.candidate] == SEARCH and at_rung.get(row.candidate) is row:
            seen.append(costs[row.candidate])
            volumes.append((count, hypervolume(np.array(seen), corner)))
    signs = [1.0 if o.direction == "min" else -1.0 for o in objectives]
    return tuple(w * sign for w, sign in zip(corner, signs, strict=True)), tuple(volumes)


def _reference(costs: np.ndarray) -> tuple[float, ...]:
    """A tenth of the range beyond the worst, so that points at the ends of the front count too."""
    worst, best = costs.max(axis=0), costs.min(axis=0)
    margin = np.where(worst > best, 0.1 * (worst - best), 0.1 * np.abs(worst) + 1e-9)
    return tuple(float(value) for value in worst + margin)


def _entry_dict(entry: Entry) -> dict[str, Any]:
    return {
        "index": entry.index,
        "name": entry.candidate.name,
        "genome": str(entry.genome),
        "rung": entry.rung,
        "steps": entry.evaluation.steps,
        "seeds": entry.seeds,
        "values": entry.values,
        "errors": entry.errors,
        "operator": entry.candidate.operator,
        "parents": list(entry.candidate.parents),
    }
