"""A validation's tables: whole, half done, and where all has failed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
from rich.console import Console

from madstar.archive import CandidateRow, EvaluationRow, RunRow
from madstar.objectives import find_objective
from madstar.report.validated import print_validation
from madstar.studies.retrained import Comparison, HitRate, Retrained, Validation
from madstar.studies.statistics import mean_interval, paired_difference, verdict

RUN: Any = RunRow(1, "r", None, "finished", {}, "0", 0.0)  # type: ignore[arg-type]
OBJECTIVES = (find_objective("quality"), find_objective("cache@64"))


def retrained(index: int, test: Sequence[float], *, name: str | None = None, **fields: Any) -> Retrained:
    values = {"parameters": 1000.0 * (index + 1), "cache@64": 64.0 * (index + 1)}
    role = "search" if name is None else "baseline"
    candidate = CandidateRow(
        *(index, 1, index, role, name, "g", "a", "o", (), "valid", (), "pending", None, values, 0, 0, 0.0)
    )
    rows = [
        EvaluationRow(
            *(
                0,
                1,
                index,
                0,
                0,
                8,
                0,
                seed,
                "ok",
                None,
                {"test_bits_per_byte": value},
                {},
                (),
                {},
                0,
                0.0,
                1.0,
            ),
            stage="validation",
        )
        for seed, value in enumerate(test)
    ]
    means = {"quality": sum(test) / len(test), "cache@64": values["cache@64"]} if test else {}
    interval = mean_interval(test)
    return Retrained(candidate, tuple(rows), interval, interval, means, **fields)


def compared(member: Retrained, baseline: Retrained, **shares: float) -> Comparison:
    pairs = list(zip(member.ok, baseline.ok, strict=False))
    difference = paired_difference(
        [member.ok[a].values["test_bits_per_byte"] for a, _ in pairs],
        [baseline.ok[b].values["test_bits_per_byte"] for _, b in pairs],
    )
    named = {name.replace("_", "@"): share for name, share in shares.items()}
    return Comparison(member.index, baseline.index, difference, verdict(difference), named)


def shown(*architectures: Retrained, width: int = 80, **fields: Any) -> str:
    given = {"comparisons": (), "hit_rates": (), "wanted": 6, **fields}
    found = Validation(
        run=RUN,
        number=0,
        budget="8 steps",
        seeds=3,
        objectives=OBJECTIVES,
        architectures=architectures,
        **given,
    )
    stream = io.StringIO()
    print_validation(found, Console(file=stream, width=width))
    return stream.getvalue()


MEMBER = retrained(7, [2.0, 3.0, 4.0], stays=True)
BASELINE = retrained(8, [2.1, 3.11, 4.09], name="the only baseline", dominated_by=(7,))


def line(text: str, begin: str) -> list[str]:
    return next(row for row in text.splitlines() if row.startswith(begin)).split()


@pytest.mark.parametrize("width", [80, 140])
def test_figures_difference_and_verdict_stand_in_one_line_each(width: int) -> None:
    text = shown(
        MEMBER,
        BASELINE,
        comparisons=[compared(MEMBER, BASELINE, parameters=0.92, cache_64=0.026)],
        hit_rates=[HitRate(8, 4, 3, {"quality": 2, "cache@64": 4})],
        width=width,
    )
    assert "Trained again from scratch: 8 steps, 3 seeds each" in text
    assert "a the only baseline." in text
    assert line(text, "#7 ")[:3] == ["#7", "3.00", "±"]
    assert line(text, "#7 ")[-1] == "stays"
    assert line(text, "a ")[-1] == "#7"
    words = ["#7", "less", "a", "−0.100", "−0.125", "to", "−0.075", "3", "better", "2.6", "%", "92", "%"]
    assert line(text, "#7 less") == words
    assert "#7 is better than every baseline" in text
    assert "final population (4 candidates)" in text
    last = text.splitlines()[-1].split()
    assert last == ["a", "75%", "50%", "100%"]
    assert max(map(len, text.splitlines())) <= width


def test_what_is_missing_and_what_failed_is_said() -> None:
    bad = retrained(9, [])
    text = shown(MEMBER, bad, retrained(8, [2.0], name="b"), wanted=9)
    assert "4 of 9 trainings have ended." in text
    assert line(text, "#9 ")[-1] == "come"  # "to come"
    assert "nan" not in text


def test_without_baselines_there_is_nothing_to_compare() -> None:
    text = shown(MEMBER)
    assert "Differences" not in text
    assert "final population" not in text


def test_large_shares_are_told_as_factors() -> None:
    text = shown(MEMBER, BASELINE, comparisons=[compared(MEMBER, BASELINE, cache_64=4096.0)])
    assert "× 4,096" in text
    assert line(text, "#7 less")[-1] == "–"
