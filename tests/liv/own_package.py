"""Layers as another package would offer them, and that package."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from madstar.liv.layers.contract import SequenceLayer

NAMES = {
    "mean-mixer": "MeanMixer",
    "forward-only": "ForwardOnly",
    "with-table": "WithTable",
    "both-ways": "BothWays",
}


class MeanMixer(SequenceLayer):
    """The mean of the past, mapped; the state is its sum and its length."""

    def __init__(self, dim: int, max_length: int, scale: float = 1.0) -> None:
        super().__init__()
        del max_length
        self.output, self.scale = nn.Linear(dim, dim), scale

    def forward(self, x: Tensor) -> Tensor:
        return self.prefill(x)[0]

    def prefill(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, int]]:
        places = torch.arange(1, x.shape[1] + 1, device=x.device)[:, None]
        return self.output(self.scale * x.cumsum(1) / places), (x.sum(1), x.shape[1])

    def initial_state(self, batch: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, int]:
        return torch.zeros(batch, self.output.in_features, device=device, dtype=dtype), 0

    def step(self, x: Tensor, state: tuple[Tensor, int]) -> tuple[Tensor, tuple[Tensor, int]]:
        total, length = state[0] + x, state[1] + 1
        return self.output(self.scale * total / length), (total, length)

    def state_elements(self, length: int) -> int:
        del length
        return self.output.in_features

    def flops(self, length: int) -> int:
        return 2 * length * self.output.weight.numel()


class ForwardOnly(nn.Module):
    """What a benchmark can train but nothing can decode with."""

    def __init__(self, dim: int, max_length: int) -> None:
        super().__init__()
        del max_length
        self.map = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.map(x)


class WithTable(MeanMixer):
    """Learned positions up to the longest sequence."""

    def __init__(self, dim: int, max_length: int) -> None:
        super().__init__(dim, max_length)
        self.positions = nn.Parameter(torch.zeros(max_length, dim))


class BothWays(MeanMixer):
    """A layer that says it looks into the future."""

    causal = False


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a package in the path that offers these layers as entry points."""
    found = folder / "own_mixers-1.0.dist-info"
    found.mkdir()
    (found / "METADATA").write_text("Metadata-Version: 2.1\nName: own-mixers\nVersion: 1.0\n")
    points = "\n".join(f"{name} = {__name__}:{made}" for name, made in NAMES.items())
    (found / "entry_points.txt").write_text(f"[madstar.layers]\n{points}\n")
    monkeypatch.syspath_prepend(str(folder))
