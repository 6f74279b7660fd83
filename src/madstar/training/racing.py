"""Who goes on among the sweep points of one setting: a rule, and nothing but the rule.

A setting is trained at several sweep points (learning rate x weight decay); its score is that of the best.
Points are evaluated on the way. This module says, from the evaluations so far, who need not go on.

The rule
--------
Let the rungs be rising steps, the last of which is the whole budget S. Points are evaluated at the same
steps. A point is judged at the highest rung r that it has reached: on its own evaluations up to r, and on
each rival's up to r or to the highest rung that the rival has reached, if that is lower. So who trains
faster has no advantage, and who has reached no rung is no rival yet. In this order:

1. *diverged*: a point that is reported so, or has a loss or accuracy that is not finite, stops, and is no
   rival to the others.
2. *solved*: if any point, at any step, has reached the accuracy at which a setting counts as solved, all
   stop.
3. *complete*: a point at step S or beyond stops: it is done.
4. A point below the first rung, or with fewer than two evaluations up to r, goes on.
5. For the others let a be its best accuracy up to r, e its standard error there (at least 0.01), L its last
   loss, L' its last loss at step r/2 or before (its first where there is none), f = max(0, 1 - L/L') the
   share by which its loss fell in the last doubling of its steps, and D = log2(S/r) the doublings left.
   Its optimistic forecast is

       a + 2 sqrt(e^2 + e_q^2) + (1 - a) min(1, 2 f D)

   that is: its accuracy; noise, its own and that of the rival q; and an allowance for late risers: errors
   shrink by the share by which the loss does, twice as fast as it did last, in each doubling left.
   It is *beaten* if the forecast is below the last accuracy up to r of some rival q.
6. A point is flat if a <= chance + 2e and f < 0.1. Below S/2 a flat point is never beaten: late risers are
   flat for long. From S/2 on it stops as *flat* if it is beaten, or if all points are flat and one of those
   that reached r too has a lower loss there. Points with equal losses stay together.
7. From S/2 on a point that is not flat is *behind*, and stops, if a rival that has reached r too has there no
   lower accuracy, no lower forecast (noise left out) and a lower loss: it is no better now, nor likely to be.
8. At least one point is carried to S. If by 5 to 7 no point would go on and none is complete, those with
   the highest forecast (noise left out) among the points not diverged go on.

So a point whose curve is above all others at every step is never stopped before S, unless the setting is
solved; and at most S/2 steps are spent on a point that never rises while another does.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, TypeVar

from ..errors import ConfigurationError

Reason = Literal["going on", "solved", "beaten", "behind", "flat", "complete", "diverged"]
Key = TypeVar("Key", bound=Hashable)

_LEAST_ERROR = 0.01
_ERRORS = 2.0
_SPEEDUP = 2.0
_FALLING = 0.1


class Evaluation(NamedTuple):
    """A score on the way: accuracy with its standard error, loss in nats, after `step` steps."""

    step: int
    accuracy: float
    standard_error: float
    loss: float


class Verdict(NamedTuple):
    """Whether a sweep point trains on, why, and its forecast (nan where none was made)."""

    go_on: bool
    reason: Reason
    forecast: float = math.nan


class _Standing(NamedTuple):
    """A point at the rung where it is judged."""

    rung: int
    accuracy: float
    error: float
    allowance: float
    loss: float
    flat: bool

    @property
    def forecast(self) -> float:
        return self.accuracy + self.allowance


def decide(
    points: Mapping[Key, Sequence[Evaluation]],
    rungs: Sequence[int],
    *,
    solved: float = 0.999,
    chance: float = 0.0,
    diverged: Collection[Key] = (),
) -> dict[Key, Verdict]:
    """The verdict on each sweep point, from its evaluations so far (any order of points; rising steps).

    Raises ConfigurationError for rungs or evaluations that do not rise.
    """
    _check(points, rungs)
    gone = {key for key, past in points.items() if key in diverged or not all(map(_finite, past))}
    sound = {key: past for key, past in points.items() if key not in gone}
    verdicts: dict[Key, Verdict] = {key: Verdict(False, "diverged") for key in gone}
    if any(one.accuracy >= solved for past in sound.values() for one in past):
        return {key: verdicts.get(key, Verdict(False, "solved")) for key in points}
    for key in sound:
        verdicts[key] = _judge(key, sound, rungs, chance)
    if sound and all(not verdicts[key].go_on and verdicts[key].reason != "complete" for key in sound):
        highest = max(verdicts[key].forecast for key in sound)
        for key in sound:
            if verdicts[key].forecast == highest:
                verdicts[key] = Verdict(True, "going on", highest)
    return {key: verdicts[key] for key in points}


def _judge(
    key: Key, sound: Mapping[Key, Sequence[Evaluation]], rungs: Sequence[int], chance: float
) -> Verdict:
    own = sound[key]
    if own and own[-1].step >= rungs[-1]:
        return Verdict(False, "complete", own[-1].accuracy)
    standing = _standing(own, rungs, chance)
    if standing is None:
        return Verdict(True, "going on")
    rivals = [
        _upto(past, min(standing.rung, _reached(past, rungs)))
        for other, past in sound.items()
        if other != key
    ]
    beaten = any(_beaten(standing, past[-1]) for past in rivals if past)
    reason: Reason
    if not standing.flat:
        late = 2 * standing.rung >= rungs[-1]
        behind = late and any(_ahead(at, standing) for at in _others(key, standing, sound, rungs, chance))
        reason = "beaten" if beaten else "behind" if behind else "going on"
    elif 2 * standing.rung < rungs[-1]:
        reason = "going on"
    else:
        reason = "flat" if beaten or _flattest(key, standing, sound, rungs, chance) else "going on"
    return Verdict(reason == "going on", reason, standing.forecast)


def _standing(past: Sequence[Evaluation], rungs: Sequence[int], chance: float) -> _Standing | None:
    """Where a point stands at the highest rung it has reached; None where it cannot be judged yet."""
    rung = _reached(past, rungs)
    return _standing_at(past, rung, rungs[-1], chance) if rung else None


def _reached(past: Sequence[Evaluation], rungs: Sequence[int]) -> int:
    """The highest rung that a point has reached, 0 where none."""
    return max((rung for rung in rungs if past and rung <= past[-1].step), default=0)


def _standing_at(past: Sequence[Evaluation], rung: int, last: int, chance: float) -> _Standing | None:
    seen = _upto(past, rung)
    if len(seen) < 2:
        return None
    best = max(seen, key=lambda one: one.accuracy)
    error = _error(best)
    before = _upto(seen, rung / 2)
    earlier = before[-1].loss if before else seen[0].loss
    fall = max(0.0, 1 - seen[-1].loss / earlier) if earlier > 0 else 0.0
    left = math.log2(last / rung) if rung < last else 0.0
    allowance = max(0.0, 1 - best.accuracy) * min(1.0, _SPEEDUP * fall * left)
    flat = best.accuracy <= chance + _ERRORS * error and fall < _FALLING
    return _Standing(rung, best.accuracy, error, allowance, seen[-1].loss, flat)


def _beaten(standing: _Standing, rival: Evaluation) -> bool:
    noise = _ERRORS * math.hypot(standing.error, _error(rival))
    return standing.forecast + noise < rival.accuracy


def _others(
    key: Key,
    standing: _Standing,
    sound: Mapping[Key, Sequence[Evaluation]],
    rungs: Sequence[int],
    chance: float,
) -> Iterator[_Standing]:
    """Where the rivals that have reached the same rung stood there."""
    for other, past in sound.items():
        if other != key and past and past[-1].step >= standing.rung:
            there = _standing_at(past, standing.rung, rungs[-1], chance)
            if there is not None:
                yield there


def _ahead(rival: _Standing, own: _Standing) -> bool:
    """Whether a rival, at the same rung, is no worse in anything and has a lower loss."""
    no_worse = rival.accuracy >= own.accuracy and rival.forecast >= own.forecast
    return no_worse and rival.loss < own.loss


def _flattest(
    key: Key,
    standing: _Standing,
    sound: Mapping[Key, Sequence[Evaluation]],
    rungs: Sequence[int],
    chance: float,
) -> bool:
    """Whether all points are flat and one that reached the same rung has a lower loss there."""
    better = False
    for other, past in sound.items():
        there = _standing_at(past, standing.rung, rungs[-1], chance)
        if there is None or not there.flat:
            return False
        better |= other != key and past[-1].step >= standing.rung and there.loss < standing.loss
    return better


def _upto(past: Sequence[Evaluation], step: float) -> Sequence[Evaluation]:
    return [one for one in past if one.step <= step]


def _error(one: Evaluation) -> float:
    return max(_LEAST_ERROR, one.standard_error) if math.isfinite(one.standard_error) else _LEAST_ERROR


def _finite(one: Evaluation) -> bool:
    return math.isfinite(one.accuracy) and math.isfinite(one.loss)


def _check(points: Mapping[Key, Sequence[Evaluation]], rungs: Sequence[int]) -> None:
    if not rungs or rungs[0] < 1 or not _rises(rungs):
        raise ConfigurationError(f"rungs {list(rungs)}: give rising steps, the last being the whole budget")
    for key, past in points.items():
        if not _rises([one.step for one in past]):
            raise ConfigurationError(f"sweep point {key}: its evaluations are not in rising order of steps")


def _rises(steps: Sequence[int]) -> bool:
    return all(a < b for a, b in pairwise(steps))


def rungs_of(total: int, shares: Iterable[float] = (1 / 8, 1 / 4, 1 / 2, 1)) -> tuple[int, ...]:
    """Rungs in steps, as shares of a budget of `total` steps; equal ones once."""
    return tuple(sorted({max(1, round(total * share)) for share in shares}))


class Replay(NamedTuple):
    """What the rule would have done with runs that were carried to their end.

    `stopped` has for each point the step and the reason of its stop. `reached` is the best accuracy that
    any point has when it stops, `possible` the best at the end without the rule, both in what was measured.
    """

    stopped: dict[Hashable, tuple[int, Reason]]
    spent: int
    full: int
    reached: float
    possible: float


def replay(
    curves: Mapping[Key, Sequence[Evaluation]],
    rungs: Sequence[int],
    *,
    solved: float = 0.999,
    chance: float = 0.0,
) -> Replay:
    """Race finished curves, all points in step, to see what the rule saves and what it loses."""
    stopped: dict[Hashable, tuple[int, Reason]] = {}
    shown: dict[Key, Sequence[Evaluation]] = {key: [] for key in curves}
    for step in sorted({one.step for past in curves.values() for one in past}):
        for key in curves:
            if key not in stopped:
                shown[key] = _upto(curves[key], step)
        for key, verdict in decide(shown, rungs, solved=solved, chance=chance).items():
            if key not in stopped and not verdict.go_on:
                stopped[key] = (step, verdict.reason)
            elif key in stopped and verdict.go_on:
                del stopped[key]  # its rivals have come apart: it is taken up again
    for key, past in curves.items():
        stopped.setdefault(key, (past[-1].step if past else 0, "complete"))
    ends = {key: past[-1].step if past else 0 for key, past in curves.items()}
    return Replay(
        stopped=stopped,
        spent=sum(min(stopped[key][0], ends[key]) for key in curves),
        full=sum(ends.values()),
        reached=_best_last(shown.values()),
        possible=_best_last(curves.values()),
    )


def _best_last(curves: Iterable[Sequence[Evaluation]]) -> float:
    lasts = [past[-1].accuracy for past in curves if past and _finite(past[-1])]
    return max(lasts, default=math.nan)
