"""Models of timm by name: on the meta device, without weights, network or torchvision."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

import torch

from madstar.errors import GraphError
from madstar.zoo.made_values import MadeValues
from madstar.zoo.model import ZooModel
from madstar.zoo.packages import timm_package


def timm_names() -> tuple[str, ...]:
    """Return the names of all architectures of the installed timm, sorted.

    Raises:
        GraphError: timm is not installed.
    """
    return tuple(sorted(timm_package().list_models()))


def load_timm(name: str, *, overrides: dict[str, Any] | None = None) -> ZooModel:
    """Build a timm architecture.

    Args:
        name: Such as "vit_tiny_patch16_224"; a tag of weights after a dot is allowed and has no effect
            beyond the input size it stands for.
        overrides: Arguments of the model's constructor.

    Raises:
        GraphError: an unknown name, or a model that cannot be built so.
    """
    timm = timm_package()
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.5)
        raise GraphError(
            f"timm:{name}: timm has no such model" + (f"; nearest: {', '.join(near)}" if near else "")
        )
    try:
        with torch.device("meta"), MadeValues() as made:
            module = timm.create_model(name, pretrained=False, **(overrides or {}))
        made.label(module)
        module.eval()
    except Exception as error:
        raise GraphError(
            f"timm:{name}: cannot be built: {type(error).__name__}: {str(error)[:240]}"
        ) from error
    facts = {
        "class": type(module).__name__,
        "module": type(module).__module__,
        "timm": timm.__version__,
        "torch": torch.__version__,
    }
    changes = tuple(f"{key} set to {value!r}" for key, value in (overrides or {}).items())
    return ZooModel(f"timm:{name}", name, module, dict(module.default_cfg or {}), "full", changes, facts)


def timm_input_size(model: ZooModel) -> tuple[int, int, int]:
    """Return (channels, height, width) that a timm model's default_cfg names."""
    size = model.config.get("input_size") or (3, 224, 224)
    channels = inspect.signature(type(model.module)).parameters.get("in_chans")
    return (int(size[0]) if size else int(channels.default if channels else 3), int(size[1]), int(size[2]))
