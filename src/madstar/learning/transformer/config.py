"""How large a graph transformer is, and what it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ...errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class TransformerConfig:
    """Sizes of a graph transformer.

    `limit` is the most nodes computed at once: larger graphs are cut into parts that overlap by half.
    `order` lets it see distances in the order of computation beside the wiring; without it, outputs do not
    depend on how independent nodes are listed. `buckets` are those into which combinations of operations are
    hashed.
    """

    width: int = 96
    layers: int = 5
    heads: int = 6
    expansion: int = 2
    dropout: float = 0.1
    limit: int = 512
    order: bool = True
    buckets: int = 4096

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads", "expansion", "limit", "buckets"):
            if not (isinstance(value := getattr(self, name), int) and value >= 1):
                raise ConfigurationError(f"{name} is {value!r}: give a whole number, at least 1")
        if self.width % self.heads or self.width % 2:
            raise ConfigurationError(f"width {self.width} must be even and divisible by {self.heads} heads")
        if not 0 <= self.dropout < 1:
            raise ConfigurationError(f"dropout {self.dropout:g}: give 0 or more, below 1")
        if self.limit < 16:
            raise ConfigurationError(f"limit {self.limit}: give at least 16 nodes")

    def to_dict(self) -> dict[str, Any]:
        """As JSON data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TransformerConfig:
        """From JSON data. Raises ConfigurationError for unknown fields and impossible sizes."""
        known = {field.name for field in fields(cls)}
        if unknown := set(data) - known:
            raise ConfigurationError(f"the transformer has no {', '.join(sorted(unknown))}")
        return cls(**data)


SIZES: Mapping[str, TransformerConfig] = {
    "tiny": TransformerConfig(width=24, layers=3, heads=2, buckets=128),
    "small": TransformerConfig(width=64, layers=4, heads=4, buckets=2048),
    "base": TransformerConfig(width=96, layers=5, heads=6),
    "large": TransformerConfig(width=192, layers=8, heads=8, expansion=4, buckets=8192),
}


def find_size(said: str) -> TransformerConfig:
    """A size by name, or by what it differs in: "small", "small,layers=6", "width=128,heads=8" (of base).

    Raises ConfigurationError for another name or field, and for impossible sizes.
    """
    first, *rest = [part.strip() for part in said.split(",")]
    name, changes = ("base", [first, *rest]) if "=" in first else (first, rest)
    if name not in SIZES:
        raise ConfigurationError(f"there is no size {name!r}; sizes are {', '.join(SIZES)}")
    size = SIZES[name]
    if not changes:
        return size
    return TransformerConfig.from_dict(size.to_dict() | dict(_change(size, each) for each in changes))


def _change(size: TransformerConfig, change: str) -> tuple[str, int | float | bool]:
    """What "layers=6" says."""
    field, _, value = (part.strip() for part in change.partition("="))
    if field not in (known := size.to_dict()):
        raise ConfigurationError(f"{change!r} is no change of a size: give NAME=VALUE of {', '.join(known)}")
    try:
        if isinstance(known[field], bool):
            return field, {"true": True, "false": False}[value.lower()]
        return field, type(known[field])(value)
    except (KeyError, ValueError):
        kind = {bool: "true or false", int: "a whole number"}.get(type(known[field]), "a number")
        raise ConfigurationError(f"{field} is {value!r}: give {kind}") from None
