from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from madstar.search.worth import worth_of

QUALITY = SimpleNamespace(name="quality", kind="trained", direction="min")
CACHE = SimpleNamespace(name="cache", kind="static", direction="min")


def summary(values: dict[str, list[float]], front: tuple[int, ...] = (), **more: Any) -> Any:
    """A run of candidates by operator, in that order, each measured at the first rung."""
    named = [(operator, value) for operator, each in values.items() for value in each]
    rows = [
        SimpleNamespace(candidate=i, rung=0, status="ok", stage="search", values={"quality": v, "cache": 1.0})
        for i, (_, v) in enumerate(named)
    ]
    facts: dict[str, Any] = {
        "candidates": [SimpleNamespace(index=i, operator=o) for i, (o, _) in enumerate(named)],
        "evaluations": rows,
        "objectives": (CACHE, QUALITY),
        "front": [SimpleNamespace(index=i) for i in front],
        "settings": SimpleNamespace(rungs=("50", "100")),
    }
    return SimpleNamespace(**{**facts, **more})


def test_medians_front_and_an_interval_that_excludes_nothing_by_chance() -> None:
    rng = np.random.default_rng(0)
    good, plain = list(2.0 + 0.1 * rng.normal(size=40)), list(2.5 + 0.1 * rng.normal(size=20))
    run = summary(
        {"random": [9.0, 9.0], "guided:generated": good, "unguided:random": plain}, front=(2, 3, 45, 1)
    )
    worth = worth_of(run)
    assert worth is not None
    assert (worth.figure, worth.budget, worth.counts, worth.on_front) == ("quality", "50", (40, 20), (2, 1))
    assert worth.medians == (pytest.approx(np.median(good)), pytest.approx(np.median(plain)))
    assert worth.low < worth.difference < worth.high < 0
    assert worth_of(run) == worth
    assert "less is better" in str(worth)
    assert "no clear difference" not in str(worth)
    assert worth.to_dict()["guided"] == {"measured": 40, "on_front": 2, "median": worth.medians[0]}


def test_higher_rungs_repeats_and_failures_do_not_count() -> None:
    run = summary({"guided:known": [1.0, 2.0, 3.0], "unguided:mutation": [2.0, 2.0, 2.0]})
    for field, value in (("rung", 1), ("stage", "repeat"), ("status", "crash")):
        extra = SimpleNamespace(**{**vars(run.evaluations[0]), field: value, "values": {"quality": 99.0}})
        run.evaluations.append(extra)
    worth = worth_of(run)
    assert worth is not None
    assert worth.medians == (2.0, 2.0)
    assert "no clear difference" in str(worth)


def test_nothing_to_compare_is_said_and_a_plain_run_has_nothing() -> None:
    assert worth_of(summary({"random": [1.0], "crossover": [2.0]})) is None
    alone = worth_of(summary({"guided:known": [1.0, 2.0]}))
    assert alone is not None
    assert str(alone) == "2 measured, none of them unguided: nothing to compare"
    assert alone.to_dict()["difference"]["median"] is None
