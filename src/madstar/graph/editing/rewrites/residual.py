"""How a block adds to what it takes: whether it hands its input on, and what makes the rest vanish.

A stack's block is often x + f(x), or several of these one after the other. What is found here is which input
goes through unchanged if some weights are zero, and which these are: those of the last linear operation of
each branch. It follows operations and blocks, whatever they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ...model import Call, Definition, Node
from ...paths import join
from ...walk import producers

# Operations that give zeros for zeros.
_HANDS_ON = frozenset(
    "dropout contiguous clone detach to view reshape transpose permute flatten unflatten squeeze unsqueeze "  # noqa: SIM905
    "narrow getitem expand neg mT t movedim T relu gelu silu tanh select pad roll flip repeat "
    "drop_path".split()
)
# Operations that keep all numbers and their order. That the form is the same in the end, the caller knows.
_SAME = frozenset(
    "dropout contiguous clone detach view reshape flatten unflatten squeeze unsqueeze".split()  # noqa: SIM905
)
_WEIGHTED = {"linear": ("weight", "bias"), "addmm": ("mat2", "input"), "layer_norm": ("weight", "bias")} | {
    f"conv{n}d": ("weight", "bias") for n in (1, 2, 3)
}


@dataclass(frozen=True)
class Identity:
    """An input that a block hands on, and the weights, relative to it, that must be zero for that."""

    input: int
    zeros: frozenset[str]


def identity(table: Mapping[str, Definition], name: str, output: int = 0) -> Identity | None:
    """When a result of a block is one of its inputs; None where it is not of this form."""
    definition = table[name]
    return _through(table, definition, definition.outputs[output], "", lambda i: Identity(i, frozenset()))


def _through(
    table: Mapping[str, Definition],
    block: Definition,
    ref: str,
    path: str,
    outer: Callable[[int], Identity | None],
) -> Identity | None:
    inputs = [f"%{value.name}" for value in block.inputs]
    if ref in inputs:
        return outer(inputs.index(ref))
    found = producers(block).get(ref)
    if found is None:
        return None
    item, number = found
    if isinstance(item, Call):
        inner = table[item.definition]
        return _through(
            table,
            inner,
            inner.outputs[number],
            join(path, item.paths[0]),
            lambda i: _through(table, block, item.arguments[i], path, outer),
        )
    given = {a.slot: a.source for a in item.arguments}
    if item.op in _SAME or (item.op == "mul" and dict(item.attributes).get("other") == 1.0):
        return _through(table, block, given["input"], path, outer)
    if item.op == "add" and {"input", "other"} <= set(given):
        for kept, rest in ((given["input"], given["other"]), (given["other"], given["input"])):
            through = _through(table, block, kept, path, outer)
            if through is None:
                continue
            zeros = vanishing(table, block, rest, path)
            if zeros is not None:
                return Identity(through.input, through.zeros | zeros)
    return None


def vanishing(
    table: Mapping[str, Definition],
    block: Definition,
    ref: str,
    path: str = "",
    outer: Callable[[int], frozenset[str] | None] = lambda i: None,
) -> frozenset[str] | None:
    """The weights that must be zero for a value to be zero; None where there are none such."""
    inputs = [f"%{value.name}" for value in block.inputs]
    if ref in inputs:
        return outer(inputs.index(ref))
    if ref.startswith("@"):
        return frozenset((join(path, ref[1:]),))
    found = producers(block).get(ref)
    if found is None:
        return None
    item, number = found
    if isinstance(item, Call):
        inner = table[item.definition]
        return vanishing(
            table,
            inner,
            inner.outputs[number],
            join(path, item.paths[0]),
            lambda i: vanishing(table, block, item.arguments[i], path, outer),
        )
    return _of_node(table, block, item, path, outer)


def _of_node(
    table: Mapping[str, Definition],
    block: Definition,
    node: Node,
    path: str,
    outer: Callable[[int], frozenset[str] | None],
) -> frozenset[str] | None:
    given = {a.slot: a.source for a in node.arguments}
    if node.op in _WEIGHTED:
        weight, bias = _WEIGHTED[node.op]
        own = [given[slot] for slot in (weight, bias) if slot in given]
        known = weight in given and all(ref.startswith("@") for ref in own)
        return frozenset(join(path, ref[1:]) for ref in own) if known else None
    if node.op in _HANDS_ON and "input" in given:
        return vanishing(table, block, given["input"], path, outer)
    if node.op in ("mul", "matmul", "mm"):
        refs = sorted(given.values(), key=lambda ref: not ref.startswith("@"))
        if node.op != "mul":
            refs = [given[slot] for slot in ("other", "mat2", "input") if slot in given]
        return next((z for ref in refs if (z := vanishing(table, block, ref, path, outer)) is not None), None)
    if node.op == "add" and len(given) == 2:
        both = [vanishing(table, block, ref, path, outer) for ref in given.values()]
        if all(each is not None for each in both):
            return frozenset().union(*(each for each in both if each is not None))
    return None
