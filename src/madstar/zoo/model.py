"""What the museum hands to a tracer: a module without weights, and how it was made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn


@dataclass(frozen=True)
class ZooModel:
    """A model of the museum.

    Args:
        name: Its address, such as "hf:llama" or "timm:vit_tiny_patch16_224".
        type: The name within its package: a transformers model type, a timm architecture.
        module: The model on the meta device, in evaluation mode, its cache off.
        config: The configuration object it was built from (transformers), or timm's default_cfg.
        size: "full", or "shrunk" where the depth was cut.
        changes: What was done to the configuration, in words: completions, cuts, overrides.
        facts: Versions and the class's home.
    """

    name: str
    type: str
    module: nn.Module
    config: Any
    size: str = "full"
    changes: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
