"""Grades: thirds of what was measured, and graphs asked to be like one of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.learning.generator.test_forms import mixing
from tests.learning.generator.test_generator import SIZES, WORLD

from madstar.errors import GraphError
from madstar.learning.datasets.examples import Measured
from madstar.learning.generator import Conditions, fit, fit_on
from madstar.learning.generator.decisions import is_causal
from madstar.learning.generator.grades import grade_of, graded, ranks_of


def measured(task: str, budget: str, **values: float) -> list[Measured]:
    return [Measured(entry, task, budget, value, None, 1) for entry, value in values.items()]


def test_ranks_are_means_over_figures() -> None:
    rows = measured("quality/text", "50 steps", a=2.0, b=3.0, c=2.5)  # less is better
    assert ranks_of(rows) == {"a": 0.0, "c": 0.5, "b": 1.0}
    rows += measured("mad/recall", "quick", a=0.1, b=0.9, c=0.5)  # more is better
    assert ranks_of(rows) == {"a": 0.5, "c": 0.5, "b": 0.5}
    assert ranks_of(measured("quality/text", "", a=1.0, b=1.0, c=1.0, d=2.0)) == {
        "a": pytest.approx(1 / 3), "b": pytest.approx(1 / 3), "c": pytest.approx(1 / 3), "d": 1.0,
    }  # fmt: skip
    assert ranks_of(measured("quality/text", "", a=1.0, b=2.0)) == {}  # of two none is in a third


def test_what_is_no_score_does_not_grade() -> None:
    amounts = [
        Measured(entry, "decode@1024 on it", "", float(n + 1), None, 1) for n, entry in enumerate("abcd")
    ]
    assert ranks_of(amounts) == {}


def test_thirds_are_those_of_the_blocks() -> None:
    assert graded([[0.1], [], [0.9, 1.0], [0.5], [0.0, 0.4], [0.6], [0.7]]) == [
        "best", "unmeasured", "rest", "middle", "best", "middle", "rest",
    ]  # fmt: skip
    assert graded([[0.1], [0.2], []]) == ["unmeasured"] * 3
    assert [grade_of(behind) for behind in (0.0, 0.33, 0.34, 0.66, 0.67, 1.0)] == [
        "best", "best", "middle", "middle", "rest", "rest",
    ]  # fmt: skip


def test_what_is_asked_to_be_like_the_best_is() -> None:
    """Graphs of one domain, alike in all that can be asked for but their grade."""
    good = [replace(mixing(width, True), facts={"domain": "block"}) for width in (8, 16, 32)] * 4
    bad = [replace(mixing(width, False), facts={"domain": "block"}) for width in (8, 16, 32)] * 4
    grades = ["best"] * len(good) + ["rest"] * len(bad)
    made = fit([*good, *bad], 0, steps=240, sizes=SIZES, grades=grades)
    assert made.facts.grades == {"best": 12, "rest": 12}
    best, rest = (
        sum(map(is_causal, made.generate(8, 1, Conditions(residual=True, grade=grade))))
        for grade in ("best", "rest")
    )
    assert best >= rest + 4
    more = fit_on(made, good[:2], steps=1, grades=["best", "middle"])
    assert more.facts.grades == {"best": 13, "middle": 1, "rest": 12}
    with pytest.raises(GraphError, match="nothing of the grade 'middle' was learned"):
        made.generate(1, 0, Conditions(grade="middle"))


def test_grades_are_checked() -> None:
    with pytest.raises(GraphError, match="1 grades for 2 graphs"):
        fit(WORLD[:2], grades=["best"])
    with pytest.raises(GraphError, match="no grade 'good': there is unmeasured, best, middle, rest"):
        fit(WORLD[:2], grades=["best", "good"])
