"""Channel mixers without memory: the multi-layer perceptron, and SwiGLU (arXiv 2002.05202)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from ...errors import LayerError
from .contract import SequenceLayer


class Nothing(NamedTuple):
    """The state of a layer that remembers nothing."""


class Tokenwise(SequenceLayer):
    """A layer that treats each token by itself. Subclasses write `transform`, and `flops` if it is

    more than each linear map applied once to each token.
    """

    def transform(self, x: Float[Tensor, "... width"]) -> Float[Tensor, "... width"]:
        """The output for each token."""
        raise NotImplementedError

    def forward(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
        """Every token by itself."""
        return self.transform(x)

    def prefill(
        self, x: Float[Tensor, "batch length width"]
    ) -> tuple[Float[Tensor, "batch length width"], Nothing]:
        """The same; nothing is remembered."""
        return self.transform(x), Nothing()

    def initial_state(self, batch: int, device: torch.device, dtype: torch.dtype) -> Nothing:
        """Nothing."""
        del batch, device, dtype
        return Nothing()

    def step(
        self, x: Float[Tensor, "batch width"], state: Nothing
    ) -> tuple[Float[Tensor, "batch width"], Nothing]:
        """One more token."""
        return self.transform(x), state

    def state_elements(self, length: int) -> int:
        """None."""
        del length
        return 0

    def flops(self, length: int) -> int:
        """Each linear map once a token."""
        maps = [part for part in self.modules() if isinstance(part, nn.Linear)]
        return sum(2 * length * part.weight.numel() for part in maps)


class Mlp(Tokenwise):
    """y = W_2 gelu(W_1 x), GELU by its tanh approximation; `inner` is 4 times the width by default."""

    def __init__(self, dim: int, max_length: int, inner: int | None = None) -> None:
        super().__init__()
        del max_length
        inner = 4 * dim if inner is None else inner
        check_inner(inner, "mlp")
        self.up = nn.Linear(dim, inner, bias=False)
        self.output = nn.Linear(inner, dim, bias=False)

    def transform(self, x: Float[Tensor, "... width"]) -> Float[Tensor, "... width"]:
        """The output for each token."""
        return self.output(F.gelu(self.up(x), approximate="tanh"))


class SwiGLU(Tokenwise):
    """y = W_3 (silu(W_1 x) * W_2 x).

    `inner` by default 8/3 of the width, which gives the parameters of an MLP of 4 times the width, rounded
    up to a multiple of 16.
    """

    def __init__(self, dim: int, max_length: int, inner: int | None = None) -> None:
        super().__init__()
        del max_length
        inner = -(-(8 * dim // 3) // 16) * 16 if inner is None else inner
        check_inner(inner, "swiglu")
        self.gate = nn.Linear(dim, inner, bias=False)
        self.up = nn.Linear(dim, inner, bias=False)
        self.output = nn.Linear(inner, dim, bias=False)

    def transform(self, x: Float[Tensor, "... width"]) -> Float[Tensor, "... width"]:
        """The output for each token."""
        return self.output(F.silu(self.gate(x)) * self.up(x))


def check_inner(inner: int, layer: str) -> None:
    """Raise LayerError for an inner width below 1."""
    if inner < 1:
        raise LayerError(f"{layer}: an inner width of {inner}; use 1 or more")
