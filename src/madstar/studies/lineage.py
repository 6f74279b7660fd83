"""Where candidates came from and what became of them: operators of variation, ancestry, validity, staleness.

All of it is read from a run's rows, while it goes on as after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..archive import CandidateRow, EvaluationRow
from ..genome.genes import GENES
from ..search import Run, RunSummary
from .ancestry import Ancestry, all_ancestors, ancestry
from .progress import Change, Staleness, WorkerRecord, by_worker, changes, figures, pairs, staleness
from .statistics import Interval, wilson

# Fates of a proposal, whose shares are of all proposals; the others' are of those trained.
_OF_PROPOSALS = ("valid", "repaired", "rejected", "duplicate", "infeasible", "trained")
_OF_TRAINED = ("failed", "front", "ancestors")
_FAMILIES = ("seed",)


@dataclass(frozen=True)
class OperatorRecord:
    """What became of the proposals of one operator of variation.

    `valid`, `repaired` and `rejected` add up to `proposals`. `trained` candidates have been evaluated;
    `failed` ones had an evaluation that failed; `reached` counts those measured at each rung. `front`
    are on the run's front, `ancestors` on it or among the ancestors of its members.
    """

    operator: str
    proposals: int
    valid: int
    repaired: int
    rejected: int
    duplicate: int
    infeasible: int
    trained: int
    failed: int
    reached: tuple[int, ...]
    front: int
    ancestors: int
    changes: tuple[Change, ...]

    def share(self, fate: str) -> Interval:
        """The share of a fate, by its name here, with Wilson's interval.

        Of all proposals for what becomes of them before training, of those trained for the rest.
        """
        base = self.proposals if fate in _OF_PROPOSALS else self.trained
        return wilson(getattr(self, fate), base)

    def share_reached(self, rung: int) -> Interval:
        """The share of the trained that were measured at a rung, with Wilson's interval."""
        return wilson(self.reached[rung], self.trained)

    def change(self, objective: str, rung: int = 0) -> Change | None:
        """What the operator changed in an objective at a rung; None without a pair to compare."""
        for change in self.changes:
            if (change.objective, change.rung) == (objective, rung):
                return change
        return None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON: a count with its share and the share's interval for each fate."""
        return {
            "operator": self.operator,
            "proposals": self.proposals,
            **{fate: _counted(getattr(self, fate), self.share(fate)) for fate in _OF_PROPOSALS + _OF_TRAINED},
            "reached": [_counted(n, self.share_reached(rung)) for rung, n in enumerate(self.reached)],
            "changes": [asdict(change) for change in self.changes],
        }


@dataclass(frozen=True)
class GeneRecord:
    """How often a gene of the table went with the others, over all of a run's proposals.

    `repaired` and `rejected` count proposals in which the gene was re-sampled, or for which it was
    among the reasons of a rejection.
    """

    gene: str
    proposals: int
    repaired: int
    rejected: int

    @property
    def valid(self) -> int:
        """Proposals in which the gene stood as it was."""
        return self.proposals - self.repaired - self.rejected

    def share(self, fate: str) -> Interval:
        """The share of "valid", "repaired" or "rejected" among all proposals, with Wilson's interval."""
        return wilson(getattr(self, fate), self.proposals)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        fates = ("valid", "repaired", "rejected")
        return {
            "gene": self.gene,
            "proposals": self.proposals,
            **{fate: _counted(getattr(self, fate), self.share(fate)) for fate in fates},
        }


