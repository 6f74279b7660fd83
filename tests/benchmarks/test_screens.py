"""Rank correlations against scipy, and screens on tables where their worth is known."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from benchmarks.evaluated import read_table
from benchmarks.rank_correlation import (
    Estimate,
    draw_weights,
    genome_features,
    left_out_predictions,
    mixing_counts,
    ranks,
    residuals,
    tau,
    terciles,
)
from benchmarks.screens import Judgement, Score, judge, markdown, measure, rung_scores, spread, summed
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, rankdata

from madstar.genome import Genome
from madstar.liv import cost
from madstar.objectives import Subject, find_objective

from .conftest import SIZES, genomes, table_of

Write = Callable[..., Path]
FEW = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=12)


@settings(max_examples=40)
@given(FEW)
def test_tau_is_scipys(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs, dtype=float).T
    found = tau(x, y, np.ones((1, len(x)))).value
    assert found == pytest.approx(kendalltau(x, y).statistic, nan_ok=True)


@settings(max_examples=30)
@given(FEW, st.integers(0, 1000))
def test_weighted_tau_is_that_of_the_drawn_sample(pairs: list[tuple[int, int]], seed: int) -> None:
    x, y = np.array(pairs, dtype=float).T
    weights = draw_weights(len(x), 3, np.random.default_rng(seed))
    assert np.all(weights.sum(1) == len(x))
    for drawn, own in zip(weights[1:], tau(x, y, weights).draws, strict=True):
        taken = np.repeat(np.arange(len(x)), drawn.astype(int))
        assert own == pytest.approx(kendalltau(x[taken], y[taken]).statistic, nan_ok=True)


def test_within_strata_only_their_own_pairs_count() -> None:
    x = np.array([1.0, 2, 3, 10, 11, 12])
    y = np.array([3.0, 2, 1, 13, 12, 11])
    strata = np.array([0, 0, 0, 1, 1, 1])
    once = np.ones((1, 6))
    assert tau(x, y, once).value == pytest.approx(kendalltau(x, y).statistic)
    assert tau(x, y, once).value > 0
    assert tau(x, y, once, strata).value == -1


def test_terciles() -> None:
    assert terciles(np.arange(9.0)).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert set(terciles(np.ones(5)).tolist()) == {0}


@given(st.lists(st.integers(0, 6), min_size=1, max_size=15))
def test_ranks_are_scipys(values: list[int]) -> None:
    assert ranks(np.array(values, dtype=float)).tolist() == (rankdata(values) - 1).tolist()


def test_residuals_leave_nothing_of_the_nuisance() -> None:
    rng = np.random.default_rng(0)
    nuisance = rng.normal(size=(40, 2))
    left = residuals(rng.normal(size=40) + nuisance[:, 0], nuisance)
    assert np.abs(nuisance.T @ left).max() < 1e-6
    # What is a function of the nuisance alone has no order left.
    line = np.arange(40.0)
    assert np.all(residuals(line, line[:, None]) == 0)


def test_an_estimate_and_its_difference() -> None:
    one, other = Estimate(0.5, np.array([0.4, 0.6, np.nan])), Estimate(0.1, np.array([0.2, -0.1, 0.1]))
    gap = one.minus(other)
    assert gap.value == pytest.approx(0.4)
    assert gap.interval == pytest.approx((0.2125, 0.6875))
    assert gap.above_zero
    assert not other.above_zero
    assert math.isnan(Estimate(0.0, np.array([np.nan])).interval[0])


def test_intervals_cover_the_truth() -> None:
    """Of 60 samples from one population, about 95 % of the intervals hold its tau."""
    slope, held = 0.8, 0
    rng = np.random.default_rng(3)
    correlation = slope / math.hypot(slope, 1)
    truth = 2 / math.pi * math.asin(correlation)
    for _ in range(60):
        x = rng.normal(size=40)
        found = tau(x, slope * x + rng.normal(size=40), draw_weights(40, 300, rng))
        held += found.interval[0] <= truth <= found.interval[1]
    assert 50 <= held <= 60


def test_what_a_surrogate_sees() -> None:
    texts = ["11111-91111", "91111-11111", "11112-11112", "71111-91111"]
    seen = [Genome.parse(text) for text in texts]
    assert mixing_counts(seen).tolist() == [
        [1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 2, 0, 0, 0], [1, 0, 1, 0, 0],
    ]  # fmt: skip
    features = genome_features(seen)
    assert len(np.unique(features, axis=0)) == 4
    assert np.allclose(features.mean(0), 0)
    assert np.allclose(features.std(0), 1)


def test_ridge_leaves_out_as_refitting_does() -> None:
    """The leave-one-out error that chooses penalties is that of real refits."""
    rng = np.random.default_rng(0)
    kernel = np.cov(rng.normal(size=(9, 30)))
    y = rng.normal(size=9)
    penalty = 0.7
    inverse = np.linalg.inv(kernel + penalty * np.eye(9))
    for out in range(9):
        rest = np.arange(9) != out
        dual = np.linalg.solve(kernel[np.ix_(rest, rest)] + penalty * np.eye(8), y[rest])
        assert y[out] - kernel[out, rest] @ dual == pytest.approx((inverse @ y)[out] / inverse[out, out])


def test_left_out_predictions_use_a_score_that_tells() -> None:
    rng = np.random.default_rng(1)
    features, target = genome_features(genomes(40)), rng.normal(size=40)
    alone, noise, told = (
        kendalltau(
            left_out_predictions(features, score, target, np.random.default_rng(0), 1), target
        ).statistic
        for score in (None, rng.normal(size=40), target + 0.3 * rng.normal(size=40))
    )
    # Targets have nothing to do with the genomes here.
    assert abs(alone) < 0.35
    assert abs(noise) < 0.35
    assert told > 0.6


def test_left_out_architectures_are_not_seen() -> None:
    features = np.random.default_rng(0).normal(size=(20, 4))
    target = np.zeros(20)
    target[7] = 1000.0
    predicted = left_out_predictions(features, None, target, np.random.default_rng(0), repeats=1)
    assert predicted[7] == pytest.approx(0.0)


@pytest.fixture(scope="module")
def judged() -> dict[str, Judgement]:
    """Quality follows "good"; "size" goes half with it, "parameters" not at all."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=60)
    scores = [[4 - 0.3 * t + rng.normal(), 3 - 0.4 * t, 2 - 0.5 * t] for t in truth]
    table = table_of(scores)
    parameters = np.array([row.parameters for row in table.rows], dtype=float)
    given_scores = [
        Score("parameters", parameters, 0.1),
        Score("good", truth + 0.3 * rng.normal(size=60), 0.1),
        Score("bad", -truth, 0.1),
        Score("random", rng.normal(size=60), 0.1),
        *rung_scores(table, SIZES, 8, 2),
    ]
    alone, found = judge(table, given_scores, draws=300, repeats=1, seed=0)
    text = markdown(table, alone, found)
    assert len([line for line in text.splitlines() if line.startswith("| ")]) == len(given_scores) + 1
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1
    json.dumps([one.to_dict() for one in found])
    return {one.score.name: one for one in found}


