"""What the loop makes of proposals: each is checked anew, then the round's candidates are chosen.

Proposals come from a worker and are taken for anybody's: nothing in them is believed that can be found out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from ..errors import GraphError, MadstarError
from ..genome import Genome, Sizes, architecture_hash
from .candidates import GENOME, Candidate, graph_of, of_graph, parameters_of, why_not
from .limits import Limits
from .mixers import why_no_mixer
from .settings import DesignSettings

_CAUTION = 0.5
"""Predicted deviations by which a proposal is taken for better: what is uncertain is worth a look."""
ADMITTED, INFEASIBLE, REJECTED, DUPLICATE = "pending", "infeasible", "rejected", "duplicate"


@dataclass(frozen=True)
class Admission:
    """What became of a proposal: a status of the archive's candidates, and why; its parameters if counted."""

    candidate: Candidate
    status: str
    reason: str = ""
    parameters: int | None = None


def admit(
    candidate: Candidate, settings: DesignSettings, sizes: Sizes, limits: Limits, known: Collection[str]
) -> Admission:
    """Look at a proposal as if nothing were known of it. Nothing is built."""
    try:
        key = _key(candidate, settings, sizes)
        if key != candidate.key:
            raise GraphError("its key is not that of its structure")
        if key in known:
            return Admission(candidate, DUPLICATE, "was proposed before")
        parameters = parameters_of(candidate, sizes, settings.pairs, settings.training.length)
    except (MadstarError, RecursionError, ArithmeticError) as error:
        return Admission(candidate, REJECTED, why_not(error)[:300])
    if parameters > limits.parameters:
        reason = f"{parameters:,} parameters, at most {limits.parameters:,} are allowed"
        return Admission(candidate, INFEASIBLE, reason, parameters)
    return Admission(candidate, ADMITTED, "", parameters)


def _key(candidate: Candidate, settings: DesignSettings, sizes: Sizes) -> str:
    """The candidate's key, found anew. Raises MadstarError for what may not be trained."""
    if candidate.kind == GENOME:
        genome = Genome.parse(candidate.text)
        if not settings.space(sizes.vocabulary_size).contains(genome):
            raise GraphError("its genome is not of the space of this run")
        return architecture_hash(genome)
    graph = graph_of(candidate)
    if why := why_no_mixer(graph, sizes.width):
        raise GraphError(f"its block is no mixer: {why}")
    return of_graph(graph).key


def choose(pool: Sequence[Candidate], wanted: int) -> list[Candidate]:
    """Those of a pool that are expected to be best, in hope; without predictions the first.

    At least one of each kind is among them, where there are two places and the pool has both.
    """
    ranked = sorted(pool, key=_hope)
    chosen = ranked[:wanted]
    for kind in {candidate.kind for candidate in pool} if wanted > 1 else ():
        if all(candidate.kind != kind for candidate in chosen):
            chosen[-1] = next(candidate for candidate in ranked if candidate.kind == kind)
    return [replace(candidate, guided=True) for candidate in chosen]


def _hope(candidate: Candidate) -> float:
    told = candidate.prediction
    return 0.0 if told is None else told.value - _CAUTION * told.deviation
