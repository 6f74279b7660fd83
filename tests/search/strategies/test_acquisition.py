from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madstar.search.ranking import hypervolume
from madstar.search.strategies.acquisition import expected_improvements, improvements, reference_point


@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(0, 6))
@settings(max_examples=80)
def test_improvement_is_the_hypervolume_with_the_point_less_without(
    seed: int, objectives: int, k: int
) -> None:
    rng = np.random.default_rng(seed)
    known, points = rng.integers(0, 6, (k, objectives)) / 4, rng.integers(-2, 8, (9, objectives)) / 4
    reference = np.full(objectives, 1.5)
    before = hypervolume(known, reference)
    expected = [hypervolume(np.vstack([known, p]), reference) - before for p in points]
    np.testing.assert_allclose(improvements(points, known, reference), expected, atol=1e-12)


def test_expected_improvement_is_the_mean_over_draws() -> None:
    known = np.array([[1.0]])
    draws = np.array([[[0.5], [2.0]], [[1.5], [0.0]]])
    np.testing.assert_allclose(expected_improvements(draws, known, np.array([3.0])), [0.25, 0.5])


def test_the_reference_is_a_tenth_of_the_range_beyond_the_worst() -> None:
    assert reference_point(np.array([[0.0, 10.0], [1.0, 30.0]])) == pytest.approx([1.1, 32.0])
    assert np.all(reference_point(np.array([[2.0, 0.0]])) > [2.0, 0.0])
