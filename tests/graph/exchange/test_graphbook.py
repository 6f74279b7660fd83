"""Graphbook's documents: out and in with the same structure, documents of others, and what is refused."""

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings

from madstar.errors import GraphError
from madstar.graph.exchange.graphbook import from_graphbook, load_graphbook, parsed, to_graphbook
from madstar.graph.execution import build
from madstar.graph.folding import fold
from madstar.graph.hashing import structural_hash
from madstar.graph.model import Call, Graph, Node
from madstar.graph.walk import parameters

from ..graphs import alternating, bert, counting, llama, unrolled
from ..random_graphs import graphs

HAND_MADE = [llama(), bert(), alternating(), unrolled(), unrolled(own_inputs=False), counting()]


def again(graph: Graph) -> Graph:
    return from_graphbook(parsed(json.dumps(to_graphbook(graph))))


def without_bodies(graph: Graph) -> Graph:
    definitions = {
        name: replace(
            block, items=tuple(replace(i, body=()) if isinstance(i, Node) else i for i in block.items)
        )
        for name, block in graph.definitions.items()
    }
    return replace(graph, definitions=definitions)


@pytest.mark.parametrize("graph", HAND_MADE, ids=lambda graph: graph.name)
def test_out_and_in(graph: Graph) -> None:
    for each in (graph, fold(graph)):
        assert structural_hash(again(each)) == structural_hash(each)
    assert again(fold(graph)) == without_bodies(fold(graph))


@settings(max_examples=15, deadline=None)
@given(graphs())
def test_random_graphs_out_and_in(graph: Graph) -> None:
    read = again(graph)
    assert structural_hash(read) == structural_hash(graph)
    assert set(parameters(read)) == set(parameters(graph))
    assert (read.symbols, read.facts, read.guesses) == (graph.symbols, graph.facts, graph.guesses)


