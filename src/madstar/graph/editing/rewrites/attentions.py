"""Attention wherever it is: one operation, or written out as product, softmax, product."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...inference import Type
from ...model import Dim, Node
from ..bench import Bench
from ..following import Made, Use, back, sources
from ..select import Site
from .finding import not_there, operation, within

SDPA = "scaled_dot_product_attention"
_PRODUCTS = {
    "matmul": ("input", "other"),
    "bmm": ("input", "mat2"),
    "baddbmm": ("batch1", "batch2"),
    "einsum": ("operands.0", "operands.1"),
}
# What is done to scores before the softmax, with the slots in which they may stand, and to shares behind it.
_SCORES = {
    "add": ("input", "other"),
    "sub": ("input",),
    "mul": ("input", "other"),
    "div": ("input",),
    "masked_fill": ("input",),
    "where": ("input", "other"),
    "maximum": ("input", "other"),
    "clamp": ("input",),
    "to": ("input",),
    "view": ("input",),
    "reshape": ("input",),
    "contiguous": ("input",),
    "tanh": ("input",),
}
_SHARES = frozenset("dropout to contiguous clone view reshape mul div masked_fill nan_to_num".split())  # noqa: SIM905


Taken = tuple[str, str]
"""An item, and the slot in which it takes something."""


@dataclass(frozen=True)
class Attention:
    """One attention: its site (the operation, or the softmax), and who takes what, all in one block.

    Written out, `scores` is where the softmax takes its scores, and keys may come with their last two
    dimensions `turned`.
    """

    site: Site
    use: Use
    query: Taken
    key: Taken
    value: Taken
    scores: Taken | None = None
    turned: bool = False

    def ref(self, taken: Taken) -> str:
        """What stands there now."""
        name, slot = taken
        node = next(item for item in self.use.definition.items if item.name == name)
        assert isinstance(node, Node)
        return sources(node)[slot]

    def type(self, taken: Taken) -> Type:
        """The type of what stands there."""
        return self.use.types[self.ref(taken)]

    @property
    def lengths(self) -> tuple[Dim, Dim]:
        """How many places look, and at how many."""
        if self.scores is not None:
            long, keys = self.type(self.scores).shape[-2:]
            return long, keys
        return self.type(self.query).shape[-2], self.type(self.key).shape[-2]


def attentions(bench: Bench, select: str, what: str) -> list[Attention]:
    """The attention that is selected, or stands within what is. Raises EditError for none."""
    sites = within(bench, select, lambda site: operation(site) in (SDPA, "softmax"))
    found = [each for site in sites if (each := attention_of(bench, site)) is not None]
    if not found:
        raise not_there(
            what, select, f"no attention is there, neither {SDPA} nor a softmax between two products"
        )
    return found


def attention_of(bench: Bench, site: Site) -> Attention | None:
    """The attention that an item is the operation or the softmax of."""
    use = bench.use(site)
    node = site.item
    if not isinstance(node, Node):
        return None
    if node.op == SDPA:
        taken = sources(node)
        if not {"query", "key", "value"} <= set(taken):
            return None
        return Attention(site, use, (node.name, "query"), (node.name, "key"), (node.name, "value"))
    return _written_out(site, use, node)


def _written_out(site: Site, use: Use, softmax: Node) -> Attention | None:
    shape = softmax.outputs[0].shape
    if len(shape) < 3 or dict(softmax.attributes).get("dim") not in (-1, len(shape) - 1):
        return None
    scores = sources(softmax).get("input", "")
    before = [made for made in back(use, scores, _before_softmax) if _product(made.node) is not None]
    second = _weighing(use, f"%{softmax.outputs[0].name}")
    # Where positions have a product of their own, that of queries and keys is the first.
    first = before[-1].node if before else None
    if first is None or second is None or before[-1].use is not use:
        return None
    (query, key), (_, value) = (_PRODUCTS[node.op] for node in (first, second))
    return Attention(
        site,
        use,
        (first.name, query),
        (first.name, key),
        (second.name, value),
        (softmax.name, "input"),
        _turned(first),
    )


def _product(node: Node | None) -> tuple[str, str] | None:
    """The slots of a product of two values that are no weights."""
    slots = _PRODUCTS.get(node.op) if node is not None else None
    if slots is None or node is None:
        return None
    given = sources(node)
    if not all(given.get(slot, "@").startswith("%") for slot in slots):
        return None
    return slots if node.op != "einsum" or _letters(node) is not None else None


def _turned(node: Node) -> bool:
    """Whether a product of queries and keys takes keys as [..., width, length]."""
    letters = _letters(node) if node.op == "einsum" else None
    return letters is None or letters[0][-1] == letters[1][-2]


def _letters(node: Node) -> tuple[str, str, str] | None:
    """The letters of an einsum of two tensors that is a product of matrices, [..., i, j] and [..., j, k]
    or [..., k, j]; None for another."""
    match = re.fullmatch(
        r"(\w+),(\w+)->(\w+)", str(dict(node.attributes).get("equation", "")).replace(" ", "")
    )
    if match is None or len({len(part) for part in match.groups()}) != 1 or len(match[1]) < 2:
        return None
    a, b, c = match.groups()
    if not a[:-2] == b[:-2] == c[:-2] or c[-2] != a[-2]:
        return None
    ends = {(a[-1], c[-1]), (c[-1], a[-1])}
    return (a, b, c) if (b[-2], b[-1]) in ends else None


def _before_softmax(made: Made) -> list[str]:
    node = made.node
    if node is None or _product(node):
        return []
    given = sources(node)
    return [given[slot] for slot in _SCORES.get(node.op, ()) if slot in given]


def _weighing(use: Use, ref: str) -> Node | None:
    """The product that takes the shares first."""
    todo, seen, found = [ref], {ref}, []
    while todo:
        for item in use.users.get(ref := todo.pop(), ()):
            if not isinstance(item, Node):
                continue
            slots = _product(item)
            if slots and sources(item)[slots[0]] == ref:
                found.append(item)
            elif item.op in _SHARES and sources(item).get("input") == ref:
                for value in item.outputs:
                    if f"%{value.name}" not in seen:
                        seen.add(f"%{value.name}")
                        todo.append(f"%{value.name}")
    return found[0] if len(found) == 1 else None
