"""Nodes that are a module of torch.nn: how it is made, and which weights it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...model import Node, Parameter, Value
from .names import quoted
from .texts import dtype, number

_PLAIN = {
    "relu": "ReLU", "relu6": "ReLU6", "silu": "SiLU", "sigmoid": "Sigmoid", "tanh": "Tanh", "mish": "Mish",
    "hardswish": "Hardswish", "hardsigmoid": "Hardsigmoid", "softplus": "Softplus",
    "logsigmoid": "LogSigmoid",
}  # fmt: skip
_DIMENSIONS = {"1": 1, "2": 2, "3": 3}


@dataclass(frozen=True)
class Leaf:
    """A module of torch.nn: the text that makes it, its class, its weights by name."""

    text: str
    kind: str
    weights: tuple[str, ...] = ()


def leaf(node: Node, parameters: Mapping[str, Parameter], types: Mapping[str, Value]) -> Leaf | None:
    """The module that a node with a path is; None where torch.nn has none that is just that."""
    attributes = dict(node.attributes)
    attributes.pop("in_place", None)
    if not node.path or "autocast" in attributes or len(node.outputs) != 1:
        return None
    if any(not isinstance(value, (int, float, str, tuple, type(None))) for value in attributes.values()):
        return None  # left open
    if any(_opens(value) for value in attributes.values()):
        return None
    slots = {argument.slot: argument.source for argument in node.arguments}
    if "input" not in slots or slots["input"].startswith("@"):
        return None
    weights: dict[str, Parameter] = {}
    for slot, source in slots.items():
        if slot == "input":
            continue
        if source != f"@{node.path}.{slot}":
            return None
        weights[slot] = parameters[source[1:]]
    found = _made(node, attributes, weights, types[slots["input"]])
    if found is None:
        return None
    kinds = {parameter.dtype for slot, parameter in weights.items()}
    if len(kinds) > 1 or any(not p.trained for s, p in weights.items() if not s.startswith("running")):
        return None
    text, kind, names = found
    if kinds - {"float32"}:
        text = text[:-1] + f", dtype={dtype(kinds.pop())})"
    return Leaf(text, kind, names)


def _opens(value: Any) -> bool:
    if isinstance(value, tuple):
        return any(map(_opens, value))
    return not isinstance(value, (int, float, str, type(None)))


def _made(
    node: Node, attributes: dict[str, Any], weights: Mapping[str, Parameter], given: Value
) -> tuple[str, str, tuple[str, ...]] | None:
    op, names = node.op, tuple(weights)
    shape = weights["weight"].shape if "weight" in weights else ()
    if (
        op == "linear"
        and not attributes
        and len(shape) == 2
        and {"weight"} <= set(names) <= {"weight", "bias"}
    ):
        return f"nn.Linear({shape[1]}, {shape[0]}{_without(names)})", "Linear", names
    if op == "embedding" and names == ("weight",):
        rest = {
            k: v for k, v in attributes.items() if v not in (None, False) and (k, v) != ("norm_type", 2.0)
        }
        if set(rest) <= {"padding_idx"} and all(type(v) is int for v in rest.values()):
            more = "".join(f", {k}={v}" for k, v in rest.items())
            return f"nn.Embedding({shape[0]}, {shape[1]}{more})", "Embedding", names
    if op in ("layer_norm", "rms_norm"):
        return _norm(op, attributes, names)
    if op == "group_norm" and names == ("weight", "bias") and set(attributes) <= {"num_groups", "eps"}:
        eps = _eps(attributes, 1e-5)
        return f"nn.GroupNorm({number(attributes['num_groups'])}, {shape[0]}{eps})", "GroupNorm", names
    if op == "batch_norm":
        return _batch_norm(attributes, weights, given)
    if op.startswith("conv") and op[-2:] in ("1d", "2d", "3d") and len(shape) >= 3:
        return _conv(op, attributes, weights, given)
    if op in _PLAIN and not names and not attributes:
        return f"nn.{_PLAIN[op]}()", _PLAIN[op], ()
    if op == "gelu" and not names and set(attributes) <= {"approximate"}:
        how = attributes.get("approximate", "none")
        return f"nn.GELU({f'approximate={quoted(str(how))}' if how != 'none' else ''})", "GELU", ()
    if (
        op == "dropout"
        and not names
        and attributes.get("training") is False
        and set(attributes) <= {"p", "training"}
    ):
        return f"nn.Dropout({number(attributes.get('p', 0.5))})", "Dropout", ()
    return None


def _without(names: tuple[str, ...]) -> str:
    return "" if "bias" in names else ", bias=False"


def _eps(attributes: Mapping[str, Any], default: float) -> str:
    eps = attributes.get("eps", default)
    return "" if eps == default else f", eps={number(eps)}"


def _norm(op: str, attributes: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    shape = attributes.get("normalized_shape")
    if not isinstance(shape, tuple) or not all(type(size) is int for size in shape):
        return None
    if not set(attributes) <= {"normalized_shape", "eps"}:
        return None
    size = str(shape[0]) if len(shape) == 1 else repr(shape)
    if op == "rms_norm":
        if names != ("weight",) or attributes.get("eps") is None:
            return None
        return f"nn.RMSNorm({size}, eps={number(attributes['eps'])})", "RMSNorm", names
    eps = _eps(attributes, 1e-5)
    if not names:
        return f"nn.LayerNorm({size}{eps}, elementwise_affine=False)", "LayerNorm", names
    if names not in (("weight",), ("weight", "bias")):
        return None
    return f"nn.LayerNorm({size}{eps}{_without(names)})", "LayerNorm", names


def _batch_norm(attributes: Mapping[str, Any], weights: Mapping[str, Parameter], given: Value) -> Any:
    said = {"running_mean", "running_var", "weight", "bias"}
    rank = {2: 1, 3: 1, 4: 2, 5: 3}.get(len(given.shape))
    if set(weights) != said or rank is None or attributes.get("training") is not False:
        return None
    if not set(attributes) <= {"training", "momentum", "eps"} or not isinstance(
        attributes.get("momentum", 0.1), float
    ):
        return None
    momentum = attributes.get("momentum", 0.1)
    more = "" if momentum == 0.1 else f", momentum={number(momentum)}"
    kind = f"BatchNorm{rank}d"
    text = f"nn.{kind}({weights['weight'].shape[0]}{_eps(attributes, 1e-5)}{more})"
    return text, kind, (*weights, "num_batches_tracked")


def _conv(op: str, attributes: Mapping[str, Any], weights: Mapping[str, Parameter], given: Value) -> Any:
    count = _DIMENSIONS[op[-2]]
    shape, names = weights["weight"].shape, tuple(weights)
    transposed = "transpose" in op
    known = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "output_padding": 0}
    if len(shape) != count + 2 or not set(attributes) <= set(known) or not set(names) <= {"weight", "bias"}:
        return None
    if len(given.shape) != count + 2:
        return None
    groups = attributes.get("groups", 1)
    parts = [_wide(shape[2:])]
    for name in ("stride", "padding", "output_padding", "dilation", "groups"):
        value = attributes.get(name, known[name])
        if isinstance(value, str):
            if name != "padding" or value not in ("same", "valid"):
                return None
            parts.append(f"padding={quoted(value)}")
            continue
        wide = value if isinstance(value, tuple) else (value,) * (1 if name == "groups" else count)
        if not all(type(each) is int for each in wide):
            return None
        if set(wide) != {known[name]}:
            parts.append(f"{name}={_wide(wide)}")
    inside, outside = (shape[0], shape[1] * groups) if transposed else (shape[1] * groups, shape[0])
    kind = f"Conv{'Transpose' if transposed else ''}{count}d"
    text = f"nn.{kind}({inside}, {outside}, {', '.join(parts)}{_without(names)})"
    return text, kind, names


def _wide(sizes: tuple[int, ...]) -> str:
    return str(sizes[0]) if len(set(sizes)) == 1 else repr(tuple(sizes))
