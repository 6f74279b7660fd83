"""One vector for a whole graph."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class Pool(nn.Module):
    """Means over the nodes, as they are at the end and as they came in, beside the outermost block's vector.

    The mean of what came in is a histogram of the graph's operations in few numbers: what a forest tells
    kinds of graphs apart by, and what layers blur.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.map = nn.Linear(3 * width, width)

    def forward(
        self,
        x: Float[Tensor, "g t width"],
        tokens: Float[Tensor, "g t width"],
        nodes: Int[Tensor, " g"],
    ) -> Float[Tensor, "g width"]:
        """Of the first `nodes` tokens of each; the one after them is the block that is the whole."""
        seen = torch.arange(x.shape[1], device=x.device)[None, :] < nodes[:, None]
        means = [(each * seen[..., None]).sum(1) / nodes[:, None] for each in (x, tokens)]
        whole = x.gather(1, nodes[:, None, None].expand(-1, 1, x.shape[2])).squeeze(1)
        return self.map(torch.cat([*means, whole], -1))
