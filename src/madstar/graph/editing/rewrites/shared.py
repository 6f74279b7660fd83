"""Keys and values for several layers (Brandon et al., "Cross-layer attention", 2024, arXiv:2405.12981)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ....errors import EditError
from ..bench import Bench, Touched
from ..routes import End, Route, routed
from .attentions import Attention, attentions
from .finding import not_there


@dataclass(frozen=True)
class ShareKeysAndValues:
    """Let neighbouring layers attend to the same keys and values: of each `every`, the first makes them.

    (Brandon et al., "Cross-layer attention", 2024, arXiv:2405.12981.) Neighbours have the same paths but for
    numbers, and keys and values of the same types. The projections that nobody needs any more go; queries and
    all else are kept. The function is that of the layers with the first's keys and values.
    """

    every: int = 2
    select: str = "**"

    def apply(self, bench: Bench) -> Touched:
        """The graph with the rewrite made. Raises EditError."""
        if self.every < 2:
            raise EditError(f"every is {self.every}; give 2 or more")
        alike: dict[object, list[Attention]] = {}
        found = attentions(bench, self.select, "share_kv")
        for each in found:
            form = re.sub(r"\d+", "*", each.site.path)
            key = (form, each.type(each.key), each.type(each.value), each.scores is None)
            alike.setdefault(key, []).append(each)
        groups = [
            layers[start : start + self.every]
            for layers in alike.values()
            for start in range(0, len(layers), self.every)
        ]
        routes, paths = [], []
        for first, *rest in groups:
            rest = [each for each in rest if _ends(each) != _ends(first)]
            if rest:
                routes.append(Route(_ends(first), tuple(_ends(each) for each in rest)))
                paths += [each.site.path for each in (first, *rest)]
        if not routes:
            raise not_there(
                "share_kv",
                self.select,
                f"of {len(found)} attention no two have keys and values of one type in layers that are alike",
            )
        return Touched(bench.settled(routed(bench.graph, routes)), tuple(paths))


def _ends(each: Attention) -> End:
    return End(each.use.chain, each.use.definition.name, (each.key, each.value))
