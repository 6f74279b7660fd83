"""A configuration made shallow: two layers in each stack, every kind of layer kept.

Width, heads, vocabulary and images stay as they are, so that a shallow model shows the same operations and
shapes as the deep one. Settings that are lists with one entry for each layer are cut with it. Where layers
are of several kinds (attention every fourth layer, say), or are named by number (those whose features are
read, those that attend globally), the first of each kind and the named ones stay, so a stack may keep more
than two. Experts of a mixture stay: they cost nothing on the meta device.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

LAYERS = 2

_DEPTHS = (
    "num_hidden_layers",
    "num_layers",
    "n_layer",
    "n_layers",
    "depth",
    "encoder_layers",
    "decoder_layers",
    "num_encoder_layers",
    "num_decoder_layers",
    "encoder_num_hidden_layers",
    "decoder_num_hidden_layers",
    "encoder_num_layers",
    "decoder_num_layers",
    "encoder_n_layers",
    "decoder_n_layers",
    "num_hidden_blocks",
    "num_blocks",
    "num_block",
    "encoder_num_blocks",
    "vision_layers",
    "text_layers",
    "num_global_layers",
)
_STAGES = ("depths", "num_layers_per_stage", "encoder_depths", "decoder_depths")
# Lists of stages or of classes that may happen to be as long as the stack is deep.
_NOT_PER_LAYER = ("out_features", "out_indices", "stage_names", "hidden_sizes", "architectures")
_NAMES_LAYERS = r"ind(ex|ices|exes)|layer_ids|layers$|_layer$|_map$"
_ELSEWHERE = ("vision_feature_layer",)
"""Settings of another part that name layers of the one that sees."""
_ONE = ("insert_layer_id",)
"""Settings that name one layer by number."""
_FEW = 5
"""Layers named by number that are kept; of longer lists the first."""
_COUNTED = ("first_k_dense_replace", "moe_layer_start_index", "num_dense_layers", "num_kv_shared_layers")


def nested(config: Any) -> Iterator[Any]:
    """Give a configuration and all those within it, outermost first, each once."""
    seen: set[int] = set()
    waiting = [config]
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        for value in vars(current).values():
            members = value.values() if isinstance(value, dict) else [value]
            waiting += [member for member in members if _is_config(member)]


def _is_config(value: Any) -> bool:
    return hasattr(value, "to_dict") and hasattr(value, "model_type")


def shrink(config: Any, layers: int = LAYERS, *, generous: bool = False) -> tuple[str, ...]:
    """Cut every stack of a configuration, in place.

    Args:
        config: A configuration of transformers.
        layers: What to keep of a stack of equal layers.
        generous: Keep the first and the last of each kind, for models in which layers share with later ones
            of their kind.

    Returns:
        What was changed, in words: ("llama.num_hidden_layers 32 to 2", ...).
    """
    changes: list[str] = []
    parts = list(nested(config))
    for part in parts:
        seen = "vision" in _label(part)
        others = [other for other in parts if seen and other is not part and "vision" not in _label(other)]
        changes += _shrink_one(part, layers, generous, others)
    return tuple(changes)


def _shrink_one(part: Any, layers: int, generous: bool, others: Sequence[Any] = ()) -> list[str]:
    changes = []
    depths = {name: vars(part).get(name) for name in _DEPTHS}
    counts = {name: n for name, n in depths.items() if isinstance(n, int) and not isinstance(n, bool)}
    for depth in sorted({n for n in counts.values() if n > layers}, reverse=True):
        lists, numbered = _per_layer(part, depth), _numbered(part, depth)
        elsewhere = [(other, name) for other in others for name in _ELSEWHERE if _names(other, name, depth)]
        named = {f"{place} {name}": vars(other)[name] for place, (other, name) in enumerate(elsewhere)}
        kept = _kept(depth, lists, numbered | named, layers, generous)
        if len(kept) == depth:
            continue
        for name, values in lists.items():
            setattr(part, name, type(values)(values[i] for i in kept))
        for name, values in numbered.items():
            renumbered = type(values)(kept.index(i) for i in values if i in kept)
            setattr(part, name, renumbered[0] if name in _ONE else renumbered)
        for other, name in elsewhere:
            values = vars(other)[name]
            setattr(other, name, type(values)(kept.index(i) for i in values))
            changes.append(f"{_label(other)}.{name} {list(values)} to {list(vars(other)[name])}")
        for name, n in counts.items():
            if n == depth:
                setattr(part, name, len(kept))
                changes.append(f"{_label(part)}.{name} {depth} to {len(kept)}")
        _renumber(part, depth, len(kept))
    for name in _STAGES:
        stages = vars(part).get(name)
        if isinstance(stages, list | tuple) and any(isinstance(n, int) and n > layers for n in stages):
            setattr(part, name, type(stages)(min(n, layers) for n in stages))
            changes.append(f"{_label(part)}.{name} {list(stages)} to {[min(n, layers) for n in stages]}")
    return changes


def _renumber(part: Any, depth: int, kept: int) -> None:
    """Settings that count layers from one end keep their proportion, and at least one layer on each side."""
    for name in _COUNTED:
        number = vars(part).get(name)
        if isinstance(number, int) and not isinstance(number, bool) and number > 0:
            setattr(part, name, max(1, min(kept - 1, round(number * kept / depth))))


def _per_layer(part: Any, depth: int) -> dict[str, Any]:
    """Return the lists with one entry for each layer."""
    return {
        name: value
        for name, value in vars(part).items()
        if isinstance(value, list | tuple)
        and len(value) == depth
        and name.lstrip("_") not in _NOT_PER_LAYER
        and name not in _STAGES
    }


def _numbered(part: Any, depth: int) -> dict[str, Any]:
    """Return the lists that name a few layers by number."""
    found: dict[str, Any] = {}
    for name, value in vars(part).items():
        if name in _ONE and type(value) is int and 0 <= value < depth:
            found[name] = (value,)
        if not re.search(_NAMES_LAYERS, name) or name.lstrip("_") in _NOT_PER_LAYER or "token" in name:
            continue
        if isinstance(value, list | tuple) and value and all(type(i) is int for i in value):
            rising = all(a < b for a, b in itertools.pairwise(value))
            if rising and value[0] >= 0 and value[-1] < depth and len(value) < depth:
                found[name] = value
    return found


def _names(other: Any, name: str, depth: int) -> bool:
    """Whether a setting of another part is a short list of this stack's layers, counted from the first."""
    values = vars(other).get(name)
    short = isinstance(values, list | tuple) and 0 < len(values) <= _FEW
    return short and all(type(i) is int and 0 <= i < depth for i in values)


def _kept(
    depth: int, lists: dict[str, Any], numbered: dict[str, Any], layers: int, generous: bool
) -> list[int]:
    """Return the layers to keep: of each kind and number, then as many of the first as are lacking."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for layer in range(depth):
        kind = repr([values[layer] for values in lists.values() if _names_a_kind(values)])
        first.setdefault(kind, layer)
        last[kind] = layer
    kept = set(first.values()) | {0}
    if generous:
        kept |= set(last.values())
    for values in numbered.values():
        kept |= set(values[:_FEW])
    for layer in range(depth):
        if len(kept) >= layers:
            break
        kept.add(layer)
    return sorted(kept)


def _names_a_kind(values: Any) -> bool:
    """A list of few different values tells layers' kinds; one of all different values tells their sizes."""
    return len({repr(value) for value in values}) <= 4


def _label(part: Any) -> str:
    return str(getattr(part, "model_type", "") or type(part).__name__)
