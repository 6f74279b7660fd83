"""How a block adds to what it takes: whether it hands its input on, and what makes the rest vanish.

A stack's block is often x + f(x), or several of these one after the other. What is found here is which input
goes through unchanged if some weights are zero, and which these are: those of the last linear operation of
each branch. It follows operations and blocks, whatever they are called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...model import Definition
from ...paths import join
from ..following import Use, sources

# Operations that give zeros for zeros.
_HANDS_ON = frozenset(
    "dropout contiguous clone detach to view reshape transpose permute flatten unflatten squeeze unsqueeze "  # noqa: SIM905
    "narrow getitem expand neg mT t movedim T relu gelu silu tanh select pad roll flip repeat "
    "drop_path".split()
)
# Operations that keep all numbers and their order. That the form is the same in the end, the caller knows.
SAME = frozenset(
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
    block = Use(table, table[name])
    return _through(block, block.definition.outputs[output])


def _through(use: Use, ref: str) -> Identity | None:
    made = use.maker(ref)
    if made.node is None:
        inputs = [f"%{value.name}" for value in made.use.definition.inputs]
        return Identity(inputs.index(made.ref), frozenset()) if made.ref in inputs else None
    node, given = made.node, sources(made.node)
    if node.op in SAME or (node.op == "mul" and dict(node.attributes).get("other") == 1.0):
        return _through(made.use, given["input"])
    if node.op == "add" and {"input", "other"} <= set(given):
        for kept, rest in ((given["input"], given["other"]), (given["other"], given["input"])):
            through = _through(made.use, kept)
            zeros = None if through is None else vanishing(made.use, rest)
            if through is not None and zeros is not None:
                return Identity(through.input, through.zeros | zeros)
    return None


def vanishing(use: Use, ref: str) -> frozenset[str] | None:
    """The weights, by full path, that must be zero for a value to be zero; None where there are none such."""
    made = use.maker(ref)
    node = made.node
    if node is None:
        trained = any(p.trained and f"@{p.path}" == made.ref for p in made.use.definition.parameters)
        return frozenset((made.path,)) if trained else None
    given = sources(node)
    if node.op in _WEIGHTED:
        weight, bias = _WEIGHTED[node.op]
        own = [given[slot] for slot in (weight, bias) if slot in given]
        known = weight in given and all(ref.startswith("@") for ref in own)
        return frozenset(join(made.use.path, ref[1:]) for ref in own) if known else None
    if node.op in _HANDS_ON and "input" in given:
        return vanishing(made.use, given["input"])
    if node.op in ("mul", "matmul", "mm"):
        refs = sorted(given.values(), key=lambda ref: not ref.startswith("@"))
        if node.op != "mul":
            refs = [given[slot] for slot in ("other", "mat2", "input") if slot in given]
        return next((z for ref in refs if (z := vanishing(made.use, ref)) is not None), None)
    if node.op == "add" and len(given) == 2:
        both = [vanishing(made.use, ref) for ref in given.values()]
        if all(each is not None for each in both):
            return frozenset().union(*(each for each in both if each is not None))
    return None
