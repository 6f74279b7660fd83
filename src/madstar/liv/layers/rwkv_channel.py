"""RWKV's channel mixing: token shift, a squared ReLU, and a receptance that gates what comes out.

arXiv 2404.05892, section 4.1 ("channel mixing"), the same in Eagle (5) and Finch (6).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from ...errors import LayerError
from .contract import SequenceLayer
from .token_shift import PRESENT, PREVIOUS, TokenMix, previous


class RwkvChannelState(NamedTuple):
    """The last input, for the token shift."""

    last: Float[Tensor, "batch width"]


class RwkvChannelMix(SequenceLayer):
    """o = sigmoid(r) * (relu(k)^2 W_v), r and k from mixes of the present and the previous token.

    `inner` is the width of k, 512 in MAD. `version` 5 and 6 compute the same; 5 keeps the present
    token's weight, 6 the previous token's (`TokenMix`). No state beside the last input.

    Raises LayerError for another version, or an `inner` below 1.
    """

    def __init__(self, dim: int, max_length: int, inner: int = 512, version: int = 6) -> None:
        super().__init__()
        del max_length
        if version not in (5, 6):
            raise LayerError(f"rwkv-channel-mixer: version is {version}: it must be 5 or 6")
        if inner < 1:
            raise LayerError(f"rwkv-channel-mixer: inner is {inner}: it must be at least 1")
        self.dim, self.inner = dim, inner
        self.mix = TokenMix(dim, (1.0, 1.0), PRESENT if version == 5 else PREVIOUS)
        self.receptance = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, inner, bias=False)
        self.output = nn.Linear(inner, dim, bias=False)

    def forward(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
        """A whole sequence at once."""
        return self._run(x, previous(x))

    def prefill(
        self, x: Float[Tensor, "batch length width"]
    ) -> tuple[Float[Tensor, "batch length width"], RwkvChannelState]:
        """The parallel form, and the last input."""
        return self(x), RwkvChannelState(x[:, -1].clone())

    def initial_state(self, batch: int, device: torch.device, dtype: torch.dtype) -> RwkvChannelState:
        """Zeros: nothing came before."""
        return RwkvChannelState(torch.zeros(batch, self.dim, device=device, dtype=dtype))

    def step(
        self, x: Float[Tensor, "batch width"], state: RwkvChannelState
    ) -> tuple[Float[Tensor, "batch width"], RwkvChannelState]:
        """One more token."""
        return self._run(x, state.last), RwkvChannelState(x.clone())

    def state_elements(self, length: int) -> int:
        """None."""
        del length
        return 0

    def tail_elements(self) -> int:
        """The last input."""
        return self.dim

    def flops(self, length: int) -> int:
        """The three linear maps."""
        return 2 * length * self.dim * (self.dim + 2 * self.inner)

    def _run(
        self, x: Float[Tensor, "... width"], before: Float[Tensor, "... width"]
    ) -> Float[Tensor, "... width"]:
        of_k, of_r = self.mix(x, before)
        k = F.relu(self.key(of_k)).square()  # (..., inner)
        return torch.sigmoid(self.receptance(of_r)) * self.output(k)
