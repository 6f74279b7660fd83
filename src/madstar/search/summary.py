"""A run read back from its rows: the front, the baselines, hypervolume, failures, validity.

Everything here is computed from the archive alone, so it is the same while a run goes on, after it,
and on another machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..archive import Archive, CandidateRow, EvaluationRow, RunRow
from ..archive.queries import ValidityCounts, validity_counts
from ..genome import Genome
from ..objectives import Objective
from .ledger import BASELINE, SEARCH
from .ranking import hypervolume, nondominated
from .settings import SearchSettings

FAILURES = ("diverged", "timeout", "memory", "crash", "error")


@dataclass(frozen=True)
class Entry:
    """A candidate with its figures at the highest rung it has reached.

    `values` and `errors` (standard errors) are by objective name, and hold "bits_per_byte" and
    "perplexity" too. `curve` is (step, training bits per byte).
    """

    candidate: CandidateRow
    evaluation: EvaluationRow
    genome: Genome

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
    def values(self) -> dict[str, float]:
        """Figures by name."""
        return self.evaluation.values

    @property
    def errors(self) -> dict[str, float]:
        """Standard errors by name."""
        return self.evaluation.errors


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

    def to_dict(self) -> dict[str, Any]:
        """One JSON document: run, evaluations, failed, front, baselines, hypervolume, validity."""
        counts = self.validity
        return {
            "run": self.run.name,
            "status": self.run.status,
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
    at_rung = {r.candidate: r for r in evaluations if r.rung == rung and r.status == "ok"}
    compared = [e for e in searched if e.rung == rung]
    front = _front(compared, objectives)
    reference, volumes = _hypervolumes(at_rung, candidates, evaluations, objectives)
    failures = {s: sum(row.status == s for row in evaluations) for s in FAILURES}
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
        evaluations=evaluations,
        hypervolumes=volumes,
        reference=reference,
        validity=validity_counts(c for c in candidates if c.role == SEARCH),
        failures={status: count for status, count in failures.items() if count},
    )


def costs_of(values: dict[str, float], objectives: Sequence[Objective]) -> tuple[float, ...]:
    """Figures as costs, to be minimised."""
    return tuple(o.cost(values[o.name]) for o in objectives)


def _entries(candidates: Sequence[CandidateRow], evaluations: Sequence[EvaluationRow]) -> list[Entry]:
    highest: dict[int, EvaluationRow] = {}
    for row in evaluations:
        if row.status == "ok" and (row.candidate not in highest or row.rung > highest[row.candidate].rung):
            highest[row.candidate] = row
    by_index = {candidate.index: candidate for candidate in candidates}
    return [
        Entry(by_index[index], row, Genome.parse(by_index[index].genome))
        for index, row in sorted(highest.items())
    ]


def _front(entries: Sequence[Entry], objectives: Sequence[Objective]) -> list[Entry]:
    if not entries:
        return []
    costs = np.array([costs_of(entry.values, objectives) for entry in entries])
    front = [entry for entry, best in zip(entries, nondominated(costs), strict=True) if best]
    return sorted(front, key=lambda entry: costs_of(entry.values, objectives))


def _hypervolumes(
    at_rung: dict[int, EvaluationRow],
    candidates: Sequence[CandidateRow],
    evaluations: Sequence[EvaluationRow],
    objectives: Sequence[Objective],
) -> tuple[tuple[float, ...], tuple[tuple[int, float], ...]]:
    """The reference point, and the hypervolume of the candidates after each evaluation at the rung."""
    if not at_rung:
        return (), ()
    role = {candidate.index: candidate.role for candidate in candidates}
    costs = {index: costs_of(row.values, objectives) for index, row in at_rung.items()}
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
        "values": entry.values,
        "errors": entry.errors,
        "operator": entry.candidate.operator,
        "parents": list(entry.candidate.parents),
    }
