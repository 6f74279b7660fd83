"""Mamba: a selective state space, in which the input sets what is written, kept and read.

arXiv 2312.00752, section 3.4 and figure 3, with the initialisation of its section 3.6.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from ...errors import LayerError
from ..selective_scan import selective_scan, selective_step
from .causal_convolution import CausalConvolution
from .contract import SequenceLayer


class MambaState(NamedTuple):
    """The state space's state, and the last inputs of the short convolution."""

    h: Float[Tensor, "batch state inner"]
    tail: Float[Tensor, "batch past inner"]


class Mamba(SequenceLayer):
    """Selective state space of `expand * dim` channels with `state` numbers each.

    Decays are exp(dt A), A = -1 ... -state at first, dt from a map of rank `dt_rank` ("auto":
    dim / 16, rounded up) with a bias that spreads dt over [0.001, 0.1]. MAD's setting of 4 numbers a
    channel holds 1,024 at width 128; `state=16` holds 4,096.

    Raises LayerError for settings below 1.
    """

    SHORTEST, LONGEST = 0.001, 0.1

    def __init__(
        self,
        dim: int,
        max_length: int,
        state: int = 4,
        taps: int = 4,
        expand: int = 2,
        dt_rank: int | str = "auto",
    ) -> None:
        super().__init__()
        del max_length
        rank = math.ceil(dim / 16) if dt_rank == "auto" else dt_rank
        if not isinstance(rank, int):
            raise LayerError(f"mamba: dt_rank is {dt_rank!r}: give a whole number or auto")
        for name, value in (("state", state), ("taps", taps), ("expand", expand), ("dt_rank", rank)):
            if value < 1:
                raise LayerError(f"mamba: {name} is {value}: it must be at least 1")
        self.dim, self.inner, self.state, self.rank = dim, expand * dim, state, rank
        self.input = nn.Linear(dim, 2 * self.inner, bias=False)
        self.convolution = CausalConvolution(self.inner, taps, bias=True)
        self.selection = nn.Linear(self.inner, rank + 2 * state, bias=False)
        self.step_size = nn.Linear(rank, self.inner)
        # Kept as (state, inner), so that the long dimension is last in the scan.
        self.log_a = nn.Parameter(torch.arange(1.0, state + 1).log()[:, None].repeat(1, self.inner))
        self.skip = nn.Parameter(torch.ones(self.inner))
        self.output = nn.Linear(self.inner, dim, bias=False)
        with torch.no_grad():
            nn.init.uniform_(self.step_size.weight, -(rank**-0.5), rank**-0.5)
            log_dt = torch.empty(self.inner).uniform_(math.log(self.SHORTEST), math.log(self.LONGEST))
            # The inverse of softplus: at an input of zero dt is what was drawn.
            self.step_size.bias.copy_(torch.log(torch.expm1(log_dt.exp())))

    def forward(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
        """A whole sequence at once."""
        return self._run(x)[0]

    def prefill(
        self, x: Float[Tensor, "batch length width"]
    ) -> tuple[Float[Tensor, "batch length width"], MambaState]:
        """The parallel form, and the state after it."""
        y, h, u = self._run(x)
        return y, MambaState(h, self.convolution.state(u))

    def initial_state(self, batch: int, device: torch.device, dtype: torch.dtype) -> MambaState:
        """Zeros; the state space's in float32 at least."""
        precise = torch.promote_types(dtype, torch.float32)
        return MambaState(
            torch.zeros(batch, self.state, self.inner, device=device, dtype=precise),
            torch.zeros(batch, self.convolution.taps - 1, self.inner, device=device, dtype=dtype),
        )

    def step(
        self, x: Float[Tensor, "batch width"], state: MambaState
    ) -> tuple[Float[Tensor, "batch width"], MambaState]:
        """One more token."""
        u, z = self.input(x).chunk(2, -1)  # (batch, inner) each
        u, tail = self.convolution.step(u, state.tail)
        u = F.silu(u)
        dt, a, b, c = self._selected(u)
        y, h = selective_step(u, dt, a, b, c, state.h)
        return self._gated(y, u, z), MambaState(h, tail)

    def state_elements(self, length: int) -> int:
        """`state` numbers a channel, whatever the length."""
        del length
        return self.state * self.inner

    def tail_elements(self) -> int:
        """The short convolution's last inputs."""
        return (self.convolution.taps - 1) * self.inner

    def flops(self, length: int) -> int:
        """The linear maps and the short convolution; the scan is element-wise and counts none."""
        maps = 3 * self.dim * self.inner + self.inner * (self.rank + 2 * self.state) + self.rank * self.inner
        return 2 * length * maps + self.convolution.flops(length, self.inner)

    def _run(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs, the final state, and the inputs of the short convolution."""
        before, z = self.input(x).chunk(2, -1)  # (batch, length, inner) each
        u = F.silu(self.convolution(before))
        dt, a, b, c = self._selected(u)
        y, h = selective_scan(u, dt, a, b, c)
        return self._gated(y, u, z), h, before

    def _selected(self, u: Float[Tensor, "... inner"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """dt (..., inner), A (state, inner), B and C (..., state), computed from the input."""
        low, b, c = self.selection(u).split([self.rank, self.state, self.state], -1)
        # The bias is added in full precision: dt of 0.001 would be lost in bfloat16.
        raw = F.linear(low, self.step_size.weight)
        dt = F.softplus(raw.to(self.step_size.bias.dtype) + self.step_size.bias)
        return dt, -self.log_a.exp(), b, c

    def _gated(self, y: Tensor, u: Tensor, z: Tensor) -> Tensor:
        return self.output((y + self.skip * u).to(z.dtype) * F.silu(z))
