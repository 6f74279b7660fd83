"""What input builders may know of a model: its forward's arguments, its configuration searched by name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Inputs = dict[str, Any]

_PLACES = {
    "vision": r"vision|visual|image|vit|backbone|perception",
    "audio": r"audio|speech|acoustic|sound|encoder_config",
    "text": r"text|llm|language|decoder",
}


@dataclass(frozen=True)
class Facts:
    """A model as its input builders see it.

    `arguments` are the names that forward takes, in order, with whether each must be given.
    """

    module: nn.Module
    config: Any
    arguments: dict[str, bool]
    main: str
    dtype: torch.dtype = torch.float32
    parts: tuple[tuple[str, Any], ...] = field(default=())

    @classmethod
    def of(cls, module: nn.Module, config: Any) -> Facts:
        """Read a module's forward and configuration."""
        arguments = {
            name: parameter.default is parameter.empty
            for name, parameter in inspect.signature(module.forward).parameters.items()
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        }
        arguments |= dict.fromkeys(_handed_on(module, arguments), False)
        main = getattr(module, "main_input_name", "input_ids")
        main = main if isinstance(main, str) and main in arguments else next(iter(arguments), "")
        floats = (p.dtype for p in module.parameters() if p.dtype.is_floating_point)
        return cls(module, config, arguments, main, next(floats, torch.float32), tuple(_parts(config)))

    def takes(self, *names: str) -> bool:
        """Whether forward takes all of these."""
        return all(name in self.arguments for name in names)

    def find(self, *names: str, place: str = "", default: Any = None) -> Any:
        """Return the first setting of these names that is not None: in the parts of a place, then anywhere.

        Args:
            names: Settings, the preferred first.
            place: "vision", "audio" or "text": nested configurations that are looked at first.
            default: What to return if there is none.
        """
        order = list(self.parts)
        if place:
            pattern = re.compile(_PLACES[place])
            order.sort(key=lambda part: 0 if pattern.search(part[0]) else 1)
        for name in names:
            for _, part in order:
                value = getattr(part, name, None)
                if value is not None and not callable(value):
                    return value
        return default

    def number(self, *names: str, place: str = "", default: int = 0) -> int:
        """Like `find`, for an integer; of a pair or list its first, of a mapping its height."""
        value = self.find(*names, place=place, default=default)
        while isinstance(value, list | tuple | dict):
            if not value:
                return default
            value = value.get("height", next(iter(value.values()))) if isinstance(value, dict) else value[0]
        return int(value) if isinstance(value, int | float) else default

    def pair(self, *names: str, place: str = "", default: int = 0) -> tuple[int, int]:
        """Like `find`, for height and width; one number stands for both."""
        value = self.find(*names, place=place, default=default)
        if isinstance(value, dict):
            value = (value.get("height", default), value.get("width", value.get("height", default)))
        if isinstance(value, list | tuple):
            whole = [int(n) for n in value if isinstance(n, int)]
            if len(whole) >= 2:
                return whole[-2], whole[-1]
            return (whole[0], whole[0]) if whole else (default, default)
        return (int(value), int(value)) if isinstance(value, int | float) else (default, default)

    def read_widths(self, place: str) -> list[int]:
        """Widths that a part's first weights take: its first linear layer's, its first convolution's in time.

        Args:
            place: Text in the part's path, or one of the places of `find`. Without a part of that name the
                whole module is meant.
        """
        pattern = re.compile(_PLACES.get(place, place))
        named = [(path, part) for path, part in self.module.named_modules() if pattern.search(path)]
        linear, convolution = 0, 0
        for _, part in named or list(self.module.named_modules()):
            if isinstance(part, nn.Linear):
                linear = linear or part.in_features
            elif isinstance(part, nn.Conv1d):
                convolution = convolution or part.in_channels
        return [width for width in (linear, convolution) if width > 1]

    def featured(self, kind: str) -> nn.Module | None:
        """The module, or else a part of it, that has a `get_..._features` for a kind of input."""
        return _featured(self.module, kind)

    @property
    def real(self) -> bool:
        """Whether the model has weights, and is to be fed values."""
        return has_weights(self.module)

    def floats(self, *shape: int) -> Tensor:
        """A tensor of the model's own dtype: without values, or normal ones for a model that has weights."""
        if self.real:
            drawn = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))
            return drawn.to(self.dtype)
        return torch.empty(shape, dtype=self.dtype, device="meta")


def _featured(module: nn.Module, kind: str) -> nn.Module | None:
    """What forward itself names it also treats itself: then a part's feature function says nothing."""
    name = f"get_{kind}_features"
    if hasattr(module, name):
        return module
    own = inspect.signature(module.forward).parameters
    for part in module.children():
        wanted = inspect.signature(getattr(part, name)).parameters if hasattr(part, name) else {}
        if wanted and next(iter(wanted)) not in own:
            return part
    return None


def _handed_on(module: nn.Module, own: Mapping[str, bool]) -> list[str]:
    """What forward does not name but takes, to hand it on to a part that has feature functions of its own."""
    told = inspect.signature(module.forward).parameters.values()
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in told):
        return []
    found: dict[str, None] = {}
    for kind in ("image", "video", "audio"):
        part = _featured(module, kind)
        if part is None or part is module:
            continue
        taken = inspect.signature(part.forward).parameters
        wanted = inspect.signature(getattr(part, f"get_{kind}_features")).parameters
        found |= dict.fromkeys(name for name in wanted if name in taken and name not in own)
    return list(found)


def _parts(config: Any) -> Iterator[tuple[str, Any]]:
    """Give a configuration and those within it, with their paths."""
    waiting, seen = [("", config)], set()
    while waiting:
        path, current = waiting.pop(0)
        if id(current) in seen or not hasattr(current, "__dict__"):
            continue
        seen.add(id(current))
        yield path, current
        for name, value in vars(current).items():
            if hasattr(value, "to_dict") and hasattr(value, "model_type"):
                waiting.append((f"{path}.{name}".strip("."), value))


def has_weights(module: nn.Module) -> bool:
    """Whether a module's parameters have values; a few in a model without weights do, as it makes them."""
    parameters = list(module.parameters())
    return bool(parameters) and all(parameter.device.type != "meta" for parameter in parameters)


def whole(*shape: int, value: int = 1) -> Tensor:
    """A tensor of integers with values, for what control flow looks at: masks, counts, positions."""
    return torch.full(shape, value, dtype=torch.long)


def grid(rows: list[list[int]]) -> Tensor:
    """A small tensor of integers from its values."""
    return torch.tensor(rows, dtype=torch.long)
