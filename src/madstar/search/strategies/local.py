"""Pareto local search: try the neighbours of what is best so far.

White et al. 2020 (arXiv 2005.02960) found local search strong where evaluations are few and little
noisy. With several objectives it climbs from every member of the front instead of from one best
(Paquete et al. 2004).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ...genome import SearchSpace
from ...genome.variation import Offspring
from ..ranking import nondominated, order
from .contract import Event, Proposal, proposal_rng, random_proposal
from .neighbourhood import neighbour, one_change_apart
from .observations import Observations

_REDRAWS = 10
# Dropped proposals in a row, after which a neighbourhood is left for the next.
_REFUSALS = 4


class LocalSearch:
    """Neighbours of the front, the least explored member first; random restarts when it is exhausted.

    `initial` random genomes begin. The front is that of the highest rung anyone has reached. A
    member is exhausted when `patience` of its neighbours were tried since the last that came onto
    the front. When all are, every second proposal is a random genome, and the others climb from the
    best of those that are not exhausted: so a fresh start is followed up before it has been promoted.
    """

    def __init__(self, space: SearchSpace, seed: int, *, initial: int = 8, patience: int = 8) -> None:
        self.space, self.seed = space, seed
        self.initial, self.patience = initial, patience
        self._seen = Observations()
        self._apart: dict[tuple[int, int], bool] = {}

    def propose(self, index: int) -> Proposal | None:
        """A neighbour of one candidate; at first and at restarts, a random genome."""
        rng = proposal_rng(self.seed, index)
        if len(self._seen.genomes) < self.initial or not self._seen.measured:
            return random_proposal(self.space, self.seed, index, 0)
        centre = self._centre(rng)
        found = None if centre is None else self._new_neighbour(centre, rng)
        if centre is None or found is None:
            fresh = random_proposal(self.space, self.seed, index, 0).offspring
            return Proposal(Offspring(fresh.genome, "restart", fresh.validity, fresh.repaired_genes))
        return Proposal(found, parents=(centre,))

    def observe(self, event: Event) -> None:
        """Take note of a proposal's fate or of a result."""
        self._seen.observe(event)

    def replay(self, history: Iterable[Event]) -> None:
        """Observe a whole history."""
        self._seen.replay(history)

    @property
    def front(self) -> tuple[int, ...]:
        """Candidates that nothing dominates at the highest rung reached."""
        standings = self._seen.standings()
        top = max((s.rung for s in standings), default=0)
        there = [s for s in standings if s.rung == top]
        if not there:
            return ()
        best = nondominated(np.array([s.costs[top] for s in there], dtype=float))
        return tuple(s.index for s, member in zip(there, best, strict=True) if member)

    def tried(self, index: int) -> int:
        """How many neighbours of a candidate were tried since the last that is on the front now.

        Neighbours are known by their genomes, so that a replayed history counts the same. Those
        older than the candidate, such as its parent, are not its own attempts.
        """
        later = [i for i in self._seen.genomes if i > index and self._near(index, i)]
        success = max((i for i in later if i in self.front), default=-1)
        return sum(i > success for i in later)

    def _centre(self, rng: np.random.Generator) -> int | None:
        """Whose neighbour to try, or None for a restart."""
        by_effort = sorted((self.tried(index), index) for index in self.front)
        open_ones = [index for tried, index in by_effort if tried < self.patience]
        if not open_ones:
            if rng.random() < 0.5:
                return None
            ranked = (s.index for s in order(self._seen.standings()))
            open_ones = [index for index in ranked if self.tried(index) < self.patience]
        # Where constraints let no neighbour pass, the next candidate's turn comes, and then a restart.
        turn = self._seen.refused // _REFUSALS
        return open_ones[turn] if turn < len(open_ones) else None

    def _new_neighbour(self, centre: int, rng: np.random.Generator) -> Offspring | None:
        for _ in range(_REDRAWS):
            found = neighbour(self._seen.genomes[centre], self.space, rng)
            if found is None:
                return None
            if not self._seen.expresses(found[0]):
                return Offspring(found[0], f"neighbour:{found[1]}", "valid")
        return None

    def _near(self, first: int, second: int) -> bool:
        if (first, second) not in self._apart:
            genomes = self._seen.genomes
            self._apart[first, second] = one_change_apart(genomes[first], genomes[second])
        return self._apart[first, second]
