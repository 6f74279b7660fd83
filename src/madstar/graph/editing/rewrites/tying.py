"""The head with the weights of the embedding (Press and Wolf, 2017, arXiv:1608.05859)."""

from __future__ import annotations

from dataclasses import dataclass

from ....errors import EditError
from ...model import Node
from ...paths import join
from ..bench import Bench, Touched
from ..select import Site
from ..whole_modules import Share
from .finding import not_there


@dataclass(frozen=True)
class TieWeights:
    """Let the linear head have the weights of the embedding of tokens, which keep their values.

    Found are the first embedding of tokens and the linear layers behind it whose weights have its form. Where
    both are equal the function is unchanged.
    """

    select: str = "**:linear"

    def apply(self, bench: Bench) -> Touched:
        """The graph with the rewrite made. Raises EditError."""
        heads: list[str] = []
        path = ""
        already = False
        for path in self._embeddings(bench):
            tied = {each for group in bench.graph.tied if path in group for each in group}
            form = bench.parameters[path].shape
            fitting = [
                w for s in bench.sites(self.select) if (w := _weight(s)) and bench.parameters[w].shape == form
            ]
            already |= bool(tied & set(fitting)) or path in fitting
            if heads := [w for w in fitting if w not in tied and w != path]:
                break
        if not heads:
            why = "the head has them already" if already else "no linear layer has the form of an embedding"
            raise not_there("tie_weights", self.select, why)
        graph = bench.graph
        paths: list[str] = []
        for head in dict.fromkeys(heads):
            done = Share(head, path).apply(Bench(graph, bench.inference))
            graph, paths = done.graph, [*paths, *done.paths]
        return Touched(graph, tuple(paths))

    def _embeddings(self, bench: Bench) -> list[str]:
        """The weights of trained embeddings, those with the most rows first."""
        try:
            sites = bench.sites("**:embedding")
        except EditError:
            return []
        found = {w for site in sites if (w := _weight(site)) and bench.parameters[w].trained}
        return sorted(found, key=lambda w: (-bench.parameters[w].shape[0], w))


def _weight(site: Site) -> str:
    """The full path of the weight of a linear layer or embedding; empty where there is none."""
    if not isinstance(site.item, Node):
        return ""
    ref = next((a.source for a in site.item.arguments if a.slot == "weight"), "")
    return join(site.instance.path, ref[1:]) if ref.startswith("@") else ""
