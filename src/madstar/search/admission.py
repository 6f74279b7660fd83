"""Whether a proposal may be trained: what is known of a genome before any training.

Duplicates, rejected ones and those that break a static constraint are dropped here, before they
cost anything. Parameters, cache and FLOPs cost little to know and are kept whatever is optimised.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

from ..errors import ObjectiveError
from ..genome import Genome, Sizes
from ..genome.variation import Offspring
from ..objectives import STATIC, Constraint, Objective, Subject, find_objective

ALWAYS_KEPT = ("parameters", "cache", "flops")
# Genomes whose figures are remembered: a strategy that screens looks at them before it proposes.
_REMEMBERED = 4096


class Admission:
    """Judges proposals of one run."""

    def __init__(
        self,
        objectives: Sequence[Objective],
        constraints: Sequence[Constraint],
        sizes: Sizes,
        length: int,
    ) -> None:
        self.objectives, self.constraints, self.sizes, self.length = objectives, constraints, sizes, length
        named = [*objectives, *map(find_objective, ALWAYS_KEPT)]
        self._static = tuple({o.name: o for o in named if o.kind == STATIC}.values())
        self.figures = lru_cache(_REMEMBERED)(self._figures)

    def judge(self, offspring: Offspring, tried: Collection[str]) -> dict[str, Any]:
        """The fields of a proposal's row: its status, why it was dropped if it was, static figures.

        `tried` are hashes of architectures that were accepted before.
        """
        fields: dict[str, Any] = {
            "genome": str(offspring.genome),
            "architecture": "",
            "operator": offspring.operator,
            "validity": offspring.validity,
            "repaired_genes": offspring.repaired_genes,
            "status": "pending",
            "reason": None,
            "values": {},
        }
        if offspring.validity == "rejected":
            return fields | {"status": "rejected", "reason": ", ".join(offspring.repaired_genes)}
        fields["architecture"] = offspring.genome.architecture
        if fields["architecture"] in tried:
            return fields | {"status": "duplicate", "reason": "already tried or under way"}
        values, broken = self.figures(offspring.genome)
        status = "pending" if broken is None else "infeasible"
        return fields | {"status": status, "reason": broken, "values": values}

    def screen(self, genome: Genome) -> tuple[float | None, ...] | None:
        """Costs in the objectives' order, None for those that only training tells.

        None altogether where the genome breaks a static constraint.
        """
        values, broken = self.figures(genome)
        if broken is not None:
            return None
        return tuple(o.cost(values[o.name]) if o.name in values else None for o in self.objectives)

    def _figures(self, genome: Genome) -> tuple[dict[str, float], str | None]:
        """Static figures, and how they break a constraint, if they do."""
        subject = Subject(genome, self.sizes, self.length)
        try:
            values = {o.name: o.measure(subject).value for o in self._static}
        except ObjectiveError as error:
            return {}, str(error)
        endless = [name for name, value in values.items() if not math.isfinite(value)]
        broken = (
            f"objective {endless[0]} is {values[endless[0]]}: return a finite number" if endless else None
        )
        for constraint in self.constraints:
            if constraint.objective.kind == STATIC:
                name = constraint.objective.name
                values.setdefault(name, constraint.objective.measure(subject).value)
                if broken is None and not constraint.holds(values[name]):
                    broken = constraint.broken_by(values[name])
        return values, broken
