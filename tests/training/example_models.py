"""Small models for training on examples: attention and a scan, batch norm, dropout, shared weights."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

CLASSES = 7


class Mixed(nn.Module):
    """Embedding, causal attention by SDPA, a decaying scan, logits; `tied` shares the embedding."""

    def __init__(self, *, seed: int = 0, width: int = 8, tied: bool = False) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embed = nn.Embedding(CLASSES, width)
            self.norm = nn.RMSNorm(width)
            # Without a bias: that of the keys has no gradient but rounding, which Adam makes large.
            self.qkv = nn.Linear(width, 3 * width, bias=False)
            self.decay = nn.Parameter(torch.randn(width))
            self.into = nn.Linear(width, width)
            self.head = nn.Linear(width, CLASSES, bias=not tied)
        if tied:
            self.head.weight = self.embed.weight
        self.register_buffer("positions", torch.linspace(0, 1, 64)[:, None], persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) + self.positions[: tokens.shape[1]]
        q, k, v = (z.unflatten(-1, (2, -1)).transpose(1, 2) for z in self.qkv(self.norm(x)).chunk(3, dim=-1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + mixed.transpose(1, 2).flatten(2)
        rate = torch.sigmoid(self.decay)
        past = torch.arange(x.shape[1])[:, None] - torch.arange(x.shape[1])
        powers = rate ** past.clamp(min=0)[..., None] * (past >= 0)[..., None]
        x = x + torch.einsum("tsd,bsd->btd", powers, self.into(x))
        return self.head(x)


class Noisy(nn.Module):
    """Batch norm and dropout: what must also be kept to go on exactly."""

    def __init__(self, *, seed: int = 0, dropout: float = 0.3) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embed = nn.Embedding(CLASSES, 8)
            self.norm = nn.BatchNorm1d(8)
            self.head = nn.Linear(8, CLASSES)
        self.drop = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.drop(self.norm(self.embed(tokens).transpose(1, 2)).transpose(1, 2)))


class Peeking(nn.Module):
    """Reads a number of a tensor, which cannot be mapped over members."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(CLASSES, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        return x * 2 if x.sum().item() > 0 else x


def examples(n: int = 20, length: int = 6, seed: int = 0, probed: float = 0.7) -> tuple[Tensor, Tensor]:
    """Tokens whose target is the token before, some not probed."""
    draw = torch.Generator().manual_seed(seed)
    inputs = torch.randint(0, CLASSES, (n, length), generator=draw)
    targets = inputs.roll(1, 1)
    targets[torch.rand(n, length, generator=draw) > probed] = -100
    targets[:, -1] = inputs[:, -2]
    return inputs, targets
