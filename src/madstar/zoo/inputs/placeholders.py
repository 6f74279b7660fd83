"""Where images, videos and sounds stand in the text: as many placeholder tokens as they have features.

How many that is the model itself says: its `get_image_features` (and so on) is run on the inputs without
weights, and the rows of what it gives are counted. No rule per family is needed.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from madstar.zoo.inputs.facts import Facts, Inputs

_KINDS = {
    "image": r"image|img|^im_|media|vision|visual",
    "video": r"video",
    "audio": r"audio|speech|sound",
}
_FRAMES = (
    r"start|end|begin|boi|eoi|boa|eoa|bos|eos|newline|row|col|break|delay|pad|split|sep|delimiter|crop|global"
)
_TYPE = {"image": 1, "video": 2, "audio": 3}


@dataclass(frozen=True)
class Slot:
    """Placeholders of one kind in every sample: the token and how many of it; frames stand around them."""

    kind: str
    token: int
    count: int
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()

    @property
    def length(self) -> int:
        """Positions that the slot takes in a sample."""
        return self.count + len(self.before) + len(self.after)


def slot(facts: Facts, kind: str, count: int) -> Slot | None:
    """Return the slot for a kind's features, None if the configuration names no token for it."""
    token = _token(facts, kind)
    if token is None and facts.takes("image_embeds_position_mask"):
        token = 5  # a mask says where the image stands, whatever the words there are
    if token is None or count <= 0:
        return None
    frame = "vision" if kind in ("image", "video") else kind
    before = facts.find(f"{frame}_start_token_id", f"{kind}_start_token_id")
    after = facts.find(f"{frame}_end_token_id", f"{kind}_end_token_id")
    return Slot(
        kind,
        token,
        count,
        (before,) if isinstance(before, int) else (),
        (after,) if isinstance(after, int) else (),
    )


def _token(facts: Facts, kind: str) -> int | None:
    for name in (
        f"{kind}_token_id",
        f"{kind}_token_index",
        f"{kind}_token_idx",
        f"{kind}_placeholder_token_id",
    ):
        value = facts.find(name)
        if isinstance(value, int):
            return value
    for _, part in facts.parts:
        for name, value in vars(part).items():
            fits = re.search(_KINDS[kind], name) and re.search(r"(token|patch)_?(id|index|idx)?$|_id$", name)
            if (
                fits
                and not re.search(_FRAMES, name)
                and isinstance(value, int)
                and not isinstance(value, bool)
            ):
                if kind == "image" and re.search(_KINDS["video"], name):
                    continue
                if name in ("patch_size", "image_size") or ("token" not in name and not name.endswith("_id")):
                    continue
                return value
    return None


def accepted(function: Any, inputs: Mapping[str, Any]) -> Inputs:
    """Return those inputs that a function's signature names."""
    names = inspect.signature(function).parameters
    return {key: value for key, value in inputs.items() if key in names}


def rows(features: Any, width: int) -> int:
    """Count the feature vectors in what a `get_..._features` gives: tensors, lists, an output object."""
    for name in ("pooler_output", "last_hidden_state"):
        found = getattr(features, name, None)
        if found is not None:
            return rows(found, width)
    if isinstance(features, Tensor):
        return features.numel() // features.shape[-1] if features.dim() else 0
    if isinstance(features, list | tuple) and features:
        tensors = [part for part in features if isinstance(part, Tensor)]
        if len(tensors) == len(features):
            wide = [part for part in tensors if part.shape[-1] == width] or tensors
            if isinstance(features, tuple) and len({part.shape for part in wide}) > 1:
                wide = wide[:1]
            return sum(rows(part, width) for part in wide)
        return rows(features[0], width)
    return 0


def with_slots(facts: Facts, inputs: Inputs, slots: tuple[Slot, ...]) -> Inputs:
    """Put the slots before the text of every sample, and lengthen what goes with the ids."""
    ids = inputs.get("input_ids")
    if ids is None or not slots:
        return inputs
    batch = ids.shape[0]
    kinds: list[int] = []
    head: list[int] = []
    for part in slots:
        head += [*part.before, *[part.token] * part.count, *part.after]
        kinds += [0] * len(part.before) + [_TYPE[part.kind]] * part.count + [0] * len(part.after)
    extra = len(head)
    result = dict(inputs)
    block = torch.tensor(head).view(1, extra, *[1] * (ids.dim() - 2)).expand(batch, extra, *ids.shape[2:])
    result["input_ids"] = torch.cat([ids[:, :1], block, ids[:, 1:]], dim=1)
    if facts.takes("mm_token_type_ids"):
        types = torch.zeros(batch, ids.shape[1] + extra, dtype=torch.long)
        types[:, 1 : 1 + extra] = torch.tensor(kinds)
        result["mm_token_type_ids"] = types
        if facts.takes("moe_mm_token_type_ids"):
            result["moe_mm_token_type_ids"] = (types > 0).long()
    if facts.takes("image_embeds_position_mask"):
        mask = torch.zeros(batch, ids.shape[1] + extra, dtype=torch.long)
        mask[:, 1 : 1 + extra] = 1
        result["image_embeds_position_mask"] = mask
    for key in ("attention_mask", "token_type_ids"):
        if key in inputs and inputs[key].shape[:2] == ids.shape[:2]:
            old = inputs[key]
            result[key] = torch.cat([old[:, :1].expand(batch, extra), old], dim=1).clone()
    if "bbox" in inputs:
        result["bbox"] = torch.cat([inputs["bbox"][:, :1].expand(batch, extra, 4), inputs["bbox"]], dim=1)
    if "position_ids" in inputs:
        old = inputs["position_ids"]
        result["position_ids"] = torch.arange(ids.shape[1] + extra).expand(*old.shape[:-1], -1).clone()
    return result
