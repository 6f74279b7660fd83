"""Attention, and the rotation of what it compares."""

from __future__ import annotations

from typing import Any

from .... import dims
from ..held import Held
from ..interpreting import Node, Unreadable
from .elementwise import binary
from .shapes import permuted, reshaped


def _attention(node: Node) -> Held:
    q, k, v = (node.input(i) for i in range(3))
    if any(node.has(i) for i in (4, 5, 6)) or any(node.proto.output[1:]) or node.attribute("softcap", 0.0):
        raise Unreadable("an attention with a cache, or with capped scores")
    flat = q.rank == 3
    if flat:
        heads = node.attribute("q_num_heads", 0), node.attribute("kv_num_heads", 0)
        if not all(heads):
            raise Unreadable("the number of heads is not said")
        q, k, v = (_heads(node, x, n) for x, n in ((q, heads[0]), (k, heads[1]), (v, heads[1])))
    mask = node.input(3) if node.has(3) else None
    attributes: dict[str, Any] = {}
    if node.attribute("is_causal", 0):
        attributes["is_causal"] = True
    if (scale := node.attribute("scale")) is not None:
        attributes["scale"] = float(scale)
    if q.shape[1] != k.shape[1]:
        attributes["enable_gqa"] = True
    if mask is not None and attributes.pop("is_causal", False):
        raise Unreadable("a causal attention with a mask")
    arguments = {"query": q, "key": k, "value": v, "attn_mask": mask}
    made = node.emit("scaled_dot_product_attention", arguments, attributes)
    if not flat:
        return made
    made = permuted(node, made, (0, 2, 1, 3))
    return reshaped(node, made, (made.shape[0], made.shape[1], dims.multiply(made.shape[2], made.shape[3])))


def _heads(node: Node, x: Held, heads: int) -> Held:
    wide = dims.exact_divide(x.shape[2], heads)
    if wide is None:
        raise Unreadable(f"{x.shape[2]} channels for {heads} heads")
    return permuted(node, reshaped(node, x, (x.shape[0], x.shape[1], heads, wide)), (0, 2, 1, 3))


def _rotary(node: Node) -> Held:
    """By halves, of (batch, heads, length, width); cos and sin are (batch, length, width / 2)."""
    x, cos, sin = (node.input(i) for i in range(3))
    if (
        node.has(3)
        or x.rank != 4
        or node.attribute("rotary_embedding_dim", 0)
        or node.attribute("interleaved", 0)
    ):
        raise Unreadable("a rotary embedding of a form that is not known")
    cos, sin = (node.emit("unsqueeze", {"input": each}, {"dim": 1}) for each in (cos, sin))
    first, second = node.several("chunk", {"input": x}, {"chunks": 2, "dim": -1})
    left = binary(node, "Sub", binary(node, "Mul", first, cos), binary(node, "Mul", second, sin))
    right = binary(node, "Add", binary(node, "Mul", second, cos), binary(node, "Mul", first, sin))
    return node.emit("cat", {"tensors.0": left, "tensors.1": right}, {"dim": -1})


READERS: dict[str, Any] = {"Attention": _attention, "RotaryEmbedding": _rotary}
