"""Recurrent layers. ONNX orders the gates, and stacks the directions, otherwise than torch does."""

from __future__ import annotations

from typing import Any

from ....inference.types import Type
from ..held import Held
from ..interpreting import Node, Unreadable
from .shapes import permuted, reshaped

_ORDERS = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
"""Where torch's gates stand among those of ONNX: iofc as ifco, zrh as rzh."""

_ACTIVATIONS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}


def _recurrent(node: Node) -> list[Held]:
    x, weight, around = (node.input(i) for i in range(3))
    directions = _checked(node)
    hidden = node.attribute("hidden_size", 0)
    if weight.rank != 3 or around.shape != (directions, len(_ORDERS[node.op]) * hidden, hidden):
        raise Unreadable(f"weights {list(weight.shape)} and {list(around.shape)} for {hidden} channels")
    first = bool(node.attribute("layout", 0))
    batch, length = (x.shape[0], x.shape[1]) if first else (x.shape[1], x.shape[0])
    arguments: dict[str, Held | None] = {"input": x}
    inner = (directions, batch, hidden)
    for i, place in enumerate((5, 6) if node.op == "LSTM" else (5,)):
        arguments[f"hx.{i}"] = _state(node, place, inner, x.dtype)
    biases = node.has(3)
    params: list[Held] = []
    for direction in range(directions):
        params += [_gates(node, weight, direction), _gates(node, around, direction)]
        params += _biases(node, node.input(3), direction, hidden) if biases else []
    arguments |= {f"params.{i}": part for i, part in enumerate(params)}
    attributes = {
        "has_biases": biases,
        "num_layers": 1,
        "dropout": 0.0,
        "train": False,
        "bidirectional": directions == 2,
        "batch_first": first,
    }
    name = {"LSTM": "lstm", "GRU": "gru", "RNN": "rnn_tanh"}[node.op]
    wide = (batch, length, directions * hidden) if first else (length, batch, directions * hidden)
    state = Type(inner, x.dtype)
    stated = (Type(wide, x.dtype), state, *((state,) if node.op == "LSTM" else ()))
    made, *states = node.several(name, arguments, attributes, stated)
    parted = reshaped(node, made, (*wide[:2], directions, hidden))
    if first:
        return [parted, *(permuted(node, each, (1, 0, 2)) for each in states)]
    return [permuted(node, parted, (0, 2, 1, 3)), *states]


def _checked(node: Node) -> int:
    """The number of directions. Raises Unreadable for what torch's layers cannot do."""
    if node.has(4):
        raise Unreadable("sequences of several lengths")
    if node.has(7) or node.attribute("clip") or node.attribute("input_forget", 0):
        raise Unreadable("peepholes, or gates that are clipped or coupled")
    direction = node.attribute("direction", "forward")
    directions = {"forward": 1, "bidirectional": 2}.get(direction)
    if directions is None:
        raise Unreadable(f"direction {direction!r:.40}")
    wanted = _ACTIVATIONS[node.op] * directions
    named = [
        each.decode("utf-8", "replace") if isinstance(each, bytes) else each
        for each in node.attribute("activations", wanted)
    ]
    if named != wanted:
        raise Unreadable(f"activations {named[:6]}")
    if node.op == "GRU" and not node.attribute("linear_before_reset", 0):
        raise Unreadable("a reset before the product, which torch's layer has after it")
    return directions


def _gates(node: Node, stacked: Held, direction: int) -> Held:
    """The weights of one direction, gates in torch's order."""
    one = node.emit("select", {"input": stacked}, {"dim": 0, "index": direction})
    return _ordered(node, one)


def _biases(node: Node, both: Held, direction: int, hidden: int) -> list[Held]:
    one = node.emit("select", {"input": both}, {"dim": 0, "index": direction})
    wide = len(_ORDERS[node.op]) * hidden
    if one.shape != (2 * wide,):
        raise Unreadable(f"biases {list(both.shape)} for {hidden} channels")
    halves = node.several("split", {"input": one}, {"split_size_or_sections": (wide, wide), "dim": 0})
    return [_ordered(node, half) for half in halves]


def _ordered(node: Node, gates: Held) -> Held:
    order = _ORDERS[node.op]
    if len(order) == 1:
        return gates
    each = gates.shape[0]
    assert isinstance(each, int)
    sizes = (each // len(order),) * len(order)
    parts = node.several("split", {"input": gates}, {"split_size_or_sections": sizes, "dim": 0})
    return node.emit("cat", {f"tensors.{i}": parts[place] for i, place in enumerate(order)}, {"dim": 0})


def _state(node: Node, place: int, shape: tuple[Any, ...], dtype: str) -> Held:
    """A first state, zeros where none is given."""
    if node.has(place):
        found = node.input(place)
        return permuted(node, found, (1, 0, 2)) if node.attribute("layout", 0) else found
    return node.emit("zeros", {}, {"size": shape, "dtype": dtype}, (Type(shape, dtype),))


READERS: dict[str, Any] = dict.fromkeys(_ORDERS, _recurrent)
