"""LoRA: a low-rank change beside linear layers (Hu et al., "LoRA", 2021, arXiv:2106.09685)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ....errors import EditError
from ...paths import join
from ..bench import Bench, Touched
from ..following import sources
from ..fragments import Fragment, Step
from ..operations import InsertParallel
from ..select import Site
from ..whole_modules import trained_as
from .finding import not_there, within
from .linears import linear_of


@dataclass(frozen=True)
class Lora:
    """Add alpha/rank * B A x to what each selected linear layer gives; the weights stand in PATH.lora.

    Of selected blocks all linear layers within are meant, also those that transformers calls Conv1D. B begins
    as zeros, so the function is unchanged at initialisation. With `freeze` all weights that were
    there before are not trained any more.
    """

    select: str
    rank: int = 8
    alpha: float = 16.0
    freeze: bool = False

    def apply(self, bench: Bench) -> Touched:
        """The graph with the rewrite made. Raises EditError."""
        if self.rank < 1:
            raise EditError(f"rank is {self.rank}; give 1 or more")
        found = within(bench, self.select, lambda site: linear_of(site.item) is not None)
        if not found:
            raise not_there("lora", self.select, "no linear layer is there")
        steps = (
            Step("linear", "down", options={"out_features": self.rank, "bias": False}),
            Step("linear", "up", options={"out_features": "same", "bias": False, "initialisation": "zeros"}),
            Step("mul", "scale", attributes=(("other", self.alpha / self.rank),)),
        )
        by_path: dict[str, list[Site]] = {}
        for site in found:
            by_path.setdefault(_path(site), []).append(site)
        done = Touched(bench.graph, tuple(site.path for site in found))
        for path, sites in by_path.items():
            new = InsertParallel(self.select, Fragment(steps, path=path, kind="Lora"))
            graph = new.beside(Bench(done.graph, bench.inference), sites).graph
            done = replace(done, graph=graph)
        if not self.freeze:
            return done
        trained = {path for path, p in bench.parameters.items() if p.trained}
        return replace(done, graph=trained_as(Bench(done.graph, bench.inference), trained, False))


def _path(site: Site) -> str:
    """Where the weights stand, relative to the block: beside those of the layer."""
    linear = linear_of(site.item)
    assert linear is not None
    if linear.node.path:
        return "{site}.lora"
    weight = sources(linear.node)[linear.weight][1:]
    return join(weight.rpartition(".")[0], "lora")


@dataclass(frozen=True)
class TrainOnly:
    """Train only the weights whose paths fit `params`, such as "**.bias" (BitFit) or "head.**".

    The function is unchanged.
    """

    params: str

    def apply(self, bench: Bench) -> Touched:
        """The graph with the rewrite made. Raises EditError."""
        kept = set(bench.weights(self.params))
        for group in bench.graph.tied:
            kept |= set(group) if kept & set(group) else set()
        frozen = {path for path, p in bench.parameters.items() if p.trained and path not in kept}
        return Touched(trained_as(bench, frozen, False), tuple(sorted(frozen)))
