"""A small decoder to edit: traced once, with its module, and what it computes after an edit."""

from functools import cache

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from madstar.graph.trace import trace

from ..interpreter import run, weights_of

SIZES = ({"batch": 2, "length": 7}, {"batch": 3, "length": 5})


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = (
            proj(x).view(batch, length, self.heads, -1).transpose(1, 2)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(y.transpose(1, 2).reshape(batch, length, width))


class MLP(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.up_proj, self.act, self.down_proj = (
            nn.Linear(width, 2 * width),
            nn.SiLU(),
            nn.Linear(2 * width, width),
        )

    def forward(self, x):
        return self.down_proj(self.act(self.up_proj(x)))


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), Attention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width), MLP(width)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Decoder(nn.Module):
    def __init__(self, layers=3, width=16, heads=4, vocabulary=30):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens):
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


def tokens(batch, length):
    return {"tokens": torch.arange(batch * length).reshape(batch, length) * 7 % 30}


@cache
def decoder():
    """The module, with random weights, and its graph."""
    torch.manual_seed(0)
    module = Decoder().eval()
    return module, trace(module, tokens, name="decoder")


def graph():
    return decoder()[1]


def computed(edited, weights, sizes, make=tokens):
    """What a graph computes with these weights; every shape that it states is checked on the way."""
    with torch.no_grad():
        return run(edited, edited.main, list(make(**sizes).values()), weights, "", sizes)[0]


def same(edited, weights, atol=1e-5):
    """Whether the graph computes with these weights what the decoder computes."""
    module, _ = decoder()
    for sizes in SIZES:
        with torch.no_grad():
            torch.testing.assert_close(
                computed(edited, weights, sizes), module(**tokens(**sizes)), rtol=1e-4, atol=atol
            )


def own_weights():
    return weights_of(decoder()[0])
