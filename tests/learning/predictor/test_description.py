"""What a description says of graphs that can be counted by hand."""

from __future__ import annotations

from math import expm1

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madstar.graph.folding import fold
from madstar.graph.statistics import VIEWS, statistics
from madstar.learning.predictor import describe
from madstar.learning.predictor.description import GROUPS

from ...graph import random_graphs
from ...graph.graphs import llama


def counts(group):
    return {name: round(expm1(value)) for name, value in group.items()}


def test_operations_are_counted_as_often_as_they_are_computed():
    graph = llama(layers=6)
    expected = {op: n for op, n in statistics(graph).operations.items() if op not in VIEWS}
    assert counts(describe(graph).groups["operations"]) == expected
    assert counts(describe(fold(graph)).groups["operations"]) == expected


def test_thirds_add_up_and_deeper_models_have_more_of_everything():
    shallow, deep = describe(fold(llama(layers=3))), describe(fold(llama(layers=9)))
    for description in (shallow, deep):
        places = counts(description.groups["places"])
        for op, count in counts(description.groups["operations"]).items():
            assert sum(n for name, n in places.items() if name.rpartition(" ")[0] == op) == count
    for name, value in shallow.groups["size"].items():
        assert deep.groups["size"][name] >= value


def test_blocks_are_told_apart_by_form_and_order():
    description = describe(llama(layers=5))
    assert 5 in counts(description.groups["blocks"]).values()
    assert 4 in counts(description.groups["sequence"]).values()  # a layer after a layer
    wider = describe(llama(layers=5, width=64))
    assert set(wider.groups["blocks"]) == set(description.groups["blocks"])  # a form has no sizes


def test_an_embedding_is_a_group_of_its_own():
    assert describe(llama(layers=2), (0.5, -1.0)).groups["embedding"] == {"0": 0.5, "1": -1.0}


@given(random_graphs.graphs(), st.integers(0, 2**16))
@settings(max_examples=40, deadline=None)
def test_names_do_not_count(graph, seed):
    one, other = describe(graph), describe(random_graphs.renamed(graph, seed))
    assert set(one.groups) == set(GROUPS)
    for group in ("size", "operations", "pairs"):
        assert one.groups[group] == pytest.approx(other.groups[group])
