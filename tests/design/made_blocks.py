"""Blocks made by hand: some that may be mixers, some that may not."""

from __future__ import annotations

from madstar.graph.model import Argument, Definition, Graph, Node, Parameter, Value


def graph(nodes: list[Node], output: str, width: int, parameters: tuple[Parameter, ...] = ()) -> Graph:
    given = Value("x", ("batch", "length", width), "float32")
    main = Definition("Block", "Block", (given,), parameters, tuple(nodes), (output,))
    symbols = {"batch": (2, 3), "length": (16, 24)}
    return Graph("made", "Block", {"Block": main}, ("x",), ("output",), symbols)


def node(
    name: str, op: str, width: int, *arguments: tuple[str, str], length: str = "length", **attributes
) -> Node:
    return Node(
        name,
        op,
        tuple(Argument(slot, source) for slot, source in arguments),
        (Value(name, ("batch", length, width), "float32"),),
        tuple(sorted(attributes.items())),
    )


def shift_block(width: int, by: int) -> Graph:
    """x plus what was `by` tokens before: causal, and it mixes."""
    padded = node(
        "p", "pad", width, ("input", "%x"), length=f"length+{by}", pad=(0, 0, by, 0), mode="constant"
    )
    cut = Node(
        "c",
        "narrow",
        (Argument("input", "%p"),),
        (Value("c", ("batch", "length", width), "float32"),),
        (("dim", 1), ("length", "length"), ("start", 0)),
    )
    return graph([padded, cut, node("y", "add", width, ("input", "%x"), ("other", "%c"))], "%y", width)


def trained_block(width: int, by: int) -> Graph:
    """A linear map of x plus what was `by` tokens before."""
    shifted = shift_block(width, by)
    weight = Parameter("map.weight", (width, width), "float32", True, "torch.nn.Linear.weight")
    mapped = node("m", "linear", width, ("input", "%y"), ("weight", "@map.weight"))
    return graph([*shifted.main.items, mapped], "%m", width, (weight,))


def linear_block(width: int, inner: int) -> Graph:
    """Two linear maps and what was there: causal, but it mixes no tokens."""
    parameters = (
        Parameter("up.weight", (inner, width), "float32", True, "torch.nn.Linear.weight"),
        Parameter("down.weight", (width, inner), "float32", True, "torch.nn.Linear.weight"),
    )
    up = node("u", "linear", inner, ("input", "%x"), ("weight", "@up.weight"))
    down = node("d", "linear", width, ("input", "%u"), ("weight", "@down.weight"))
    return graph([up, down], "%d", width, parameters)


def backward_block(width: int) -> Graph:
    """The sequence turned round: it looks ahead."""
    return graph([node("f", "flip", width, ("input", "%x"), dims=(1,))], "%f", width)
