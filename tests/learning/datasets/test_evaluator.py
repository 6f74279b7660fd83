"""Figures against slow and plain counting; answers that lack something."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madstar.errors import DataError
from madstar.learning.datasets import Evaluator
from madstar.learning.datasets.examples import TASKS

_ops = st.sampled_from(["add", "mul", "linear"])


@given(st.lists(st.tuples(_ops, _ops, st.sampled_from("xyz"), st.booleans()), min_size=1, max_size=20))
@settings(max_examples=60)
def test_operations_are_counted(rows) -> None:
    true, pred, family, seen = map(list, zip(*rows, strict=True))
    found = Evaluator("operation").eval(
        {"y_true": true, "y_pred": pred, "family": family, "seen": seen}, known=["add", "mul"]
    )
    right = [t == p for t, p in zip(true, pred, strict=True)]
    assert found["accuracy"] == pytest.approx(sum(right) / len(right))
    per = [[r for r, f in zip(right, family, strict=True) if f == name] for name in set(family)]
    assert found["accuracy/family"] == pytest.approx(np.mean([sum(p) / len(p) for p in per]))
    f1 = []
    for op in set(true):
        tp = sum(t == p == op for t, p in zip(true, pred, strict=True))
        f1.append(2 * tp / (true.count(op) + pred.count(op)))
    assert found["macro_f1"] == pytest.approx(np.mean(f1))
    assert found["unseen_types"] == true.count("linear")
    assert ("accuracy_seen" in found) == any(seen)
    assert found["families"] == len(set(family))


@given(
    st.lists(st.tuples(st.integers(0, 25), st.integers(1, 20), st.integers(0, 99)), min_size=1, max_size=8)
)
@settings(max_examples=40)
def test_links_are_ranked(rows) -> None:
    sources, targets, scores = [], [], []
    for source, span, seed in rows:
        sources.append(source)
        targets.append(source + span)
        scores.append(np.random.default_rng(seed).integers(0, 4, source + span).astype(float))
    found = Evaluator("link").eval({"y_true": sources, "y_pred": scores, "target": targets})
    for least in (2, 5, 16):
        ranks = []
        for source, target, given_scores in zip(sources, targets, scores, strict=True):
            if target - source >= least:
                above = sum(s > given_scores[source] for s in given_scores)
                equal = sum(s == given_scores[source] for s in given_scores)
                ranks.append(1 / (above + (equal + 1) / 2))
        name = f"mrr_span_{least}"
        assert (name in found) == bool(ranks)
        if ranks:
            assert found[name] == pytest.approx(np.mean(ranks))


def test_decoys_are_judged_by_what_is_missing() -> None:
    answers = {"y_true": [3, -1, 0], "y_pred": [[0, 0, 0, 1], [0], [1]], "target": [4, 5, 1]}
    found = Evaluator("link").eval(answers | {"missing": [0.9, 0.5, 0.4]})
    assert "mrr_span_2" not in found
    assert found["missing_auc"] == 0.5


def test_what_is_deleted_is_held_against_its_own_graph() -> None:
    answers = {
        "y_true": [0, 1, 1, 0, 1],
        "y_pred": [0.1, 0.2, 0.05, 0.9, 0.95],
        "entry": ["a", "a", "a", "b", "b"],
        "place_true": [-1, 2, 0, -1, -1],
        "place_pred": [[0], [0.1, 0.2, 0.3], [0.1, 0.2], [0], [0]],
    }
    found = Evaluator("incomplete").eval(answers)
    assert found["paired_accuracy"] == pytest.approx(2 / 3)
    assert found["place_mrr"] == pytest.approx((1 + 0.5) / 2)
    assert found["auc"] == 0.5
    assert found["auc_across"] == pytest.approx((0 + 0 + 1) / 3)  # each against the other's whole graph


def test_what_comes_next_and_its_sources() -> None:
    found = Evaluator("completion").eval(
        {
            "y_true": ["add", "mul", "mul"],
            "y_pred": ["add", "add", "mul"],
            "sources_true": [(1, 2), (3,), (4, 5)],
            "sources_pred": [(1, 2), (3,), (4,)],
        }
    )
    assert found["exact"] == pytest.approx(1 / 3)
    assert found["source_accuracy"] == pytest.approx(4 / 5)
    assert found["accuracy"] == pytest.approx(2 / 3)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5), st.sampled_from("ab")), min_size=2, max_size=12)
)
@settings(max_examples=60)
def test_ranks_count_within_a_group(rows) -> None:
    true, pred, group = map(list, zip(*rows, strict=True))
    found = Evaluator("performance").eval({"y_true": true, "y_pred": pred, "group": group})
    assert found["mae"] == pytest.approx(np.mean([abs(t - p) for t, p in zip(true, pred, strict=True)]))
    taus = []
    for name in set(group):
        pairs = [(t, p) for t, p, g in zip(true, pred, group, strict=True) if g == name]
        signs = [(np.sign(a[0] - b[0]), np.sign(a[1] - b[1])) for a, b in combinations(pairs, 2)]
        n, m = sum(s[0] != 0 for s in signs), sum(s[1] != 0 for s in signs)
        if n:
            taus.append(sum(s[0] * s[1] for s in signs) / np.sqrt(n * m) if m else 0.0)
    assert found.get("kendall_tau") == (pytest.approx(np.mean(taus)) if taus else None)


def test_wrong_answers_are_told_by_column() -> None:
    with pytest.raises(DataError, match="no task 'nodes'"):
        Evaluator("nodes")
    with pytest.raises(DataError, match=r"lack 'y_pred'; give \{y_true, y_pred\}"):
        Evaluator("operation").eval({"y_true": []})
    with pytest.raises(DataError, match="have no 'y_prob'"):
        Evaluator("operation").eval({"y_true": [], "y_pred": [], "y_prob": []})
    with pytest.raises(DataError, match="2 of y_true, but 1 of y_pred"):
        Evaluator("operation").eval({"y_true": ["a", "b"], "y_pred": ["a"]})
    for task in TASKS:
        assert "y_true" in Evaluator(task).expected_input
        assert Evaluator(task).expected_output
