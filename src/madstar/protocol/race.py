"""What is to be trained next: a pure function of the plan and of the rows so far.

On each setting the sweep points race with the first seed (`training/racing.py` has the rule). When that
is over, the chosen point is trained with the other seeds, straight to the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..archive import EvaluationRow
from ..tasks.mechanistic import Setting
from ..training import Evaluation, decide
from .plan import Plan, chance
from .protocols import SOLVED, SweepPoint

OK = "ok"


class Wanted(NamedTuple):
    """One training: of a setting at a point with a seed, to a rung (its number)."""

    setting: str
    point: str
    seed: int
    rung: int


@dataclass(frozen=True)
class Race:
    """One setting's rows, and what follows from them.

    `rows` are of this setting. `reasons` say of each point why it does not go on, "going on" where it does.
    """

    plan: Plan
    setting: Setting
    rows: tuple[EvaluationRow, ...]

    def own(self, point: SweepPoint, seed: int) -> tuple[EvaluationRow, ...]:
        """The rows of a point with a seed, by rung."""
        chosen = [row for row in self.rows if row.point == str(point) and row.seed == seed]
        return tuple(sorted(chosen, key=lambda row: row.rung))

    def solved(self) -> bool:
        """Whether a point has solved the setting with the first seed, in any look on the way.

        The looks decide, as they do in the worker: a score on more examples may fall below what they saw.
        """
        looks = (row.curve for row in self.rows if row.status == OK and row.seed == 0)
        return any(accuracy >= SOLVED for curve in looks for _, accuracy in curve)

    def verdicts(self) -> Mapping[SweepPoint, str]:
        """Of each point whether it goes on, and if not why."""
        metric = self.plan.protocol.selection_metric
        split = self.plan.protocol.selection
        past = {}
        failed = []
        for point in self.plan.points:
            rows = self.own(point, 0)
            if any(row.status != OK for row in rows):
                failed.append(point)
            past[point] = [
                Evaluation(
                    row.steps, row.values[metric], row.errors[f"{split}_micro"], row.values[f"{split}_loss"]
                )
                for row in rows
                if row.status == OK
            ]
        if self.solved():
            return {point: "diverged" if point in failed else "solved" for point in self.plan.points}
        found = decide(
            past,
            self.plan.rungs(self.setting),
            solved=SOLVED,
            chance=chance(self.setting),
            diverged=failed,
        )
        return {point: verdict.reason for point, verdict in found.items()}

    def chosen(self) -> SweepPoint | None:
        """The point with the best accuracy on the selecting split, where it stopped; None if all failed.

        Points that were carried to the end or solved the setting go before those that stopped early: only
        they have a score, and an early look at few examples may flatter.
        """
        metric, score = self.plan.protocol.selection_metric, self.plan.protocol.test_metric
        found: dict[SweepPoint, tuple[bool, float]] = {}
        for point in self.plan.points:
            rows = [row for row in self.own(point, 0) if row.status == OK]
            if rows and not math.isnan(rows[-1].values[metric]):
                found[point] = (score in rows[-1].values, rows[-1].values[metric])
        return max(found, key=lambda point: found[point]) if found else None

    def wanted(self) -> list[Wanted]:
        """What is to be trained now, if nothing is under way."""
        verdicts = self.verdicts()
        open_ = [point for point, reason in verdicts.items() if reason == "going on"]
        if open_:
            # Nobody runs ahead: what is trained does not depend on which of the rivals is ready first.
            lowest = min(len(self.own(p, 0)) for p in open_)
            at_lowest = (p for p in open_ if len(self.own(p, 0)) == lowest)
            return [Wanted(self.setting.key, str(p), 0, lowest) for p in at_lowest]
        point = self.chosen()
        if point is None:
            return []
        last = len(self.plan.rungs(self.setting)) - 1
        return [
            Wanted(self.setting.key, str(point), seed, last)
            for seed in range(1, self.plan.seeds)
            if not self.own(point, seed)
        ]

    def steps_left(self) -> int:
        """Steps still to be trained at most, if no point stops early."""
        total = self.plan.total_steps(self.setting)
        verdicts = self.verdicts()
        open_ = [p for p, reason in verdicts.items() if reason == "going on"]
        left = sum(total - max((row.steps for row in self.own(p, 0)), default=0) for p in open_)
        point = self.chosen()
        if open_ or point is not None:
            more = range(1, self.plan.seeds)
            left += sum(total for seed in more if point is None or not self.own(point, seed))
        return left


def races(plan: Plan, rows: Iterable[EvaluationRow]) -> tuple[Race, ...]:
    """The race on each setting of a plan."""
    by_setting: dict[str, list[EvaluationRow]] = {setting.key: [] for setting in plan.settings}
    for row in rows:
        if row.setting in by_setting:
            by_setting[row.setting].append(row)
    return tuple(Race(plan, s, tuple(by_setting[s.key])) for s in plan.settings)


def next_wanted(found: Sequence[Race], running: Iterable[Wanted]) -> list[Wanted]:
    """Everything that may be started now, lower rungs first, so that a look at all settings comes early."""
    busy = set(running)
    wanted = [w for race in found for w in race.wanted() if w not in busy]
    return sorted(wanted, key=lambda w: (w.seed, w.rung))
