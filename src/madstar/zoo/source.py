"""Addresses of models: "hf:llama", "hf:./config.json", "hf:llama?num_hidden_layers=2", "timm:resnet18"."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from madstar.errors import GraphError
from madstar.zoo.model import ZooModel
from madstar.zoo.timm_models import load_timm
from madstar.zoo.transformers_models import load_config, load_type


def load(address: str, *, shrunk: bool = False, weights: int | None = None) -> ZooModel:
    """Build the model that an address names.

    Args:
        address: "hf:TYPE", "hf:PATH" of a config.json or its folder, or "timm:NAME". Settings may follow
            after a question mark, "hf:llama?hidden_size=64&num_hidden_layers=2", their values as in JSON
            or else plain text.
        shrunk: Cut every stack to two layers (transformers only; timm models are taken as they are).
        weights: Seed of random weights on the CPU, as the type draws them (transformers only); None for the
            meta device.

    Raises:
        GraphError: an unknown scheme or model, or a configuration of which none can be built.
    """
    scheme, colon, rest = address.partition(":")
    if not colon or scheme not in ("hf", "timm") or not rest:
        raise GraphError(f"{address!r} names no model; give hf:TYPE, hf:./config.json or timm:NAME")
    name, _, query = rest.partition("?")
    overrides = _settings(address, query)
    if scheme == "timm":
        return load_timm(name, overrides=overrides)
    if _is_path(name):
        return load_config(name, shrunk=shrunk, overrides=overrides, weights=weights)
    return load_type(name, shrunk=shrunk, overrides=overrides, weights=weights)


def _is_path(name: str) -> bool:
    return "/" in name or name.endswith(".json") or name.startswith(".") or Path(name).is_dir()


def _settings(address: str, query: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in filter(None, query.split("&")):
        key, equals, text = part.partition("=")
        if not equals or not key:
            raise GraphError(f"{address!r}: {part!r} is no setting; write key=value")
        try:
            found[unquote(key)] = json.loads(unquote(text))
        except ValueError:
            found[unquote(key)] = unquote(text)
    return found
