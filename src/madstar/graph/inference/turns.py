"""In which ways the open names of each definition are set, and in which turn of which run first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..model import Attribute, Call, Graph
from ..soundness import ordered_definitions
from ..varying import Binding, bindings, key_of


class Way(NamedTuple):
    """What open names stand for, and where first, in words: "turn 7 (i=6)"."""

    words: str
    binding: Binding

    @property
    def key(self) -> str:
        """Text that is the same for the same way."""
        return key_of(self.binding)


def ways(graph: Graph) -> dict[str, tuple[Way, ...]]:
    """By name the ways in which a definition is computed, in the order of its calls; one for most."""
    order = ordered_definitions(graph)
    found: dict[str, dict[str, Way]] = {name: {} for name in order}
    found[graph.root][""] = Way("", {})
    for name in reversed(order):
        calls = [item for item in graph.definitions[name].items if isinstance(item, Call)]
        for outer in list(found[name].values()):
            for call in calls:
                known = found[call.definition]
                if not call.settings:
                    known.setdefault("", Way("", {}))
                    continue
                for turn, binding in enumerate(bindings(call, outer.binding), 1):
                    if (key := key_of(binding)) not in known:
                        words = f"turn {turn} ({_said(binding)})" if call.count > 1 else _said(binding)
                        known[key] = Way(words if not outer.words else f"{words} of {outer.words}", binding)
    return {name: tuple(each.values()) for name, each in found.items()}


def _said(binding: Mapping[str, Attribute]) -> str:
    return ", ".join(f"{name}={value!r:.40}" for name, value in binding.items())