@dataclass(frozen=True)
class Lineage:
    """The lineage of a run.

    `operators` and `genes` are in descending order of proposals and of trouble; `ancestries` in the
    order of the front; `objectives` the run's, by name.
    """

    objectives: tuple[str, ...]
    operators: tuple[OperatorRecord, ...]
    ancestries: tuple[Ancestry, ...]
    genes: tuple[GeneRecord, ...]
    staleness: Staleness
    workers: tuple[WorkerRecord, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON; nan where a figure is not known."""
        return {
            "objectives": list(self.objectives),
            "operators": [record.to_dict() for record in self.operators],
            "ancestries": [each.to_dict() for each in self.ancestries],
            "genes": [record.to_dict() for record in self.genes],
            "staleness": asdict(self.staleness),
            "workers": [asdict(record) for record in self.workers],
        }


def lineage(run: Run) -> Lineage:
    """The lineage of a run, from its rows."""
    return lineage_of(run.summary())


def lineage_of(summary: RunSummary) -> Lineage:
    """The lineage of a run that has been read already."""
    searched = {row.index: row for row in summary.candidates if row.role == "search"}
    measured = figures(summary.evaluations)
    rungs = range(len(summary.settings.rungs))
    found = {(o.name, rung): pairs(searched, measured, o, rung) for o in summary.objectives for rung in rungs}
    front = [entry.index for entry in summary.front]
    ancestries = tuple(ancestry(index, searched) for index in front)
    evaluations = [r for r in summary.evaluations if r.stage == "search" and r.candidate in searched]
    first = summary.objectives[0].name
    trained = frozenset(row.candidate for row in evaluations if row.status != "infeasible")
    return Lineage(
        objectives=tuple(o.name for o in summary.objectives),
        operators=tuple(
            _operator_record(
                name,
                [row for row in searched.values() if operator_name(row.operator) == name],
                evaluations,
                len(rungs),
                frozenset(front),
                all_ancestors(ancestries),
                found,
            )
            for name in _operator_names(tuple(searched.values()))
        ),
        ancestries=ancestries,
        genes=gene_records(tuple(searched.values())),
        staleness=staleness(searched.values(), trained, found[first, 0], first),
        workers=by_worker(evaluations, found[first, 0]),
    )


def operator_name(operator: str) -> str:
    """The operator that a proposal is counted under: seeds together, whatever motif they are from."""
    family = operator.partition(":")[0]
    return family if family in _FAMILIES else operator


def gene_records(candidates: Sequence[CandidateRow]) -> tuple[GeneRecord, ...]:
    """Every gene of the table with what became of it, the most troublesome first, then as in the table."""
    counts: dict[str, Counter[str]] = {
        fate: Counter(
            gene for row in candidates if row.validity == fate for gene in dict.fromkeys(row.repaired_genes)
        )
        for fate in ("repaired", "rejected")
    }
    table = [f"{gene.level} {gene.name}" for gene in GENES]
    # A run of another version may name genes that are no longer in the table.
    others = sorted((counts["repaired"] + counts["rejected"]).keys() - set(table))
    records = [
        GeneRecord(gene, len(candidates), counts["repaired"][gene], counts["rejected"][gene])
        for gene in (*table, *others)
    ]
    return tuple(sorted(records, key=lambda record: record.valid))


def _operator_names(candidates: Sequence[CandidateRow]) -> list[str]:
    counts = Counter(operator_name(row.operator) for row in candidates)
    return sorted(counts, key=lambda name: (-counts[name], name))


def _operator_record(
    name: str,
    rows: Sequence[CandidateRow],
    evaluations: Sequence[EvaluationRow],
    rungs: int,
    front: frozenset[int],
    ancestors: frozenset[int],
    found: dict[tuple[str, int], dict[int, Any]],
) -> OperatorRecord:
    members = {row.index for row in rows}
    mine = [row for row in evaluations if row.candidate in members]
    ok = {(row.candidate, row.rung) for row in mine if row.status == "ok"}
    trained = {row.candidate for row in mine if row.status != "infeasible"}
    return OperatorRecord(
        operator=name,
        proposals=len(rows),
        valid=sum(row.validity == "valid" for row in rows),
        repaired=sum(row.validity == "repaired" for row in rows),
        rejected=sum(row.validity == "rejected" for row in rows),
        duplicate=sum(row.status == "duplicate" for row in rows),
        infeasible=sum(row.status == "infeasible" for row in rows),
        trained=len(trained),
        failed=len({row.candidate for row in mine if row.status not in ("ok", "infeasible")}),
        reached=tuple(sum(reached == rung for _, reached in ok) for rung in range(rungs)),
        front=len(trained & front),
        ancestors=len(trained & ancestors),
        changes=changes(sorted(members), found),
    )


def _counted(count: int, share: Interval) -> dict[str, Any]:
    return {"count": count, "share": share.mean, "low": share.low, "high": share.high}
