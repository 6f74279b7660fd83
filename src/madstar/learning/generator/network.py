"""A small causal transformer over decisions, with a cache that can be cut back when a search returns.

Beside each decision it sees how many values are idle and what the last one is. Normalisation comes before
attention and feed-forward, as in GPT-2; the output is tied to the embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


@dataclass(frozen=True)
class NetworkSizes:
    """How large the transformer is; `context` is the longest sequence."""

    width: int = 96
    heads: int = 4
    layers: int = 3
    context: int = 320
    dropout: float = 0.1


class _Layer(nn.Module):
    def __init__(self, sizes: NetworkSizes) -> None:
        super().__init__()
        width = sizes.width
        self.heads = sizes.heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop = nn.Dropout(sizes.dropout)

    def forward(self, x: Tensor, cache: Tensor | None = None, place: int = 0) -> Tensor:
        """x: (batch, length, width). With a cache (2, heads, context, head width) steps from `place` on."""
        batch, length, width = x.shape
        parts = self.qkv(self.before(x)).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)  # each (batch, heads, length, width of a head)
        if cache is None:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            cache[0, :, place : place + length] = k[0]
            cache[1, :, place : place + length] = v[0]
            known = cache[:, None, :, : place + length]
            mask = torch.ones(length, place + length, dtype=torch.bool).tril(place)
            mixed = F.scaled_dot_product_attention(q, known[0], known[1], attn_mask=mask)
        x = x + self.drop(self.out(mixed.transpose(1, 2).reshape(batch, length, width)))
        return x + self.drop(self.down(F.gelu(self.up(self.between(x)))))


class Network(nn.Module):
    """Logits over all decisions for each place of a sequence."""

    def __init__(self, decisions: int, sizes: NetworkSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.decision = nn.Embedding(decisions, sizes.width)
        self.place = nn.Embedding(sizes.context, sizes.width)
        self.idle, self.last = nn.Embedding(16, sizes.width), nn.Embedding(16, sizes.width)
        self.drop = nn.Dropout(sizes.dropout)
        self.layers = nn.ModuleList(_Layer(sizes) for _ in range(sizes.layers))
        self.norm = nn.LayerNorm(sizes.width)
        self.bias = nn.Parameter(torch.zeros(decisions))
        for table in (self.decision, self.place, self.idle, self.last):
            nn.init.normal_(table.weight, std=0.02)

    def forward(
        self, sequence: Tensor, features: Tensor, cache: Tensor | None = None, place: int = 0
    ) -> Tensor:
        """sequence: (batch, length), features: (batch, length, 2) -> (batch, length, decisions).

        `cache` is (layers, 2, heads, context, width of a head), filled up to `place`; then batch is 1.
        """
        places = torch.arange(place, place + sequence.shape[1])
        x = self.decision(sequence) + self.place(places)
        x = self.drop(x + self.idle(features[..., 0]) + self.last(features[..., 1]))
        for number, layer in enumerate(self.layers):
            x = layer(x, None if cache is None else cache[number], place)
        logits: Tensor = F.linear(self.norm(x), self.decision.weight, self.bias)
        return logits


class Steps:
    """The network on its way through one graph: it scores what may follow the decisions put so far."""

    def __init__(self, network: Network) -> None:
        sizes = network.sizes
        self.network = network.eval()
        self.length = 0
        self.most = sizes.context
        head = sizes.width // sizes.heads
        self.cache = torch.zeros(sizes.layers, 2, sizes.heads, sizes.context, head)

    def put(self, number: int, features: tuple[int, int]) -> Tensor:
        """Logits of what comes after this decision."""
        with torch.no_grad():
            found: Tensor = self.network(
                torch.tensor([[number]]), torch.tensor([[features]]), self.cache, self.length
            )
        self.length += 1
        return found[0, -1]

    def cut(self, length: int) -> None:
        """Undo all but the first decisions."""
        self.length = length
