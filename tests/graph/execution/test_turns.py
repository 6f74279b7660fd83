"""Runs whose turns differ: own inputs, settings and gathered outputs, against the same written out."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from madstar.errors import GraphError
from madstar.graph.execution import build, run
from madstar.graph.model import Argument, Call, Definition, Graph, Node, Parameter, Value, Varying

X = Value("x", ("batch", 4), "float32")


def graph(call: Call, block: Definition, outputs: tuple[str, ...], inputs: tuple[Value, ...] = (X,)) -> Graph:
    root = Definition("Whole", "Whole", inputs, (), (call,), outputs)
    return Graph(
        "whole",
        "Whole",
        {"Whole": root, block.name: block},
        tuple(value.name for value in inputs),
        tuple(f"out{i}" for i in range(len(outputs))),
        {"batch": (2, 3)},
    )


def block(*items: Node, outputs: tuple[str, ...], inputs=(X,), varying=()) -> Definition:
    weight = Parameter("weight", (4, 4), "float32", True, "torch.nn.Linear.weight")
    return Definition("Block", "Block", tuple(inputs), (weight,), items, outputs, "", tuple(varying))


def linear(name: str, source: str) -> Node:
    arguments = (Argument("input", source), Argument("weight", "@weight"))
    return Node(name, "linear", arguments, (replace(X, name=name),))


def weights_of(count: int) -> dict[str, torch.Tensor]:
    source = torch.Generator().manual_seed(0)
    return {f"layers.{i}.weight": torch.randn(4, 4, generator=source) for i in range(count)}


PATHS = ("layers.0", "layers.1", "layers.2")


def test_carried():
    call = Call("run", "Block", PATHS, ("%x",), (replace(X, name="y"),), ((0, 0),))
    w = weights_of(3)
    built = build(graph(call, block(linear("l", "%x"), outputs=("%l",)), ("%y",)), w)
    x = torch.randn(5, 4)
    expected = F.linear(
        F.linear(F.linear(x, w[f"{PATHS[0]}.weight"]), w[f"{PATHS[1]}.weight"]), w[f"{PATHS[2]}.weight"]
    )
    torch.testing.assert_close(built(x).out0, expected)


def test_each_turn_takes_its_own_and_earlier_outputs_are_gathered():
    """y = W_i y + own_i; the first two y are given too, as what the first turn takes for its own."""
    names = ("x", "a", "b", "c")
    inputs = tuple(replace(X, name=name) for name in names)
    add = Node("sum", "add", (Argument("input", "%l"), Argument("other", "%own")), (replace(X, name="sum"),))
    body = block(linear("l", "%x"), add, outputs=("%sum",), inputs=(X, replace(X, name="own")))
    call = Call(
        "run", "Block", PATHS, ("%x", "%a"), (replace(X, name="y"),), ((0, 0),),
        own=((1, ("%a", "%b", "%c")),), gathered=((0, ("y0", "y1")),),
    )  # fmt: skip
    w = weights_of(3)
    whole = graph(call, body, ("%y", "%y0", "%y1"), inputs)
    built = build(whole, w)
    given = {name: torch.randn(2, 4) for name in names}
    y, steps = given["x"], []
    for path, own in zip(PATHS, "abc", strict=True):
        y = F.linear(y, w[f"{path}.weight"]) + given[own]
        steps.append(y)
    made = built(**given)
    for name, expected in zip(("out0", "out1", "out2"), (steps[2], steps[0], steps[1]), strict=True):
        torch.testing.assert_close(made[name], expected)
    found = run(whole, given, w).measured
    assert [each.place for each in found if each.op == "add"] == [f"{path}:sum" for path in PATHS]


def test_settings():
    """Each turn has an activation's slope and a slice of its own; also where a block hands its setting on."""
    slope = Node(
        "r",
        "leaky_relu",
        (Argument("input", "%l"),),
        (replace(X, name="r"),),
        (("negative_slope", Varying("slope")),),
    )
    shift = Node(
        "s",
        "roll",
        (Argument("input", "%r"),),
        (replace(X, name="s"),),
        (("dims", (1,)), ("shifts", (Varying("by"),))),
    )
    body = block(linear("l", "%x"), slope, shift, outputs=("%s",), varying=("slope", "by"))
    call = Call(
        "run", "Block", PATHS, ("%x",), (replace(X, name="y"),), ((0, 0),),
        settings=(("by", (1, 2, 3)), ("slope", (0.0, 0.5, Varying("last")))),
    )  # fmt: skip
    middle = Definition("Middle", "Middle", (X,), (), (call,), ("%y",), "", ("last",))
    outer = Call("outer", "Middle", ("",), ("%x",), (replace(X, name="z"),), settings=(("last", (1.0,)),))
    whole = graph(outer, middle, ("%z",))
    whole = replace(whole, definitions={**whole.definitions, "Block": body})
    w = weights_of(3)
    x = y = torch.randn(3, 4)
    for path, slope_, by in zip(PATHS, (0.0, 0.5, 1.0), (1, 2, 3), strict=True):
        y = F.leaky_relu(F.linear(y, w[f"{path}.weight"]), slope_).roll((by,), (1,))
    torch.testing.assert_close(build(whole, w)(x).out0, y)


def test_one_path_many_turns():
    """A loop that was unrolled: the weights are the same in all turns, which are told apart."""
    call = Call("run", "Block", ("cell",) * 3, ("%x",), (replace(X, name="y"),), ((0, 0),))
    w = {"cell.weight": torch.randn(4, 4)}
    whole = graph(call, block(linear("l", "%x"), outputs=("%l",)), ("%y",))
    x = torch.randn(2, 4)
    torch.testing.assert_close(
        build(whole, w)(x).out0, x @ w["cell.weight"].T @ w["cell.weight"].T @ w["cell.weight"].T
    )
    found = run(whole, (x,), w)
    assert [each.name for each in found.measured[1:]] == ["cell:l[0]", "cell:l[1]", "cell:l[2]"]


def test_what_is_left_open_must_be_set():
    slope = Node(
        "r",
        "leaky_relu",
        (Argument("input", "%x"),),
        (replace(X, name="r"),),
        (("negative_slope", Varying("slope")),),
    )
    body = block(slope, outputs=("%r",), varying=("slope",))
    whole = graph(Call("once", "Block", ("a",), ("%x",), (replace(X, name="y"),)), body, ("%y",))
    with pytest.raises(GraphError, match="slope"):
        build(whole, {"a.weight": torch.zeros(4, 4)})(torch.zeros(2, 4))
