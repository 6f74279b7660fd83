"""Token shift: each feature of a token is computed from a mix of the token and the one before it.

RWKV's replacement of a short convolution (arXiv 2404.05892, sections 4.1 and 4.2).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

PRESENT, PREVIOUS = "present", "previous"


def previous(x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
    """The token before each token; zeros before the first."""
    return F.pad(x, (0, 0, 1, 0))[:, :-1]


class TokenMix(nn.Module):
    """Mixes x_t and x_{t-1} by one weight for each channel, once for each of `count` features.

    The learned weight is that of the present token (as RWKV-5 keeps it) or of the previous one (as
    RWKV-6 does): one function, but weight decay pulls the two to different ends. The present
    token's weight is (channel / width)^power at first, as in the authors' first layer: the first
    channels look back, the last ones do not.
    """

    def __init__(self, dim: int, powers: tuple[float, ...], weight_of: str) -> None:
        super().__init__()
        place = torch.arange(dim) / dim
        present = torch.stack([place**power for power in powers])
        self.weight_of = weight_of
        self.weight = nn.Parameter(present if weight_of == PRESENT else 1 - present)  # (count, width)

    def forward(
        self, x: Float[Tensor, "... width"], before: Float[Tensor, "... width"]
    ) -> tuple[Float[Tensor, "... width"], ...]:
        """The mix for each feature, given each token and the one before it."""
        if self.weight_of == PRESENT:
            x, before = before, x
        away = before - x
        return tuple(x + away * weight for weight in self.weight)
