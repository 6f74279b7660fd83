"""A round's figures against plain reckoning, and the log."""

from __future__ import annotations

import itertools
import json
import math
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madstar.design.candidates import Candidate, Prediction
from madstar.design.log import Log, plain, read_log
from madstar.design.rounds import Tried, agreement, by_group, data_hash, record


def tried(index: int, score: float | None, predicted: float | None, *, kind="genome", guided=False) -> Tried:
    told = None if predicted is None else Prediction(predicted, predicted, predicted, 0.1, "m")
    candidate = Candidate(kind, "text", f"key{index}", "random", guided, (), told)
    return Tried(index, candidate, "error" if score is None else "ok", "", score, 10)


def slow_tau(pairs: list[tuple[float, float]]) -> float:
    """Of pairs without ties: the share of pairs in the same order less that in the other."""
    signs = [math.copysign(1, (a[0] - b[0]) * (a[1] - b[1])) for a, b in itertools.combinations(pairs, 2)]
    return sum(signs) / len(signs)


@given(st.permutations(range(7)))
def test_agreement_is_kendalls_tau(order) -> None:
    pairs = [(float(place), float(value)) for place, value in enumerate(order)]
    found = agreement(pairs)
    assert found["n"] == 7
    assert found["tau"] == pytest.approx(slow_tau(pairs))


def test_agreement_of_too_few_or_of_equal_ones_is_none() -> None:
    assert agreement([(1.0, 2.0), (2.0, 3.0)]) == {"tau": None, "n": 2}
    assert agreement([(1.0, 2.0)] * 4)["tau"] is None


def test_a_round_in_figures() -> None:
    rows = [
        tried(0, 2.0, 2.1, guided=True),
        tried(1, 1.5, 1.4, guided=True, kind="graph"),
        tried(2, 3.0, 2.9),
        tried(3, None, 1.0, guided=True),
        tried(4, 2.5, None),
    ]
    found = record(2, rows, 1.75, measured={"a": 1.0}, models={}, counts={}, seconds={"training": 1.234})
    assert (found["trained"], found["failed"], found["best"], found["gain"]) == (4, 1, 1.5, 0.25)
    assert found["best_so_far"] == 1.5
    groups = found["groups"]
    assert groups["guided"] == {"proposed": 3, "trained": 2, "best": 1.5, "median": 1.75}
    assert groups["free"] == {"proposed": 2, "trained": 2, "best": 2.5, "median": 2.75}
    assert groups["graph guided"]["trained"] == 1
    assert found["agreement"] == {"tau": pytest.approx(1.0), "n": 3}
    json.dumps(found, allow_nan=False)


@given(st.lists(st.tuples(st.floats(0, 10), st.booleans()), max_size=12))
def test_groups_add_up(rows) -> None:
    all_of = [tried(n, score, None, guided=guided) for n, (score, guided) in enumerate(rows)]
    found = by_group(all_of)
    assert sum(found.get(name, {"proposed": 0})["proposed"] for name in ("guided", "free")) == len(rows)
    for name, guided in (("guided", True), ("free", False)):
        scores = [score for score, was in rows if was == guided]
        if scores:
            assert found[name]["best"] == min(scores)
            assert found[name]["median"] == statistics.median(scores)


def test_the_hash_of_what_was_measured_is_of_its_content() -> None:
    assert data_hash({"a": 1.0, "b": 2.0}) == data_hash({"b": 2.0, "a": 1.0})
    assert data_hash({"a": 1.0}) != data_hash({"a": 1.5})


def test_a_line_that_was_cut_off_is_ended_and_left_out(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    log = Log(file)
    log.write("first", number=float("nan"))
    log.close()
    with file.open("ab") as cut:
        cut.write(b'{"event": "cut of')
    log = Log(file)
    log.write("second", path={"a": (1, 2)})
    log.close()
    assert [line["event"] for line in read_log(file)] == ["first", "second"]
    assert len(file.read_text().splitlines()) == 3
    assert plain({"a": [math.inf]}) == {"a": [None]}
