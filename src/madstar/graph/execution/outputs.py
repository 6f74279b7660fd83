"""A graph's outputs in the structure that their names tell: "hidden_states.0", "logits"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Outputs(dict[str, Any]):
    """Outputs by name; each is an attribute too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no output {name!r}, there are {', '.join(self)}") from None


def arranged(names: Sequence[str], values: Sequence[Any]) -> Any:
    """One value alone, a tuple where names are numbers, else `Outputs`; nested as the names' dots say."""
    if tuple(names) == ("output",):
        return values[0]
    tree: dict[str, Any] = {}
    for name, value in zip(names, values, strict=True):
        place, *rest = name.split(".")
        _put(tree, place, rest, value)
    return _closed(tree)


def _put(tree: dict[str, Any], step: str, rest: list[str], value: Any) -> None:
    if not rest:
        tree[step] = value
        return
    below = tree.setdefault(step, {})
    if isinstance(below, dict):
        _put(below, rest[0], rest[1:], value)
    else:
        tree[".".join((step, *rest))] = value


def _closed(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    parts = {name: _closed(part) for name, part in tree.items()}
    if list(parts) == [str(i) for i in range(len(parts))]:
        return tuple(parts.values())
    return Outputs(parts)
