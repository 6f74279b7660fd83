"""How much training a benchmark gives: quick, standard or full.

"full" is the whole protocol: every setting, every sweep point, 200 epochs in batches of 128. The others
train on fewer settings, in smaller batches, with larger rates for fewer steps, and race: the rule of
`training/racing.py` says which sweep points stop early.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from ..errors import ConfigurationError
from .protocols import Protocol, SweepPoint

EVERY = "all"
EPOCHS = 200
"""Of the whole protocol (arXiv 2403.17844, B.1)."""


@dataclass(frozen=True)
class BenchmarkBudget:
    """An amount of training for one architecture.

    `level` names the settings in the tasks' files. `steps` is the largest number for one training, None
    for 200 epochs. `points` are the sweep's, the protocol's if None. `rungs` are shares of `steps` at
    which sweep points are compared; with a single one nothing is raced. On the way `looked` examples
    are scored, at most `evaluations` times, and `scored` of each split at the end. `seeds` is the
    protocol's if None.
    """

    name: str
    level: str
    steps: int | None
    batch: int
    points: tuple[SweepPoint, ...] | None
    rungs: tuple[float, ...]
    evaluations: int
    looked: int
    scored: int
    warmup: int
    seeds: int | None

    def sweep(self, protocol: Protocol) -> tuple[SweepPoint, ...]:
        """The points of the sweep under a protocol."""
        return self.points or protocol.points


_FAST = (SweepPoint(3e-3, 0.1), SweepPoint(1e-3, 0.1))

QUICK = BenchmarkBudget(
    name="quick",
    level="quick",
    steps=400,
    batch=32,
    points=_FAST,
    rungs=(1 / 4, 1 / 2, 1),
    evaluations=10,
    looked=128,
    scored=512,
    warmup=40,
    seeds=1,
)
STANDARD = BenchmarkBudget(
    name="standard",
    level="standard",
    steps=800,
    batch=32,
    points=_FAST,
    rungs=(1 / 8, 1 / 4, 1 / 2, 1),
    evaluations=16,
    looked=128,
    scored=1280,
    warmup=60,
    seeds=2,
)
FULL = BenchmarkBudget(
    name="full",
    level=EVERY,
    steps=None,
    batch=128,
    points=None,
    rungs=(1,),
    evaluations=200,
    looked=1280,
    scored=1280,
    warmup=0,
    seeds=None,
)
BUDGETS = {budget.name: budget for budget in (QUICK, STANDARD, FULL)}


def find_budget(name: str) -> BenchmarkBudget:
    """The budget of that name. Raises ConfigurationError for an unknown one."""
    if name not in BUDGETS:
        near = difflib.get_close_matches(name, BUDGETS, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ConfigurationError(f"unknown budget {name!r}{hint}: choose {', '.join(BUDGETS)}")
    return BUDGETS[name]
