"""The share of a family's blocks that no other family has."""

from __future__ import annotations

import pytest
from benchmarks.block_novelty import new_shares


def test_what_no_other_family_has_is_new() -> None:
    blocks = {"a": {"1", "2", "3", "4"}, "b": {"1", "5"}, "c": set[str]()}
    found = new_shares(blocks, {"1": 4, "2": 5, "3": 9, "4": 30, "5": 30})
    assert found["families"] == 2
    assert found["mean over families"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert found["of all"] == pytest.approx(4 / 6)
    assert found["by items"]["4-6"] == {"blocks": 3, "new": pytest.approx(1 / 3)}
    assert found["by items"]["13-24"] == {"blocks": 0, "new": None}
