"""Shapes that the package's own docstrings give: "pixel_values (`torch.FloatTensor` of shape `(b, c, h)`)".

Most arguments of a forward are documented so. Where every size in such a shape is one that can be told (the
batch, the text's length, a setting of the configuration by that name), a tensor can be made of it. It is one
more candidate among others: docstrings are sometimes a sibling's.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from madstar.zoo.inputs.facts import Facts, Inputs, whole

_ARGUMENT = re.compile(
    r"^\s*(\w+)\s*\(\s*`?torch\.(\w*Tensor)`?\s+of\s+shape\s+`?\(([^`)]*)\)", re.MULTILINE | re.IGNORECASE
)
_SEVERAL = r"num_(tiles|images|crops|patches|frames|views|clips)|max_num_(images|tiles)|frames"
_CALLED = {"batch_size", "batch", "num_samples", "bsz"}


def documented(facts: Facts, method: str = "forward") -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the arguments of a method whose docstring gives a shape: name to (kind of tensor, sizes)."""
    text = inspect.getdoc(getattr(type(facts.module), method, None)) or ""
    found = {}
    for name, kind, shape in _ARGUMENT.findall(text):
        sizes = tuple(part.strip().strip("`") for part in shape.split(",") if part.strip())
        if sizes:
            found[name] = (kind, sizes)
    return found


def images_as_documented(facts: Facts, batch: int, channels: int, size: tuple[int, int]) -> Inputs | None:
    """Return images with their masks and positions in the shapes that are documented, None if none are."""
    told = documented(facts) | documented(facts, "get_image_features")
    words: dict[str, int] = {"num_channels": channels, "image_size": size[0]}
    words |= {"height": size[0], "width": size[1]}
    inputs: Inputs = {}
    for name, (kind, sizes) in told.items():
        if facts.takes(name) and re.search(r"^(pixel|image)_(?!embed)", name) and "video" not in name:
            tensor = _tensor(facts, kind, sizes, batch, words)
            if tensor is not None:
                inputs[name] = tensor
    return inputs if facts.takes("pixel_values") and "pixel_values" in inputs else None


def _tensor(
    facts: Facts, kind: str, sizes: tuple[str, ...], batch: int, words: Mapping[str, int]
) -> Tensor | None:
    shape = []
    for size in sizes:
        if size.isdigit():
            shape.append(int(size))
        elif size in _CALLED:
            shape.append(batch)
        elif size in words:
            shape.append(words[size])
        elif re.fullmatch(_SEVERAL, size):
            shape.append(2)
        else:
            setting = facts.number(size) if size.isidentifier() else 0
            if setting <= 0:
                return None
            shape.append(setting)
    if "Bool" in kind:
        return torch.ones(shape, dtype=torch.bool)
    return whole(*shape) if re.search("Long|Int", kind) else facts.floats(*shape)
