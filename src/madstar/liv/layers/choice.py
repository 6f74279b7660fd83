"""A layer by name with its settings: plain data, from which the module is built.

Names are those of the catalogue, of other packages (entry points of the group "madstar.layers"), or a
user's own class as `path/to/file.py:Class` or `package.module:Class`, or a graph as `graph:FILE`. Loading a
user's class runs the user's file.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ...errors import LayerError, in_one_line
from ...plugins import (
    absolute,
    entry_point,
    entry_point_names,
    is_reference,
    load_attribute,
    made_by_scheme,
    of_scheme,
)
from .catalogue import CATALOGUE, LayerEntry

ENTRY_POINTS = "madstar.layers"
MakeLayer = Callable[..., nn.Module]
Settings = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class LayerChoice:
    """One layer of an architecture: its name, and the settings it is given beside width and length."""

    name: str
    settings: Settings = ()

    @classmethod
    def of(cls, name: str, *, iso: bool = False, compatible: bool = False, **settings: Any) -> LayerChoice:
        """The layer of that name with MAD's settings, or those of equal state, and the given ones over them.

        `compatible` chooses what the published code does where that is not what the paper says. Raises
        LayerError for a name that is not known, offering the nearest.
        """
        entry = CATALOGUE.get(name)
        if entry is None:
            find_class(name)
        published: Mapping[str, Any] = {} if entry is None else entry.settings
        equal: Mapping[str, Any] = (entry.iso or {}) if iso and entry is not None else {}
        same: Mapping[str, Any] = entry.compatible if compatible and entry is not None else {}
        chosen = {**published, **equal, **same, **settings}
        return cls(absolute(name), tuple(sorted(chosen.items())))

    def build(self, dim: int, max_length: int) -> nn.Module:
        """The module, its weights drawn from torch's global generator. Raises LayerError."""
        make = find_class(self.name)
        settings = {"dim": dim, "max_length": max_length, **dict(self.settings)}
        _check_takes(make, self.name, settings)
        try:
            layer = make(**settings)
        except LayerError:
            raise
        except Exception as error:
            raise LayerError(
                f"layer {self.name}: building it at width {dim} and length {max_length} failed with "
                f"{in_one_line(error)}"
            ) from error
        if not isinstance(layer, nn.Module):
            raise LayerError(f"layer {self.name} made a {type(layer).__name__}: it must be a torch.nn.Module")
        return layer

    def __str__(self) -> str:
        published = CATALOGUE[self.name].settings if self.name in CATALOGUE else {}
        other = [f"{key}={value}" for key, value in self.settings if published.get(key) != value]
        return f"{short(self.name)}({', '.join(other)})" if other else short(self.name)


def layer_names() -> tuple[str, ...]:
    """Every layer known by name: the catalogue's, then other packages'."""
    return (*CATALOGUE, *entry_point_names(ENTRY_POINTS))


def find_class(name: str) -> MakeLayer:
    """What makes the layer of that name. Raises LayerError for an unknown one, offering the nearest."""
    if name in CATALOGUE:
        return _ours(CATALOGUE[name])
    if of_scheme(name)[0]:
        made: object | None = made_by_scheme(name, "layer", LayerError)
    elif is_reference(name):
        made = load_attribute(name, "layer", LayerError)
    else:
        made = entry_point(ENTRY_POINTS, name, "layer", LayerError)
    if made is None:
        known = layer_names()
        near = difflib.get_close_matches(name, known, n=3)
        hint = f" (did you mean {' or '.join(near)}?)" if near else ""
        raise LayerError(
            f"unknown layer {name!r}{hint}: madstar layers lists them, or name your own as file.py:Class"
        )
    if not callable(made):
        raise LayerError(f"layer {name}: this is no class or function that makes a layer")
    return made


def short(name: str) -> str:
    """A layer's name for people: without the folders of a user's file."""
    scheme, path = of_scheme(name)
    if scheme:
        return f"{scheme}:{path.name}"
    where, colon, attribute = name.rpartition(":")
    return f"{Path(where).name}:{attribute}" if colon and where.endswith(".py") else name


def choices(
    layers: Sequence[str | LayerChoice], *, iso: bool = False, compatible: bool = False
) -> tuple[LayerChoice, ...]:
    """Layers by name, each with MAD's settings; see `LayerChoice.of`."""
    return tuple(
        each if isinstance(each, LayerChoice) else LayerChoice.of(each, iso=iso, compatible=compatible)
        for each in layers
    )


def _ours(entry: LayerEntry) -> MakeLayer:
    module, _, name = entry.target.partition(":")
    made: MakeLayer = getattr(importlib.import_module(f".{module}", __package__), name)
    return made


def _check_takes(make: MakeLayer, name: str, settings: Mapping[str, Any]) -> None:
    """Raise LayerError for an argument that the layer does not take, before it is built."""
    try:
        parameters = inspect.signature(make).parameters
    except (TypeError, ValueError):
        return
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    missing = [key for key in settings if key not in parameters]
    if missing:
        raise LayerError(
            f"layer {short(name)} takes no {missing[0]}: a layer is made as Layer(dim=..., max_length=..., "
            "its settings...); add the argument, or **settings"
        )