def test_who_earns_its_keep(judged: dict[str, Judgement]) -> None:
    assert list(judged) == ["parameters", "good", "bad", "random", "50 steps", "100 steps"]
    assert {name for name, one in judged.items() if one.earns} == {"good", "100 steps"}
    assert judged["100 steps"].tau.value == pytest.approx(1.0)
    assert judged["good"].within_terciles.above_zero
    assert judged["good"].beyond_size.above_zero
    # A score of the wrong sign may help a surrogate, but does not rank by itself.
    assert judged["bad"].surrogate_gain.above_zero
    assert judged["bad"].tau.value == pytest.approx(-1.0)
    assert judged["parameters"].over_base is None


def test_rungs_cost_what_the_table_says(write: Write) -> None:
    lines = [
        {
            "genome": str(g),
            "scores": {"50": 3.0, "100": 2.0},
            "seconds": {"50": pace, "100": 9.0},
            "parameters": 1,
            "cache": 1,
        }
        for g, pace in zip(genomes(3), (0.1, 0.2, 0.3), strict=True)
    ]
    (score,) = rung_scores(read_table(write(lines), SIZES), SIZES, 8, 2)
    assert (score.name, score.seconds) == ("50 steps", pytest.approx(10.0))
    assert score.values.tolist() == [-3.0] * 3


