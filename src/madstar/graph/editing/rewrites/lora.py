"""LoRA: a low-rank change beside linear layers (Hu et al., "LoRA", 2021, arXiv:2106.09685)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ....errors import EditError
from ...model import Node
from ..bench import Bench, Touched
from ..fragments import Fragment, Step
from ..operations import InsertParallel
from ..whole_modules import changed_parameters


@dataclass(frozen=True)
class Lora:
    """Add alpha/rank * B A x to what each selected linear layer gives; the weights stand in PATH.lora.

    B begins as zeros, so the function is unchanged at initialisation. With `freeze` all weights that were
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
        for site in bench.sites(self.select):
            if not isinstance(site.item, Node) or site.item.op not in ("linear", "addmm"):
                what = site.item.op if isinstance(site.item, Node) else "a block"
                raise EditError(
                    f"{site.path}: lora goes beside linear layers, and this is {what}; narrow the "
                    f"pattern with :linear"
                )
        steps = (
            Step("linear", "down", options={"out_features": self.rank, "bias": False}),
            Step("linear", "up", options={"out_features": "same", "bias": False, "initialisation": "zeros"}),
            Step("mul", "scale", attributes=(("other", self.alpha / self.rank),)),
        )
        new = Fragment(steps, path="{site}.lora", kind="Lora")
        done = InsertParallel(self.select, new).apply(bench)
        if not self.freeze:
            return done
        trained = {path for path, p in bench.parameters.items() if p.trained}
        frozen = changed_parameters(Bench(done.graph), trained, lambda p: replace(p, trained=False))
        return replace(done, graph=bench.settled(frozen))


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
        edited = changed_parameters(bench, frozen, lambda p: replace(p, trained=False))
        return Touched(bench.settled(edited), tuple(sorted(frozen)))
