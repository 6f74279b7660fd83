"""The short convolution of the published layers: ShortConvolution with torch's initialisation and a bias."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..featurizer import ShortConvolution


class CausalConvolution(ShortConvolution):
    """Depthwise, over `taps` tokens, initialised as torch's Conv1d: uniform within 1 / sqrt(taps)."""

    def __init__(self, channels: int, taps: int, *, bias: bool) -> None:
        super().__init__(channels, taps)
        bound = taps**-0.5
        nn.init.uniform_(self.weight, -bound, bound)
        self.bias = nn.Parameter(torch.empty(channels).uniform_(-bound, bound)) if bias else None

    def forward(self, x: Float[Tensor, "batch length channels"]) -> Float[Tensor, "batch length channels"]:
        """Convolve a whole sequence."""
        y = super().forward(x)
        return y if self.bias is None else y + self.bias

    def step(
        self, x: Float[Tensor, "batch channels"], state: Float[Tensor, "batch past channels"]
    ) -> tuple[Float[Tensor, "batch channels"], Float[Tensor, "batch past channels"]]:
        """Convolve one more token."""
        y, state = super().step(x, state)
        return (y if self.bias is None else y + self.bias), state
