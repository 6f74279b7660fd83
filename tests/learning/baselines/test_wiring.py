import random

import pytest

from madstar.learning.baselines.wiring import (
    masked,
    near_context,
    parents_context,
    relations,
    wide_context,
    wiring,
)
from madstar.learning.datasets import drawing
from madstar.learning.hiding import HIDDEN, hidden
from madstar.learning.view import INPUT

from .small import Builder, model


@pytest.mark.parametrize("seed", range(12))
def test_masking_a_wiring_is_the_wiring_of_the_hidden_view(seed: int) -> None:
    view = model(seed)
    example = drawing.operations(view, random.Random(seed))
    assert example is not None
    found, wanted = masked(wiring(view), example.masked), wiring(hidden(view, example.masked))
    assert found.ops == wanted.ops
    assert found.parents == wanted.parents
    assert found.shapes == wanted.shapes
    assert [sorted(c) for c in found.children] == [sorted(c) for c in wanted.children]


def test_masking_closes_gaps_between_positions() -> None:
    b = Builder()
    x = b.add(INPUT)
    y = b.add("relu", x)
    b.nodes.append(b.nodes[y])
    b.edges += [b.edges[0].__class__(x, 2, 0, 1, "input"), b.edges[0].__class__(y, 2, 0, 3, "other")]
    view = b.view()
    shown = masked(wiring(view), [2])
    assert shown.parents[2] == ((0, x), (1, y))
    assert shown.children[x] == ((0, 1), (0, 2))
    assert shown == wiring(hidden(view, [2]))


def test_contexts_do_not_say_what_the_node_is() -> None:
    view = model(3)
    whole = wiring(view)
    for node in range(1, len(view)):
        shown = wiring(hidden(view, [node]))
        assert shown.ops[node] == HIDDEN
        for context in (parents_context, near_context, wide_context):
            assert context(whole, node) == context(shown, node)


def test_relations_against_paths_of_two_edges() -> None:
    view = model(1)
    w = wiring(view)
    up = {(e.target, e.source) for e in view.edges}
    for node in range(len(w)):
        found = relations(w, node)
        assert set(found["grandparent"]) == {
            g for p in range(len(w)) for g in range(len(w)) if {(node, p), (p, g)} <= up
        }
        assert set(found["sibling"]) == {
            s for p in range(len(w)) for s in range(len(w)) if {(node, p), (s, p)} <= up and s != node
        }
        assert set(found["mate"]) == {
            m for c in range(len(w)) for m in range(len(w)) if {(c, node), (c, m)} <= up and m != node
        }
