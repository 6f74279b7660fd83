"""Differential operators: y = LIV_a(x) - LIV_b(x), two operators of one class with separate weights.

STAR, arXiv 2411.17800, the classes "differential 1-8"; the idea is Differential Transformer's
(arXiv 2410.05258), without its halved heads and its learned factor.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .operator import LIV, Features

HALVES = ("first", "second")


class DifferentialState(NamedTuple):
    """The two operators' states."""

    first: object
    second: object


class Differential(nn.Module):
    """The difference of two operators. Their features are named "first.k", "second.k" and so on."""

    def __init__(self, first: LIV, second: LIV) -> None:
        super().__init__()
        self.first, self.second = first, second

    @property
    def shared(self) -> tuple[str, ...]:
        """Shared roles, the same in both halves."""
        return self.first.shared

    def forward(
        self, x: Float[Tensor, "batch length width"], given: Features | None = None
    ) -> tuple[Float[Tensor, "batch length width"], Features]:
        """A whole sequence at once."""
        a, features_a = self.first(x, _half(given, "first"))
        b, features_b = self.second(x, _half(given, "second"))
        return a - b, _joined(features_a, features_b)

    def prefill(
        self, x: Float[Tensor, "batch length width"], given: Features | None = None
    ) -> tuple[Float[Tensor, "batch length width"], Features, DifferentialState]:
        """The parallel form over a prompt, and both states after it."""
        a, features_a, state_a = self.first.prefill(x, _half(given, "first"))
        b, features_b, state_b = self.second.prefill(x, _half(given, "second"))
        return a - b, _joined(features_a, features_b), DifferentialState(state_a, state_b)

    def initial_state(self, batch: int, device: torch.device, dtype: torch.dtype) -> DifferentialState:
        """Both states before any token."""
        return DifferentialState(
            *(half.initial_state(batch, device, dtype) for half in (self.first, self.second))
        )

    def step(
        self, x: Float[Tensor, "batch width"], state: DifferentialState, given: Features | None = None
    ) -> tuple[Float[Tensor, "batch width"], Features, DifferentialState]:
        """One more token."""
        a, features_a, state_a = self.first.step(x, state.first, _half(given, "first"))
        b, features_b, state_b = self.second.step(x, state.second, _half(given, "second"))
        return a - b, _joined(features_a, features_b), DifferentialState(state_a, state_b)

    def flops(self, length: int) -> int:
        """Both operators' operations."""
        return self.first.flops(length) + self.second.flops(length)

    def state_elements(self, length: int) -> int:
        """Both operators' numbers held while decoding."""
        return self.first.state_elements(length) + self.second.state_elements(length)


def _half(features: Features | None, half: str) -> Features:
    prefix = half + "."
    return {
        name.removeprefix(prefix): value
        for name, value in (features or {}).items()
        if name.startswith(prefix)
    }


def _joined(first: Features, second: Features) -> Features:
    return {
        **{f"first.{name}": value for name, value in first.items()},
        **{f"second.{name}": value for name, value in second.items()},
    }
