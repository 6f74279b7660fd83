"""The encoder: padding, order and future do not reach where they must not; it can be traced."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from tests.graph.graphs import alternating, bert, llama

from madstar.errors import ConfigurationError
from madstar.graph.folding import fold
from madstar.learning.features import OperationTable, features
from madstar.learning.hiding import prefix
from madstar.learning.transformer.batch import batch_of, in_batches
from madstar.learning.transformer.config import SIZES, TransformerConfig, find_size
from madstar.learning.transformer.model import GraphTransformer
from madstar.learning.transformer.traceable import MODELS, traced
from madstar.learning.view import GraphView, view

TABLE = OperationTable(("linear", "add", "layer_norm", "view", "input", "mul", "softmax"))
TINY = TransformerConfig(width=16, layers=2, heads=2, dropout=0.0)


def model_of(order: bool = True, seed: int = 0) -> GraphTransformer:
    torch.manual_seed(seed)
    made = GraphTransformer(replace(TINY, order=order), TABLE, ("text", "vision"))
    with torch.no_grad():  # what is zero at first would hide faults
        for parameter in made.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return made.eval()


def tokens(model: GraphTransformer, *views: GraphView, causal: bool = False) -> list[torch.Tensor]:
    shown = [features(v, TABLE, causal=causal) for v in views]
    with torch.inference_mode():
        found = model.encoder(batch_of(shown))
    return [found.tokens[i, : len(f)] for i, f in enumerate(shown)] + list(found.pooled)


def reordered(v: GraphView, rng: random.Random) -> tuple[GraphView, list[int]]:
    """The view with its nodes in another order of computation, and where each stands now."""
    waits = [sum(e.kind == "data" and e.target == i for e in v.edges) for i in range(len(v))]
    ready, order = [i for i, count in enumerate(waits) if not count], []
    while ready:
        i = ready.pop(rng.randrange(len(ready)))
        order.append(i)
        for e in v.edges:
            if e.kind == "data" and e.source == i:
                waits[e.target] -= 1
                if not waits[e.target]:
                    ready.append(e.target)
    at = {old: new for new, old in enumerate(order)}
    edges = [replace(e, source=at[e.source], target=at[e.target]) for e in v.edges]
    edges.sort(key=lambda e: (e.target, e.position, e.source))
    outputs = tuple(at[o] for o in v.outputs)
    return GraphView(tuple(v.nodes[i] for i in order), tuple(edges), v.blocks, outputs), [
        at[i] for i in range(len(v))
    ]


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_independent_nodes_changes_nothing_without_order(seed):
    v = view(fold(llama()))
    other, at = reordered(v, random.Random(seed))
    assert at != list(range(len(v)))
    model = model_of(order=False)
    (a, pooled_a), (b, pooled_b) = tokens(model, v), tokens(model, other)
    torch.testing.assert_close(a, b[at], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(pooled_a, pooled_b, rtol=1e-4, atol=1e-5)


def test_with_order_it_changes_something():
    v = view(fold(llama()))
    other, at = reordered(v, random.Random(0))
    model = model_of(order=True)
    assert not torch.allclose(tokens(model, v)[0], tokens(model, other)[0][at], atol=1e-3)


def test_the_order_of_arguments_counts():
    v = view(bert())
    target = next(e.target for e in v.edges if e.position == 1 and v.nodes[e.target].op == "add")
    turned = tuple(replace(e, position=1 - e.position) if e.target == target else e for e in v.edges)
    model = model_of(order=False)
    (a, _), (b, _) = tokens(model, v), tokens(model, replace(v, edges=turned))
    assert not torch.allclose(a[target], b[target], atol=1e-3)


def test_padding_changes_nothing():
    shown = [view(fold(llama(2))), view(alternating(6)), view(bert())]
    sizes = [len(v) + len(v.blocks) for v in shown]
    assert len(set(sizes)) > 1
    model = model_of()
    beside = tokens(model, *shown)
    for i, v in enumerate(shown):
        alone, pooled = tokens(model, v)
        torch.testing.assert_close(alone, beside[i], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(pooled, beside[len(shown) + i], rtol=1e-4, atol=1e-5)


def test_completion_sees_only_what_came_before():
    v = view(bert())
    model = model_of()
    whole = tokens(model, prefix(v, len(v)), causal=True)[0]
    for count in (3, 7, len(v) - 1):
        part = tokens(model, prefix(v, count), causal=True)[0]
        torch.testing.assert_close(part, whole[:count], rtol=1e-4, atol=1e-5)
    open_ = tokens(model, v)[0]
    assert not torch.allclose(open_[3], whole[3], atol=1e-3)


def test_a_folded_block_is_computed_once():
    short, long = view(fold(llama(3))), view(fold(llama(30)))
    assert len(short) == len(long)
    assert [node.count for node in short.nodes] != [node.count for node in long.nodes]


def test_batches_hold_every_graph_once():
    sizes = [5, 300, 7, 6, 80, 90, 2000]
    groups = in_batches(sizes, 256)
    assert sorted(i for group in groups for i in group) == list(range(len(sizes)))
    for group in groups:
        assert len(group) == 1 or max(sizes[i] for i in group) * len(group) <= 256


@pytest.mark.parametrize("name", MODELS)
def test_the_transformer_can_be_traced(name):
    graph = traced(name, TINY)
    found = view(graph)
    assert "softmax" in {node.op for node in found.nodes}
    assert not graph.guesses
    assert set(graph.symbols) == {"batch", "length"}
    with torch.inference_mode():  # and the traced one can be read by the other
        assert model_of().encoder(batch_of([features(found, TABLE)])).pooled.isfinite().all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"width": 30, "heads": 4}, "divisible"),
        ({"layers": 0}, "layers"),
        ({"dropout": 1.0}, "dropout"),
        ({"limit": 3}, "limit"),
    ],
)
def test_impossible_sizes(change, said):
    with pytest.raises(ConfigurationError, match=said):
        TransformerConfig(**change)


def test_sizes_by_name():
    with pytest.raises(ConfigurationError, match="tiny, small, base, large"):
        find_size("huge")
    assert TransformerConfig.from_dict(SIZES["base"].to_dict()) == SIZES["base"]
    with pytest.raises(ConfigurationError, match="depth"):
        TransformerConfig.from_dict({"depth": 3})
    table = OperationTable(tuple(f"operation{i}" for i in range(200)))
    counts = {name: GraphTransformer(size, table).parameter_count for name, size in SIZES.items()}
    assert list(counts.values()) == sorted(counts.values())
    assert 200_000 < counts["tiny"] < 400_000


def test_a_size_by_name_and_by_what_it_differs_in():
    assert find_size("small") is SIZES["small"]
    assert find_size("small, layers=6") == replace(SIZES["small"], layers=6)
    assert find_size("width=128,heads=8,dropout=0.2,order=false") == replace(
        SIZES["base"], width=128, heads=8, dropout=0.2, order=False
    )


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("small,depth=3", "depth=3"),
        ("small,layers", "a whole number"),
        ("layers=many", "a whole number"),
        ("layers=2.5", "a whole number"),
        ("order=perhaps", "true or false"),
        ("dropout=x", "a number"),
        ("width=97", "even and divisible"),
        ("", "sizes are"),
    ],
)
def test_a_size_that_cannot_be_is_one_line(said, why):
    with pytest.raises(ConfigurationError, match=why) as caught:
        find_size(said)
    assert "\n" not in str(caught.value)
