"""What to do next: which candidate to promote, which baseline to train, or whether to ask for a new one.

The agenda reads the ledger and the clock; it starts nothing. Promotions come before new candidates,
the higher rung first. With a deadline, a new candidate is asked for only while it could still climb
all rungs; after that the best who have not gone on yet do.
"""

from __future__ import annotations

from collections.abc import Callable

from .ledger import BASELINE, SEARCH, Ledger
from .nsga2 import NSGA2
from .promotion import next_in_line, promotable
from .settings import SearchSettings
from .strategy import Strategy

Evaluation = tuple[int, int]


class Agenda:
    """Chooses evaluations, as (candidate, rung).

    `propose` makes a new candidate and returns its number, or None to wait; `seconds_left` is None
    without a deadline.
    """

    def __init__(
        self,
        settings: SearchSettings,
        ledger: Ledger,
        strategy: Strategy,
        propose: Callable[[], int | None],
        seconds_left: Callable[[], float | None],
    ) -> None:
        self.settings, self.ledger, self.strategy = settings, ledger, strategy
        self.propose, self.seconds_left = propose, seconds_left
        self.top = len(ledger.budgets) - 1
        self._promoted: list[Evaluation] = []

    def next(self) -> Evaluation | None:
        """The next evaluation, or None if there is none now. Baselines and candidates take turns."""
        baseline = self._baseline()
        roles = [self.ledger.candidates[index].role for index, _ in self.ledger.started]
        if baseline is not None and roles.count(BASELINE) < roles.count(SEARCH):
            return baseline
        return self._interrupted() or self._of_search() or baseline

    def _interrupted(self) -> Evaluation | None:
        """A candidate whose first evaluation an earlier session did not finish."""
        for candidate in self.ledger.of_role(SEARCH):
            if (candidate.index, 0) not in self.ledger.started and self._fits(candidate.index, -1, 0):
                return candidate.index, 0
        return None

    def _baseline(self) -> Evaluation | None:
        """Baselines climb all rungs, whatever they score; the hybrids first, for they train fastest."""
        for candidate in reversed(list(self.ledger.of_role(BASELINE))):
            reached = self.ledger.costs.get(candidate.index, {})
            rung = max(reached, default=-1) + 1
            if rung > self.top or (candidate.index, rung) in self.ledger.started:
                continue
            if self._fits(candidate.index, rung - 1, rung):
                return candidate.index, rung
        return None

    def _of_search(self) -> Evaluation | None:
        if self.settings.mode == "generational":
            return self._in_generation()
        for rung in reversed(range(self.top)):
            for index in self._promotable(rung):
                if self._fits(index, rung, rung + 1):
                    return index, rung + 1
        if self._time_for_another():
            proposed = self.propose()
            return None if proposed is None else (proposed, 0)
        return self._last_promotion()

    def _in_generation(self) -> Evaluation | None:
        """A generation's proposals, then its promotions rung by rung, each after all before have ended."""
        assert isinstance(self.strategy, NSGA2)
        left = self.seconds_left()
        if left is not None and left <= 0:
            return None
        while True:
            if self._promoted:
                return self._promoted.pop(0)
            proposed = self.propose()
            if proposed is not None:
                return proposed, 0
            if any(self.ledger.candidates[i].role == SEARCH for i, _ in self.ledger.running):
                return None
            generation = self.strategy.generation
            self._promoted = self._promotions_of(generation)
            if not self._promoted:
                if self._generations_done(generation):
                    return None
                self.strategy.close_generation()

    def _promotions_of(self, generation: int) -> list[Evaluation]:
        """A generation's promotions from the lowest rung that has any, decided at once, run side by side."""
        for rung in range(self.top):
            chosen = [
                (index, rung + 1)
                for index in self._promotable(rung)
                if self.ledger.candidates[index].generation == generation
            ]
            if chosen:
                return chosen
        return []

    def _generations_done(self, generation: int) -> bool:
        if self.settings.generations is not None and generation + 1 >= self.settings.generations:
            return True
        limit = self.settings.candidates
        made = any(c.generation == generation for c in self.ledger.of_role(SEARCH))
        return not made or (limit is not None and self.ledger.trained() >= limit)

    def _promotable(self, rung: int) -> list[int]:
        return promotable(self.ledger.standings(), rung, self.settings.promote, self.ledger.started)

    def _last_promotion(self) -> Evaluation | None:
        """At the end: the best who have not gone on yet, from the top down, as far as time allows."""
        if self.seconds_left() is None:
            return None
        for rung in reversed(range(self.top)):
            for index in next_in_line(self.ledger.standings(), rung, self.ledger.started):
                if self._fits(index, rung, rung + 1):
                    return index, rung + 1
        return None

    def _time_for_another(self) -> bool:
        """Whether a new candidate is wanted and could still climb all rungs."""
        if self.settings.candidates is not None and self.ledger.trained() >= self.settings.candidates:
            return False
        left = self.seconds_left()
        if left is None:
            return True
        way = sum(self.ledger.seconds_between(None, rung - 1, rung) for rung in range(self.top + 1))
        return left > way

    def _fits(self, index: int, lower: int, upper: int) -> bool:
        left = self.seconds_left()
        return left is None or left > self.ledger.seconds_between(index, lower, upper)
