"""Diagonal token mixing: T_ii = sigma(C_i), the gated memoryless operator (gated linear unit).

With swish and an expansion it is SwiGLU (Shazeer, arXiv 2002.05202).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .featurizer import activation
from .operator import LIV, Features, Size
from .spec import OperatorSpec


class MemorylessState(NamedTuple):
    """Only the tails of short convolutions in the featurizer, usually none."""

    tails: dict[str, Tensor]


class GatedMemoryless(LIV):
    """y = W (sigma(gate) * value), each token by itself."""

    state_roles = ("value",)

    def __init__(
        self, spec: OperatorSpec, size: Size, groups: Mapping[str, nn.Module], shared: tuple[str, ...]
    ) -> None:
        super().__init__(spec, size, groups, shared, size.width * spec.group("value").expansion)

    def featurize(self, x: Float[Tensor, "batch length width"], given: Features) -> Features:
        """Gate and value."""
        return {"gate": self.groups["gate"](x), "value": self.feature("value", x, given)}

    def mix(self, features: Features) -> Float[Tensor, "batch length inner"]:
        """The gated value."""
        return activation(features["gate"], self.spec.nonlinearity) * features["value"]

    def state_after(self, x: Float[Tensor, "batch length width"], features: Features) -> MemorylessState:
        """Nothing but convolution tails."""
        del features
        return MemorylessState(self.tails_after(x))

    def initial_state(self, batch: int, device: torch.device, dtype: torch.dtype) -> MemorylessState:
        """Nothing but convolution tails."""
        return MemorylessState(self.initial_tails(batch, device, dtype))

    def step(
        self, x: Float[Tensor, "batch width"], state: MemorylessState, given: Features | None = None
    ) -> tuple[Float[Tensor, "batch width"], Features, MemorylessState]:
        """One more token."""
        tails = dict(state.tails)
        gate = self.feature_step("gate", x, tails, {})
        features: Features = {"value": self.feature_step("value", x, tails, given or {})}
        y = activation(gate, self.spec.nonlinearity) * features["value"]
        return self.output(y), features, MemorylessState(tails)

    def mixing_flops(self, length: int) -> int:
        """Gating is element-wise."""
        del length
        return 0

    def memory_elements(self, length: int) -> int:
        """No memory."""
        del length
        return 0
