"""What to do next: which candidate to promote, which baseline to train, or whether to ask for a new one.

The agenda reads the ledger and the clock; it starts nothing. Promotions come before new candidates,
the higher rung first. With a deadline, a new candidate is asked for only while it could still climb
all rungs; after that the most promising who have not gone on yet do. The last share of a budget
belongs to the finalists, who are trained again with other seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from .finalists import first_of_next_round, next_repeat, steps_spent
from .ledger import BASELINE, SEARCH, Ledger, Work
from .promotion import Prospect, next_in_line, promotable, prospects
from .ranking import order_at
from .settings import SearchSettings
from .strategies import NSGA2, Seeded, Strategy


class Agenda:
    """Chooses what to train.

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
        self.top = ledger.top
        self._decided: list[Work] = []
        self._standings: dict[int, tuple[int, list[Prospect]]] = {}

    def next(self) -> Work | None:
        """The next training, or None if there is none now. Baselines and candidates take turns."""
        baseline = self._baseline()
        roles = [self.ledger.candidates[work.candidate].role for work in self.ledger.started]
        if baseline is not None and roles.count(BASELINE) < roles.count(SEARCH):
            return baseline
        return self._interrupted() or self._of_search() or baseline or self._repeat()

    def _interrupted(self) -> Work | None:
        """A candidate whose first evaluation an earlier session did not finish."""
        for candidate in self.ledger.of_role(SEARCH):
            work = Work(candidate.index, 0)
            if work not in self.ledger.started and self._fits(work):
                return work
        return None

    def _baseline(self) -> Work | None:
        """Baselines climb all rungs, whatever they score; the hybrids first, for they train fastest."""
        for candidate in reversed(list(self.ledger.of_role(BASELINE))):
            reached = self.ledger.costs.get(candidate.index, {})
            work = Work(candidate.index, max(reached, default=-1) + 1)
            if work.rung > self.top or work in self.ledger.started:
                continue
            if self._fits(work):
                return work
        return None

    def _of_search(self) -> Work | None:
        if self.settings.mode == "generational":
            return self._in_generation()
        for rung in reversed(range(self.top)):
            for index in self._promotable(rung):
                if self._fits(Work(index, rung + 1)):
                    return Work(index, rung + 1)
        if self._time_for_another():
            proposed = self.propose()
            return None if proposed is None else Work(proposed, 0)
        return self._last_promotion()

    def _in_generation(self) -> Work | None:
        """A generation's proposals, then its promotions rung by rung, each after all before have ended."""
        left = self._seconds_left(repeat=False)
        if left is not None and left <= 0:
            return None
        while True:
            while self._decided:
                work = self._decided.pop(0)
                if self._fits(work):
                    return work
            if self._repeating():
                return None
            proposed = self.propose() if self._time_for_another() else None
            if proposed is not None:
                return Work(proposed, 0)
            if any(self.ledger.candidates[work.candidate].role == SEARCH for work in self.ledger.running):
                return None
            strategy = self.generational
            self._decided = self._promotions_of(strategy.generation)
            if not self._decided and self._generations_done(strategy.generation):
                self._decided = self._completions()
                if not self._decided:
                    return None
            elif not self._decided:
                strategy.close_generation()

    @property
    def generational(self) -> NSGA2:
        """The strategy that counts generations, whatever it is wrapped in."""
        strategy = self.strategy.inner if isinstance(self.strategy, Seeded) else self.strategy
        assert isinstance(strategy, NSGA2)
        return strategy

    def _promotions_of(self, generation: int) -> list[Work]:
        """A generation's promotions from the lowest rung that has any, decided at once, run side by side."""
        for rung in range(self.top):
            chosen = [
                Work(index, rung + 1)
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

    def _standing(self, rung: int) -> list[Prospect]:
        """A rung's prospects in its order, kept until more is measured: they are asked for often."""
        measured = len(self.ledger.evaluations)
        if self._standings.get(rung, (None,))[0] != measured:
            known = prospects(self.ledger.forecast(rung), self.settings.seed)
            by_index = {one.index: one for one in known}
            cohort = [standing for standing in self.ledger.standings() if rung in standing.costs]
            ordered = [by_index[standing.index] for standing in order_at(cohort, rung)]
            self._standings[rung] = (measured, ordered)
        return self._standings[rung][1]

    def _promotable(self, rung: int) -> list[int]:
        return promotable(self._standing(rung), self.settings.promote, self.ledger.gone_on(rung))

    def _last_promotion(self) -> Work | None:
        """At the end: the best who have not gone on yet, from the top down, as far as the budget allows."""
        if self.settings.minutes is None and self.settings.steps is None:
            completions = self._completions()
            return completions[0] if completions else None
        for rung in reversed(range(self.top)):
            for index in next_in_line(self._standing(rung), self.ledger.gone_on(rung)):
                if self._fits(Work(index, rung + 1)):
                    return Work(index, rung + 1)
        return None

    def _completions(self) -> list[Work]:
        """Where candidates are counted: who still goes on so that no rung stays empty for rounding down."""
        for rung in range(self.top):
            standing, gone_on = self._standing(rung), self.ledger.gone_on(rung)
            there = sum(one.index in gone_on for one in standing)
            wanted = math.ceil(len(standing) * self.settings.promote - 1e-9) - there
            chosen = next_in_line(standing, gone_on)[: max(0, wanted)]
            if chosen:
                return [Work(index, rung + 1) for index in chosen]
        return []

    # Finalists -------------------------------------------------------------------------------

    def _repeat(self) -> Work | None:
        """When the search is over: the finalists again, with other seeds, for their share of the budget."""
        share = self.settings.reevaluate
        if not share or self.top not in {r for by_rung in self.ledger.costs.values() for r in by_rung}:
            return None
        seed = self.settings.seed
        work = next_repeat(self.ledger, seed)
        if work is None and self._another_round(share):
            work = first_of_next_round(self.ledger, seed)
        return work if work is not None and self._fits(work) else None

    def _another_round(self, share: float) -> bool:
        """With a clock, whenever a worker is free; without, when all have ended and steps are left.

        Steps are left while repeats have had less than their share of all; that is repeatable. A generation
        must have ended as well: an idle worker there waits for its promotions.
        """
        if self.settings.minutes is not None and self.settings.mode == "async":
            return True
        if self.ledger.running:
            return False
        if self.settings.minutes is not None or self.settings.steps is not None:
            return True
        spent = steps_spent(self.ledger, on_repeats=True)
        return spent < share / (1 - share) * steps_spent(self.ledger, on_repeats=False)

    def _repeating(self) -> bool:
        return any(work.repeat for work in self.ledger.started)

    # The budget ------------------------------------------------------------------------------

    def _time_for_another(self) -> bool:
        """Whether a new candidate is wanted and could still climb all rungs."""
        if self.settings.candidates is not None and self.ledger.trained() >= self.settings.candidates:
            return False
        way = range(self.top + 1)
        left = self._seconds_left(repeat=False)
        if left is not None and left <= sum(self.ledger.seconds_between(None, r - 1, r) for r in way):
            return False
        steps = self._steps_left(repeat=False)
        return steps is None or steps >= sum(self.ledger.steps_between(r - 1, r) or 0 for r in way)

    def _fits(self, work: Work) -> bool:
        below = -1 if work.repeat else work.rung - 1
        left = self._seconds_left(repeat=work.repeat > 0)
        if left is not None and left <= self.ledger.seconds_between(work.candidate, below, work.rung):
            return False
        if self.ledger.candidates[work.candidate].role == BASELINE:
            return True
        steps = self._steps_left(repeat=work.repeat > 0)
        return steps is None or steps >= (self.ledger.steps_between(below, work.rung) or 0)

    def _seconds_left(self, *, repeat: bool) -> float | None:
        """Seconds until the deadline, or until the finalists' part begins; None without a deadline."""
        left = self.seconds_left()
        if left is None or repeat or self.settings.minutes is None:
            return left
        return left - self.settings.reevaluate * 60 * self.settings.minutes

    def _steps_left(self, *, repeat: bool) -> float | None:
        """Training steps left, in all or to the search; None where they are not limited."""
        if self.settings.steps is None:
            return None
        whole = self.settings.steps * (1.0 if repeat else 1 - self.settings.reevaluate)
        return whole - self.ledger.steps_begun()
