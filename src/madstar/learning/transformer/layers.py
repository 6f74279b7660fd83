"""The transformer's layer: attention with a learned bias for each pair, messages along typed edges."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor, nn

from .relations import GIVES, IDLE_SIBLING, MEMBER, OWN_BLOCK, SHARES_SOURCE, SHARES_TARGET, TAKES, TURNS

EDGE_TYPES: tuple[tuple[int, ...], ...] = (
    (GIVES[0],),
    (GIVES[1],),
    GIVES[2:],
    (TAKES[0],),
    TAKES[1:],
    TURNS,
    (SHARES_SOURCE, IDLE_SIBLING),
    (SHARES_TARGET,),
    (OWN_BLOCK, MEMBER),
)
"""Which relations are one type of edge for messages."""

NEIGHBOURS = (7, 9)
"""Buckets of `relations.orders` of the node just before and the one just after."""


def edge_matrices(
    relations: Int[Tensor, "g t t"], orders: Int[Tensor, "g t t"] | None
) -> Float[Tensor, "g types t t"]:
    """For each type of edges the mean over those that reach a token: row i, column j is j's share in i."""
    found = []
    for codes in EDGE_TYPES:
        one = relations == codes[0]
        for code in codes[1:]:
            one = one | (relations == code)
        found.append(one)
    if orders is not None:
        found += [(orders == code) & (relations != 0) for code in NEIGHBOURS]
    matrices = torch.stack(found, 1).float()
    return matrices / matrices.sum(-1, keepdim=True).clamp_min(1)


class EdgeAttention(nn.Module):
    """Attention among all tokens of a graph; `bias` (g, heads, t, t) is added to the scores."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.taken = nn.Linear(width, 3 * width, bias=False)
        self.given = nn.Linear(width, width, bias=False)

    def forward(
        self, x: Float[Tensor, "g t width"], bias: Float[Tensor, "g heads t t"]
    ) -> Float[Tensor, "g t width"]:
        """What each token reads of all."""
        g, t, width = x.shape
        q, k, v = self.taken(x).view(g, t, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) * (width // self.heads) ** -0.5 + bias
        read = scores.softmax(-1) @ v
        return self.given(read.transpose(1, 2).reshape(g, t, width))


class EdgeMessages(nn.Module):
    """Means over the neighbours by each type of edge, each type with a map of its own."""

    def __init__(self, width: int, types: int) -> None:
        super().__init__()
        self.taken = nn.Linear(width, width // 2, bias=False)
        self.given = nn.Linear(types * (width // 2), width, bias=False)

    def forward(
        self, x: Float[Tensor, "g t width"], matrices: Float[Tensor, "g types t t"]
    ) -> Float[Tensor, "g t width"]:
        """What reaches each token along its edges."""
        g, types, t, _ = matrices.shape
        reached = matrices.reshape(g, types * t, t) @ self.taken(x)
        return self.given(reached.view(g, types, t, -1).transpose(1, 2).reshape(g, t, -1))


class Layer(nn.Module):
    """Attention and messages beside one another, then a gated network on each token; norms come first."""

    def __init__(self, width: int, heads: int, types: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.inner_norm = nn.RMSNorm(width), nn.RMSNorm(width)
        self.attention = EdgeAttention(width, heads)
        self.messages = EdgeMessages(width, types)
        self.up = nn.Linear(width, 2 * expansion * width, bias=False)
        self.down = nn.Linear(expansion * width, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "g t width"],
        bias: Float[Tensor, "g heads t t"],
        matrices: Float[Tensor, "g types t t"],
    ) -> Float[Tensor, "g t width"]:
        """The tokens, one layer on."""
        normed = self.norm(x)
        x = x + self.dropout(self.attention(normed, bias) + self.messages(normed, matrices))
        gate, value = self.up(self.inner_norm(x)).chunk(2, -1)
        return x + self.dropout(self.down(F.silu(gate) * value))