def test_scores_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = table_of([[3.0, 2.0, 1.0]] * 3).rows
    names, cache = ["gradient-norm", "feature-rank"], tmp_path / "deep" / "screens.jsonl"
    first = measure(names, rows[:2], SIZES, 16, cache)
    expected = find_objective("feature-rank").measure(Subject(rows[1].genome, SIZES, 16)).value
    assert first[1].values[1] == expected
    # An interrupted run leaves half a line.
    cache.write_text(cache.read_text() + '{"setting": "')
    measured = []
    real = find_objective

    def counting(name: str) -> object:
        measured.append(name)
        return real(name)

    monkeypatch.setattr("benchmarks.screens.find_objective", counting)
    again = measure(names, rows[:2], SIZES, 16, cache)
    assert measured == []
    assert [score.values.tolist() for score in again] == [score.values.tolist() for score in first]
    measure(names, rows, SIZES, 16, cache)
    assert len(measured) == 2
    # Other sizes or lengths are other scores.
    measure(names, rows[:1], SIZES, 24, cache)
    assert len(measured) == 4


def test_reading_a_table(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two, three = map(str, genomes(3))
    write(
        [
            {"genome": one, "scores": {"50": 3.0, "100": 2.0}, "parameters": 7, "cache": 5, "seed": 0},
            "",
            {"genome": one, "scores": {"50": 3.2, "100": 2.4}, "parameters": 7, "cache": 5, "seed": 1},
        ]
    )
    write(
        [
            {"genome": two, "scores": {"25": 4.0, "50": 3.0, "100": 2.0}},
            {"genome": three, "scores": {"50": 3.0}},
        ],
        "other.jsonl",
    )
    table = read_table(tmp_path, SIZES)
    assert table.steps == (50, 100)
    assert "1 of 4 lines have no score at 100 steps" in capsys.readouterr().err
    rows = {row.text: row for row in table.rows}
    assert set(rows) == {one, two}
    assert rows[one].mean.tolist() == pytest.approx([3.1, 2.2])
    assert (rows[one].parameters, rows[one].cache) == (7, 5.0)
    known = cost(Subject(rows[two].genome, SIZES, 16).spec, 4096)
    assert (rows[two].parameters, rows[two].cache) == (known.parameters, known.cache_bytes)


@pytest.mark.parametrize("line", ["{", "[]", "3", '{"genome": "11111"}', '{"genome": 1, "scores": {"5": 1}}'])
def test_a_bad_line_is_named(write: Write, line: str) -> None:
    path = write([{"genome": "11111", "scores": {"50": 1.0}}, line])
    with pytest.raises(SystemExit, match=r"part\.jsonl, line 2: no JSON object with genome and scores"):
        read_table(path, SIZES)


def test_an_empty_table(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no evaluated architectures in"):
        read_table(tmp_path, SIZES)


def test_fewer_architectures_are_spread_over_the_ranking() -> None:
    table = table_of([[3.0, 2.0, 1.0 + 0.1 * place] for place in (3, 0, 4, 2, 1)])
    assert [row.mean[-1] for row in spread(table, 3).rows] == pytest.approx([1.0, 1.2, 1.4])
    assert spread(table, None) is spread(table, 5) is table


def test_a_sum_of_scores() -> None:
    measured = [Score("a", np.array([1.0, 2.0]), 0.5), Score("b", np.array([0.25, 0.5]), 2.0)]
    found = summed("a+b", measured)
    assert (found.name, found.values.tolist(), found.seconds) == ("a+b", [1.25, 2.5], 2.5)
    assert summed("b", measured).values.tolist() == [0.25, 0.5]
