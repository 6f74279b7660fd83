"""Layers and models as a user might write them, most of them wrong."""

import time

import torch
from torch import Tensor, nn


class Mixer(nn.Module):
    """A causal mean of the past, mixed over channels: sound."""

    def __init__(self, dim: int, max_length: int, scale: float = 1.0) -> None:
        super().__init__()
        self.linear, self.scale = nn.Linear(dim, dim), scale

    def forward(self, x: Tensor) -> Tensor:
        count = torch.arange(1, x.shape[1] + 1)[:, None]
        return self.linear(x.cumsum(1) / count) * self.scale


class NoLength(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()


class Narrow(Mixer):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[..., :1]


class NotANumber(Mixer):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        y[:, 5:] = torch.nan
        return y


class Future(Mixer):
    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flip(1).cumsum(1).flip(1))


class NearFuture(Mixer):
    """Each token sees the next one alone."""

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(torch.cat([x[:, 1:], x[:, -1:]], 1))


class Broken(Mixer):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("no such\nluck")


class Tuple(Mixer):
    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return super().forward(x), None


class ShortOnly(Mixer):
    """Fails while it is trained on sequences above 16 tokens; built at that length it is fine."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] > 16 and self.training:
            raise RuntimeError("too long for me")
        return super().forward(x)


class Sleeper(Mixer):
    """Hangs while it is trained on sequences above 16 tokens."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] > 16 and self.training:
            time.sleep(600)
        return super().forward(x)


def make_model_fn(task: str, vocab_size: int, max_length: int) -> nn.Module:
    from madstar.liv import AutoEncoder, LanguageModel

    kind = AutoEncoder if task == "compression" else LanguageModel
    config = {"dim": 16, "max_length": max_length}
    return kind(vocab_size, max_length, [Mixer, "swiglu"], [config, config], dim=16)


def make_without_length(task: str, vocab_size: int) -> nn.Module:
    raise AssertionError("never called")


def make_text(task: str, vocab_size: int, max_length: int) -> str:
    return "no module"


def make_larger(task: str, vocab_size: int, max_length: int) -> nn.Module:
    return make_model_fn(task, vocab_size + 1, max_length)
