"""Differences: none for equal graphs, one line for one edit."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from madstar.graph.diff import diff
from madstar.graph.folding import fold
from madstar.graph.hashing import structural_hash
from madstar.graph.model import Argument, Node
from madstar.graph.unfolding import unfold

from . import graphs as cases
from . import random_graphs


@settings(max_examples=25)
@given(random_graphs.graphs())
def test_equal_graphs_differ_in_nothing(graph):
    assert not diff(graph, graph)
    assert not diff(graph, fold(graph))


@settings(max_examples=25)
@given(random_graphs.graphs(), random_graphs.graphs())
def test_different_structure_is_a_difference(a, b):
    if structural_hash(unfold(a)) != structural_hash(unfold(b)) and not (a.tied or b.tied):
        shared = {path for graph in (a, b) for path in _used_twice(graph)}
        assert diff(a, b) or shared


def _used_twice(graph):
    paths = [
        path
        for d in graph.definitions.values()
        for i in d.items
        if not isinstance(i, Node)
        for path in i.paths
    ]
    return [path for path in paths if paths.count(path) > 1] or ([""] if "" in paths else [])


def test_replaced_activation_is_one_line():
    found = diff(fold(cases.llama(8)), fold(cases.llama(8, activation={5: "gelu"})))
    assert found.text() == "~ model.layers.5.mlp.act_fn: silu -> gelu\n"
    assert found.to_dict()["changes"] == [
        {"sort": "changed", "paths": ["model.layers.5.mlp.act_fn"], "what": "silu -> gelu"}
    ]


def test_change_in_all_layers_is_told_once():
    shown = diff(cases.llama(8), cases.llama(8, eps=1e-5)).text()
    assert "model.layers.{0..7}.input_layernorm (x8): rms_norm: eps 1e-06 -> 1e-05" in shown
    assert len(shown.splitlines()) == 3


def test_layer_added_and_removed():
    (change,) = diff(cases.bert(3), cases.bert(4)).changes
    assert (change.sort, change.paths) == ("added", ("encoder.layer.3",))
    (change,) = diff(cases.bert(4), cases.bert(3)).changes
    assert (change.sort, change.paths) == ("removed", ("encoder.layer.3",))


def test_node_put_between_is_one_line():
    graph = cases.bert(1)
    main = graph.main
    layer, first, last = main.items
    value = replace(layer.outputs[0], name="dropped")
    dropout = Node(
        "drop", "dropout", (Argument("input", f"%{layer.outputs[0].name}"),), (value,), (("p", 0.1),)
    )
    first = replace(first, arguments=(Argument("input", "%dropped"),))
    longer = replace(main, items=(layer, dropout, first, last))
    other = replace(graph, definitions={**graph.definitions, main.name: longer})
    (change,) = diff(graph, other).changes
    assert (change.sort, change.what) == ("added", "dropout [batch, length, 24]")
    (change,) = diff(
        other,
        replace(
            other,
            definitions={
                **other.definitions,
                main.name: replace(
                    longer, items=(layer, replace(dropout, attributes=(("p", 0.2),)), first, last)
                ),
            },
        ),
    ).changes
    assert change.what == "dropout: p 0.1 -> 0.2"


def test_rewired_and_untied():
    graph = cases.llama(2)
    (change,) = diff(graph, replace(graph, tied=())).changes
    assert (change.sort, change.what) == ("removed", "tied with model.embed_tokens.weight")
    swapped = cases.Block("M")
    a, b = swapped.input("a", 4), swapped.input("b", 4)
    one = swapped.done(swapped.node("sub", {"input": a, "other": b}, (4,)))
    two = replace(one, items=(replace(one.items[0], arguments=(Argument("input", b), Argument("other", a))),))
    changes = diff(cases.graph_of("g", [one]), cases.graph_of("g", [two])).changes
    assert [change.what for change in changes] == ["sub: input is %b, was %a", "sub: other is %a, was %b"]


@settings(max_examples=20)
@given(st.integers(2, 12), st.integers(0, 11))
def test_any_one_layer(layers, changed):
    changed %= layers
    found = diff(cases.llama(layers), fold(cases.llama(layers, activation={changed: "relu"})))
    assert [change.paths for change in found.changes] == [(f"model.layers.{changed}.mlp.act_fn",)]