def part(document: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        document = next(each for each in document["operations"] if each["name"] == name)
    return document


def test_the_document_is_as_graphbook_has_it() -> None:
    document = to_graphbook(llama(layers=2))
    assert document["type"] == "COMPOSITE_OPERATION"
    layers = [each["name"] for each in document["operations"] if each["name"].startswith("model.layers")]
    assert layers == ["model.layers.0", "model.layers.1"]
    primitives = set()
    stack = [document]
    while stack:
        operation = stack.pop()
        names = [each["name"] for each in operation.get("operations", ())]
        assert len(set(names)) == len(names)
        known = {"this", *names}
        for link in operation.get("links", ()):
            assert link["source"]["operation"] in known
            assert link["sink"]["operation"] in known
        if operation["type"] == "PRIMITIVE_OPERATION":
            primitives.add(operation["primitive_name"])
        stack += operation.get("operations", ())
    assert {"read_from_file", "add", "madstar:linear"} <= primitives
    files = [
        variable["data"]
        for each in part(document, "model.layers.1")["operations"]
        for inner in each.get("operations", ())
        for variable in inner["inputs"]
        if variable["primitive_name"] == "file_name"
    ]
    assert files
    assert all(file.startswith("model.layers.1.") for file in files)


def test_tied_weights_are_one_file() -> None:
    graph = llama()
    first, second = list(parameters(graph))[:2]
    shapes = {parameters(graph)[path].shape for path in (first, second)}
    tied = replace(graph, tied=((first, second),)) if len(shapes) == 1 else graph
    document = to_graphbook(tied)
    del document["madstar"]["tied"]
    read = from_graphbook(document)
    assert structural_hash(read) == structural_hash(tied)


def test_blocks_edited_in_one_place_are_two() -> None:
    document = to_graphbook(fold(llama(layers=3)))
    stack = [part(document, "model.layers.1")]
    changed = 0
    while stack and not changed:
        operation = stack.pop()
        for variable in operation["inputs"]:
            if type(variable.get("data")) in (int, float):
                variable["data"] += 1
                changed += 1
                break
        stack += operation.get("operations", ())
    assert changed
    read = from_graphbook(document)
    calls = [
        item
        for item in read.main.items
        if isinstance(item, Call) and item.paths[0].startswith("model.layers")
    ]
    assert [len(call.paths) for call in calls] == [1, 1, 1]
    assert calls[0].definition == calls[2].definition != calls[1].definition


def test_turns_wired_otherwise_are_calls() -> None:
    document = to_graphbook(fold(llama(layers=3)))
    links = document["links"]
    third = [link for link in links if link["sink"]["operation"] == "model.layers.2"]
    first = {
        link["sink"]["data"]: link["source"]
        for link in links
        if link["sink"]["operation"] == "model.layers.0"
    }
    for link in third:
        link["source"] = first[link["sink"]["data"]]
    read = from_graphbook(document)
    calls = [
        item
        for item in read.main.items
        if isinstance(item, Call) and item.paths[0].startswith("model.layers")
    ]
    assert sum(len(call.paths) for call in calls) == 3
    assert len(calls) > 1


def stripped(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: stripped(value) for key, value in part.items() if key != "madstar"}
    return [stripped(value) for value in part] if isinstance(part, list) else part


def test_without_what_other_programs_drop() -> None:
    graph = counting()
    document = stripped(to_graphbook(graph))
    read = from_graphbook(document)
    sizes = [
        [graph.symbols[dim][0] if isinstance(dim, str) else dim for dim in v.shape] for v in graph.main.inputs
    ]
    given = [torch.randn(size) for size in sizes]
    ours, theirs = (build(each)(*given) for each in (graph, read))
    ours, theirs = (
        each if isinstance(each, torch.Tensor) else next(iter(dict(each).values())) for each in (ours, theirs)
    )
    torch.testing.assert_close(ours, theirs)


# Documents of others.


def variable(name: str, data: Any = None, kind: str = "") -> dict[str, Any]:
    if data is None:
        return {"name": name, "primitive_name": name}
    kinds = {bool: "BOOLEAN", int: "INTEGER", float: "DECIMAL", str: "TEXT", list: "INTEGER"}
    return {
        "name": name,
        "primitive_name": name,
        "data": data,
        "type": kind or kinds[type(data)],
        "shape": [],
    }


def primitive(kind: str, inputs: list[Any], outputs: list[str], name: str = "") -> dict[str, Any]:
    return {
        "name": name or kind,
        "primitive_name": kind,
        "type": "PRIMITIVE_OPERATION",
        "inputs": inputs,
        "outputs": [variable(each) for each in outputs],
    }


def links(*pairs: str) -> list[dict[str, Any]]:
    """ "a.x -> b.y" """
    ends = [[end.strip().split(".") for end in pair.split("->")] for pair in pairs]
    return [
        {"source": {"operation": a[0], "data": a[1]}, "sink": {"operation": b[0], "data": b[1]}}
        for a, b in ends
    ]


def halved() -> dict[str, Any]:
    """Divides by two by way of a shape, as Graphbook's own operations do."""
    return {
        "name": "Halved",
        "type": "COMPOSITE_OPERATION",
        "inputs": ["Input"],
        "outputs": ["Output"],
        "operations": [
            primitive("get_shape", ["input"], ["shape"]),
            primitive("broadcast_to_shape", [variable("target", 2.0), "shape"], ["result"]),
            primitive("divide", ["left_operand", "right_operand"], ["divided_result"]),
        ],
        "links": links(
            "this.Input -> get_shape.input",
            "get_shape.shape -> broadcast_to_shape.shape",
            "this.Input -> divide.left_operand",
            "broadcast_to_shape.result -> divide.right_operand",
            "divide.divided_result -> this.Output",
        ),
    }


TYPE = ["Input:float32[batch,length]"]


def test_shapes_that_are_data_stay_symbols() -> None:
    graph = from_graphbook(halved(), TYPE)
    assert graph.input_names == ("Input",)
    assert graph.output_names == ("Output",)
    assert [item.op for item in graph.main.items if isinstance(item, Node)] == ["full", "div"]
    given = torch.randn(5, 7)
    assert torch.equal(build(graph)(given)["Output"], given / 2)


def conditional(condition: bool) -> dict[str, Any]:
    whole = halved()
    choice = {
        "name": "Choice",
        "type": "CONDITIONAL_OPERATION",
        "inputs": [{"name": "Is It", "global_constant": "Half"}, variable("Input")],
        "outputs": ["Output"],
        "condition": {"name": "Is It"},
        "operations_if_true": whole["operations"],
        "links_if_true": whole["links"],
        "operations_if_false": [primitive("identity", ["input"], ["output"])],
        "links_if_false": links("this.Input -> identity.input", "identity.output -> this.Output"),
    }
    return {
        **whole,
        "operations": [choice],
        "links": links("this.Input -> Choice.Input", "Choice.Output -> this.Output"),
        "global_constants": [variable("Half", condition)],
    }


def test_a_condition_that_is_known() -> None:
    given = torch.randn(3, 4)
    assert torch.equal(build(from_graphbook(conditional(True), TYPE))(given)["Output"], given / 2)


def loop(turns: int) -> dict[str, Any]:
    """Doubles the input as often as there are turns."""
    begin = {
        "name": "Begin",
        "type": "LOOP_INIT_OPERATION",
        "inputs": ["x"],
        "outputs": ["i", "sum"],
        "operations": [
            primitive("identity", [variable("input", 0)], ["output"]),
            primitive("identity", ["input"], ["output"], "second"),
        ],
        "links": links("this.x -> second.input", "identity.output -> this.i", "second.output -> this.sum"),
    }
    body = {
        "name": "Body",
        "type": "LOOP_BODY_OPERATION",
        "inputs": ["i", "sum", "x"],
        "outputs": ["Run Again", "i", "sum", "result"],
        "operations": [
            primitive("add", ["left_operand", variable("right_operand", 1)], ["added_result"]),
            primitive("less_than", ["left_operand", variable("right_operand", turns)], ["is_less_than"]),
            primitive("add", ["left_operand", "right_operand"], ["added_result"], "more"),
        ],
        "links": links(
            "this.i -> add.left_operand",
            "add.added_result -> less_than.left_operand",
            "less_than.is_less_than -> this.Run Again",
            "add.added_result -> this.i",
            "this.sum -> more.left_operand",
            "this.sum -> more.right_operand",
            "more.added_result -> this.sum",
            "more.added_result -> this.result",
        ),
    }
    whole = {
        "name": "Loop",
        "type": "LOOP_OPERATION",
        "inputs": ["x"],
        "outputs": ["result"],
        "operations": [begin, body],
        "links": [],
    }
    return {
        "name": "Whole",
        "type": "COMPOSITE_OPERATION",
        "inputs": ["Input"],
        "outputs": ["Output"],
        "operations": [whole],
        "links": links("this.Input -> Loop.x", "Loop.result -> this.Output"),
    }


def test_a_loop() -> None:
    graph = from_graphbook(loop(3), TYPE)
    given = torch.randn(3, 4)
    torch.testing.assert_close(build(graph)(given)["Output"], 8 * given)


# What is refused.


def changed(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(document), **changes}


BAD = {
    "unbound": (changed(halved(), links=halved()["links"][1:]), "nothing is linked to its input 'input'"),
    "no output": (
        changed(halved(), links=halved()["links"][:-1]),
        "nothing is linked to its output 'Output'",
    ),
    "from nowhere": (changed(halved(), links=links("nobody.x -> get_shape.input")), "'x' of 'nobody'"),
    "to nowhere": (changed(halved(), links=links("this.Input -> get_shape.y")), "'y' of 'get_shape'"),
    "twice": (
        changed(halved(), links=[*halved()["links"], *links("this.Input -> divide.right_operand")]),
        "two links go to 'right_operand' of 'divide'",
    ),
    "circle": (
        changed(
            halved(),
            links=[*halved()["links"][1:], *links("divide.divided_result -> get_shape.input")],
        ),
        "what it gives itself",
    ),
    "unknown": (
        changed(halved(), operations=[*halved()["operations"], primitive("read_minds", [], ["thought"])]),
        "primitive 'read_minds' has no equal",
    ),
    "writes": (
        changed(halved(), operations=[*halved()["operations"], primitive("write_to_file", [], [])]),
        "primitive 'write_to_file' has no equal",
    ),
    "data": (
        changed(
            halved(),
            operations=[
                primitive("identity", [{"name": "input", "type": "INTEGER", "data": "x"}], ["output"])
            ],
            links=links("identity.output -> this.Output"),
        ),
        "which its type does not allow",
    ),
    "same name": (changed(halved(), operations=halved()["operations"] * 2), "it needs a name of its own"),
    "no list": (changed(halved(), operations=7), "'operations' must be a list"),
    "endless": (loop(10**9), "a loop of more than"),
    "type": (changed(halved(), type="PIPELINE"), "of type 'PIPELINE'"),
    "no object": ([1], "not an object"),
    "dimension": (
        changed(
            halved(),
            operations=[
                primitive(
                    "sum", ["array", variable("dimension_index", 7), variable("keep_dimension", True)], ["o"]
                )
            ],
            links=links("this.Input -> sum.array", "sum.o -> this.Output"),
        ),
        "sum cannot be computed",
    ),
    "large": (
        changed(
            halved(),
            operations=[
                primitive(
                    "range",
                    [variable("start_value", 0), variable("end_value", 10**15), variable("step_value", 1)],
                    ["o"],
                )
            ],
            links=links("range.o -> this.Output"),
        ),
        "10 million",
    ),
    "hostile function": (
        changed(
            halved(),
            operations=[primitive("madstar:opaque:from_file", [variable("filename", "/etc/passwd")], ["o"])],
            links=links("madstar:opaque:from_file.o -> this.Output"),
        ),
        "there is no function",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_documents(name: str) -> None:
    document, said = BAD[name]
    with pytest.raises(GraphError) as caught:
        from_graphbook(document, TYPE)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_deep_nesting() -> None:
    document: dict[str, Any] = halved()
    for _ in range(300):
        document = changed(halved(), operations=[{**document, "name": "inner"}])
    with pytest.raises(GraphError, match="nested"):
        from_graphbook(document, TYPE)
    with pytest.raises(GraphError, match="nested"):
        parsed("[" * 100_000)


def test_what_is_said_of_inputs() -> None:
    with pytest.raises(GraphError, match="has no shape"):
        from_graphbook(halved())
    with pytest.raises(GraphError, match="no input 'Inptu'"):
        from_graphbook(halved(), [*TYPE, "Inptu:float32[2]"])


def test_condition_on_values() -> None:
    document = conditional(True)
    document["links"] += links("this.Input -> Choice.Is It")
    with pytest.raises(GraphError, match="its condition depends on what arrays hold"):
        from_graphbook(document, TYPE)


@pytest.mark.parametrize(
    "key", ["open", "settings", "turn", "own", "carried", "gathered", "out", "slots", "block"]
)
def test_hints_that_say_anything(key: str) -> None:
    """Whatever stands under "madstar" there is a sound graph or one line."""
    for wrong in (7, "x", [[9, 9]], {"x": {"y": 1}}, [0, 10**9], None):
        document = to_graphbook(unrolled())
        stack = [document]
        while stack:
            operation = stack.pop()
            if "madstar" in operation:
                operation["madstar"][key] = wrong
            stack += operation.get("operations", ())
        try:
            from_graphbook(document)
        except GraphError as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_files(tmp_path: Any) -> None:
    (tmp_path / "bad.json").write_bytes(b"\x1f\x8b123")
    for name, content in {
        "a.json": b"\x1f\x8b123",
        "b.json": b'{"name": NaN}',
        "c.json": b"\xff",
        "d.json": b"{",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(GraphError) as caught:
            load_graphbook(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
