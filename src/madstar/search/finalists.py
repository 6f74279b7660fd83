"""Finalists: the last part of a budget trains the best again with other seeds.

The best of many noisy figures is too good to be true. A fixed share of the budget is kept for those
that stand on the front or near it, so that the front is one of means, and the run learns how much
its seeds scatter. It goes in rounds: in round k every finalist is trained with seed k, and who is a
finalist of round k follows from the rounds before it alone, so an interrupted round can go on.
"""

from __future__ import annotations

from collections.abc import Sequence

from .ledger import SEARCH, Ledger, Work
from .promotion import CLEAR_LOSER, Prospect, prospects

# Trainings of one candidate, the first included, after which more would not tell much.
MOST_SEEDS = 5
# How many candidates compete for repeats; the budget is small, and thin spreading tells nothing.
_FINALISTS = 8


def next_repeat(ledger: Ledger, seed: int) -> Work | None:
    """The repeat to train next, or None where the round has been begun wholly."""
    number = _round(ledger)
    if number == 0:
        return None
    for one in finalists(ledger, seed, before=number):
        work = Work(one.index, ledger.top, number)
        if work not in ledger.started:
            return work
    return None


def first_of_next_round(ledger: Ledger, seed: int) -> Work | None:
    """The first repeat of a new round, of which all that has ended by now decides."""
    number = _round(ledger) + 1
    if number >= MOST_SEEDS:
        return None
    for one in finalists(ledger, seed, before=number):
        return Work(one.index, ledger.top, number)
    return None


def finalists(ledger: Ledger, seed: int, before: int | None = None) -> Sequence[Prospect]:
    """Candidates at the highest rung that may be on its front, given the noise, the best first.

    With `before`, as it was before the round of that number.
    """
    standing = prospects(ledger.forecast(ledger.top, before=before), seed)
    return [one for one in standing if one.chance >= CLEAR_LOSER][:_FINALISTS]


def steps_spent(ledger: Ledger, *, on_repeats: bool) -> int:
    """Training steps of search candidates, on repeats or on all else."""
    spent = 0
    for row in ledger.evaluations:
        if ledger.candidates[row.candidate].role == SEARCH and (row.stage == "repeat") == on_repeats:
            # As if no trunk was ever lost to a crash, which an undisturbed run would not know of.
            lower = row.rung - 1 if row.stage == "search" else -1
            spent += (ledger.steps_between(lower, row.rung) or row.steps) if row.status == "ok" else 0
    return spent


def _round(ledger: Ledger) -> int:
    """The number of the last round begun, 0 where none was."""
    return max((work.repeat for work in ledger.started), default=0)
