"""The backbone: embedding, pre-norm residual LIVs, final norm, output (tied or untied).

x <- x + LIV(norm(x)) for every layer, as in STAR (arXiv 2411.17800, section 3), which leaves the
residual and the norm out of the search.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor, nn

from .assembly import Pool, check_size, make_operator
from .featurizer import ChannelMixing
from .given import Given
from .operator import LIV, Features, Size
from .spec import BackboneSpec, LayerSpec


class Layer(nn.Module):
    """One residual layer; its operator sees normalised inputs."""

    features_from: int | None
    operator: Any  # a LIV, the difference of two, or a layer by name

    def __init__(self, spec: LayerSpec, size: Size, pool: Pool) -> None:
        super().__init__()
        self.features_from = spec.features_from
        self.norm = nn.RMSNorm(size.width, eps=1e-6)
        self.operator = make_operator(spec, size, pool)

    def forward(
        self, x: Float[Tensor, "batch length width"], given: Features | None
    ) -> tuple[Float[Tensor, "batch length width"], Features]:
        """A whole sequence at once."""
        y, features = self.operator(self.norm(x), given)
        return x + y, features

    def prefill(
        self, x: Float[Tensor, "batch length width"], given: Features | None
    ) -> tuple[Float[Tensor, "batch length width"], Features, Any]:
        """A prompt at once, and the decoding state after it."""
        y, features, state = self.operator.prefill(self.norm(x), given)
        return x + y, features, state

    def step(
        self, x: Float[Tensor, "batch width"], state: Any, given: Features | None
    ) -> tuple[Float[Tensor, "batch width"], Features, Any]:
        """One more token."""
        y, features, state = self.operator.step(self.norm(x), state, given)
        return x + y, features, state


class Backbone(nn.Module):
    """A causal sequence model built from a `BackboneSpec`; deterministic from a seed.

    Raises GenomeError where width, heads and repeat factors do not divide, or where a layer by name cannot
    be built at the width.
    """

    def __init__(self, spec: BackboneSpec, seed: int | None = None) -> None:
        super().__init__()
        self.spec = spec
        size = Size(spec.width, spec.heads, spec.window, spec.rotary_base)
        check_size(size)
        pool: Pool = {}
        # Not drawn by torch, which would move the global generator and, on the meta device, load a compiler.
        empty = torch.empty(spec.vocabulary_size, spec.width)
        self.embedding = nn.Embedding.from_pretrained(empty, freeze=False)
        self.layers = nn.ModuleList(Layer(layer, size, pool) for layer in spec.layers)
        self.norm = nn.RMSNorm(spec.width, eps=1e-6)
        self.head = None if spec.tied else ChannelMixing(spec.width, spec.vocabulary_size, "dense", 1)
        # Only layers that another one takes features from need to be remembered.
        self.owners = frozenset(
            layer.features_from for layer in spec.layers if layer.features_from is not None
        )
        if seed is not None:
            self.initialise(seed)

    def initialise(self, seed: int) -> None:
        """Draw all weights anew. Every module has a generator of its own, from the seed and its place,

        so that two architectures that differ in one layer start alike in the others.
        """
        nn.init.ones_(self.norm.weight)
        drawn: set[nn.Module] = set()
        for place, module in enumerate([self.head, *self.layers]):
            generator = torch.Generator(self.embedding.weight.device).manual_seed(1_000_003 * seed + place)
            for part in () if module is None else module.modules():
                # Shared featurizers are drawn by the first layer that has them, whoever joins it later.
                if part in drawn:
                    continue
                drawn.add(part)
                if isinstance(part, Given):
                    drawn.update(part.modules())  # it draws them as its layer says
                reset = getattr(part, "reset_parameters", None)
                if isinstance(part, nn.RMSNorm):
                    nn.init.ones_(part.weight)
                elif reset is not None:
                    reset(generator)
        generator = torch.Generator(self.embedding.weight.device).manual_seed(1_000_003 * seed - 1)
        with torch.no_grad():
            self.embedding.weight.normal_(0.0, self.spec.embedding_std, generator=generator)
            for layer in self.layers:
                for part in layer.modules():
                    if isinstance(part, LIV):
                        part.output.weight.mul_(self.spec.residual_scale)
                    elif isinstance(part, Given):
                        part.scale_output(self.spec.residual_scale)

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length vocabulary"]:
        """Logits for the token after each position."""
        return self._logits(self.hidden(tokens))

    def hidden(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length width"]:
        """The residual stream after the last layer."""
        x = self.embedding(tokens)
        kept: dict[int, Features] = {}
        for index, layer in enumerate(self.depth()):
            x, features = layer(x, self._given(layer, kept))
            if index in self.owners:
                kept[index] = features
        return x

    def prefill(
        self, tokens: Int[Tensor, "batch length"]
    ) -> tuple[Float[Tensor, "batch length vocabulary"], tuple[Any, ...]]:
        """Logits over a prompt, and every layer's decoding state after it."""
        x = self.embedding(tokens)
        kept: dict[int, Features] = {}
        states = []
        for index, layer in enumerate(self.depth()):
            x, features, state = layer.prefill(x, self._given(layer, kept))
            states.append(state)
            if index in self.owners:
                kept[index] = features
        return self._logits(x), tuple(states)

    def initial_state(self, batch: int) -> tuple[Any, ...]:
        """Every layer's decoding state before any token."""
        weight = self.embedding.weight
        return tuple(
            layer.operator.initial_state(batch, weight.device, weight.dtype) for layer in self.depth()
        )

    def step(
        self, token: Int[Tensor, " batch"], states: tuple[Any, ...]
    ) -> tuple[Float[Tensor, "batch vocabulary"], tuple[Any, ...]]:
        """Logits after one more token, and the next states."""
        x = self.embedding(token)
        kept: dict[int, Features] = {}
        following = []
        for index, (layer, state) in enumerate(zip(self.depth(), states, strict=True)):
            x, features, state = layer.step(x, state, self._given(layer, kept))
            following.append(state)
            if index in self.owners:
                kept[index] = features
        return self._logits(x), tuple(following)

    @staticmethod
    def _given(layer: Layer, kept: dict[int, Features]) -> Features | None:
        return None if layer.features_from is None else kept[layer.features_from]

    def depth(self) -> Iterator[Layer]:
        """The layers, from the input to the output."""
        for layer in self.layers:
            assert isinstance(layer, Layer)
            yield layer

    def _logits(self, x: Float[Tensor, "... width"]) -> Float[Tensor, "... vocabulary"]:
        x = self.norm(x)
        if self.head is not None:
            return self.head(x)
        # A tied output starts at the scale an untied one has, whatever the embedding's scale.
        return F.linear(x, self.embedding.weight) * (self.spec.width**-0.5 / self.spec.embedding_std)
