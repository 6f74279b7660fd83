import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score

from madstar.learning.metrics import accuracy, auc, macro_f1, mean, reciprocal_rank, tau

labels = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcde")), min_size=1, max_size=30)


@given(labels)
def test_macro_f1_is_that_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    truths, answers = [p[0] for p in pairs], [p[1] for p in pairs]
    wanted = f1_score(truths, answers, labels=sorted(set(truths)), average="macro", zero_division=0)
    assert macro_f1(truths, answers) == pytest.approx(wanted)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=2, max_size=30))
def test_auc_is_that_of_scikit_learn(pairs: list[tuple[bool, int]]) -> None:
    truths, scores = [p[0] for p in pairs], [float(p[1]) for p in pairs]
    if len(set(truths)) < 2:
        assert math.isnan(auc(truths, scores))
    else:
        assert auc(truths, scores) == pytest.approx(roc_auc_score(truths, scores))


def test_ranks_of_equals_are_in_the_middle() -> None:
    assert reciprocal_rank(np.array([1.0, 3.0, 2.0]), 1) == 1
    assert reciprocal_rank(np.array([1.0, 3.0, 2.0]), 0) == pytest.approx(1 / 3)
    assert reciprocal_rank(np.zeros(5), 2) == pytest.approx(1 / 3)
    assert reciprocal_rank(np.array([np.nan, 0.0]), 0) == pytest.approx(1 / 2)


def test_tau() -> None:
    assert tau([1, 2, 3], [10, 20, 30]) == pytest.approx(1)
    assert tau([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert tau([1, 2, 3], [5, 5, 5]) == 0
    assert math.isnan(tau([1, 1], [1, 2]))


def test_nothing_is_not_known() -> None:
    assert math.isnan(mean([]))
    assert math.isnan(accuracy([], []))
    assert math.isnan(macro_f1([], []))
