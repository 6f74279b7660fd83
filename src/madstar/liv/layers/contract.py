"""The contract of a layer that is known by name: a sequence in, a sequence of the same shape out.

A layer is an operator that shares no features with other layers, so its interface is that of `LIV`
without them. `LanguageModel` and `AutoEncoder` stack layers; `Given` makes one a LIV class of a genome.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


class SequenceLayer(nn.Module):
    """A layer built as `Layer(dim=..., max_length=..., **settings)`.

    Subclasses write `forward` (whole sequences, no loop over time) and the step form, which says the
    same token by token. `causal` says that a token's output depends on it and earlier ones only.
    `output`, where a layer has it, is the linear map back to the residual stream: backbones that
    scale residual branches at initialisation scale its weight.

    Weights are drawn by torch's default initialisation, from the global generator, which whoever builds
    a model has seeded (`build_layer` does): users' own layers need no other rule than torch's.
    """

    causal: bool = True

    def forward(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
        """A whole sequence at once."""
        raise NotImplementedError

    def prefill(
        self, x: Float[Tensor, "batch length width"]
    ) -> tuple[Float[Tensor, "batch length width"], Any]:
        """The parallel form over a prompt, and the decoding state after it."""
        raise NotImplementedError

    def initial_state(self, batch: int, device: torch.device, dtype: torch.dtype) -> Any:
        """The decoding state before any token: a NamedTuple."""
        raise NotImplementedError

    def step(self, x: Float[Tensor, "batch width"], state: Any) -> tuple[Float[Tensor, "batch width"], Any]:
        """One more token: its output and the next state."""
        raise NotImplementedError

    def state_elements(self, length: int) -> int:
        """Numbers held per sequence after decoding `length` tokens, beside convolution tails."""
        raise NotImplementedError

    def tail_elements(self) -> int:
        """Numbers held per sequence by short convolutions and token shifts: the last few inputs."""
        return 0

    def flops(self, length: int) -> int:
        """Operations of one forward pass over one sequence, 2 per multiply-add, without element-wise ones."""
        raise NotImplementedError
