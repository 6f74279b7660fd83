"""Examples that are drawn: as many as said, of what may be asked, the same for a seed."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.graph.graphs import bert, llama
from tests.graph.random_graphs import graphs

from madstar.graph.folding import fold
from madstar.learning.datasets import drawing
from madstar.learning.datasets.examples import KINDS, TASKS, from_row, to_row
from madstar.learning.hiding import bypass, place, without
from madstar.learning.view import INPUT, view

from ..corpus.made_museum import made_model


def drawn(graph, seed: int):
    seen = view(graph)
    yield "operation", drawing.operations(seen, random.Random(seed), "e")
    yield "operation", drawing.operations(seen, random.Random(seed), "e", "blocks")
    yield "link", drawing.links(seen, random.Random(seed), "e")
    yield from (("incomplete", e) for e in drawing.incomplete(seen, random.Random(seed), "e"))
    yield from (("completion", e) for e in drawing.completions(seen, random.Random(seed), "e"))


@given(graphs(), st.integers(0, 5))
@settings(max_examples=40)
def test_every_draw_asks_what_may_be_asked(graph, seed: int) -> None:
    seen = view(graph)
    assert list(drawn(graph, seed)) == list(drawn(graph, seed))
    for task, example in drawn(graph, seed):
        if example is None:
            continue
        assert isinstance(example, KINDS[task])
        assert from_row(task, to_row(example)) == example
        if task == "operation":
            ops = [node for node in seen.nodes if node.op != INPUT]
            assert len(example.masked) == round(0.3 * len(ops))
            assert list(example.masked) == sorted(set(example.masked))
            assert all(seen.nodes[i].op != INPUT for i in example.masked)
        elif task == "link":
            edges = [seen.edges[i] for i in example.removed]
            assert all(e.kind == "data" and e.target - e.source >= 2 for e in edges)
            targets = [e.target for e in edges]
            assert len(set(targets)) == len(targets)
            for target, position in example.decoys:
                assert target not in targets
                assert position > max(e.position for e in seen.edges if e.target == target)
        elif task == "incomplete" and example.deleted >= 0:
            assert bypass(seen, example.deleted) >= 0
            assert 0 <= place(seen, example.deleted) < len(without(seen, example.deleted))
        elif task == "completion":
            assert seen.nodes[example.given].op != INPUT


def test_spans_and_blocks() -> None:
    seen = view(fold(llama()))
    spans = drawing.operations(seen, random.Random(0))
    assert spans is not None
    neighbours = sum(b - a == 1 for a, b in zip(spans.masked, spans.masked[1:], strict=False))
    assert neighbours > len(spans.masked) / 3
    blocks = drawing.operations(view(made_model(0, layers=2, nodes=40)), random.Random(0), way="blocks")
    assert blocks is None  # its one block is larger than what is masked
    found = drawing.operations(seen, random.Random(0), way="blocks")
    assert found is not None
    held = {i for i, node in enumerate(seen.nodes) if node.block in _inner(seen)}
    assert any(
        {i for i in held if seen.nodes[i].block == block} <= set(found.masked) for block in _inner(seen)
    )


def _inner(seen) -> set[int]:
    return {i for i, block in enumerate(seen.blocks) if block.depth > 0}


def test_large_graphs_are_asked_256_nodes() -> None:
    seen = view(made_model(0, nodes=1000, layers=1))
    found = drawing.operations(seen, random.Random(0))
    assert found is not None
    assert len(found.masked) == 256
    links = drawing.links(seen, random.Random(0))
    assert links is not None
    assert len(links.removed) == len(links.decoys) == 16


def test_what_is_deleted_is_noticeable() -> None:
    """No copies and views; and first one of each operation."""
    kinds = set()
    for seed in range(6):
        seen = view(made_model(seed))
        ops = [seen.nodes[e.deleted].op for e in drawing.incomplete(seen, random.Random(0)) if e.deleted >= 0]
        kinds |= set(ops)
        possible = {
            n.op for i, n in enumerate(seen.nodes) if drawing.deletable(seen, i, drawing.Wiring.of(seen))
        }
        assert len(set(ops)) == min(len(possible), drawing.DELETIONS)
    assert {"add", "linear", "rms_norm"} <= kinds
    assert not kinds & {"sin", "abs", "floor", INPUT}


def test_confusers_are_near_and_of_another_label() -> None:
    counts = {
        "a": {"linear": 5, "gelu": 5},
        "b": {"linear": 5, "gelu": 5},
        "c": {"linear": 6, "gelu": 4},
        "d": {"conv2d": 9},
    }
    labels = {"a": "text", "b": "text", "c": "vision", "d": "audio", "e": ""}
    found = {e.entry: e for e in drawing.classified(labels, counts | {"e": {}}, "domain")}
    assert {key: e.confuser for key, e in found.items()} == {"a": "c", "b": "c", "c": "a", "d": ""}
    assert found["a"].label == "text"


def test_a_row_of_another_task_is_refused() -> None:
    import pytest

    from madstar.errors import DataError

    with pytest.raises(DataError, match="an example of link"):
        from_row("link", {"entry": "a"})
    with pytest.raises(DataError, match="no task 'node'"):
        from_row("node", {})
    assert set(KINDS) == set(TASKS)
    assert view(fold(bert())).nodes
