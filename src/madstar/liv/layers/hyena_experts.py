"""Hyena experts: the channels of a Hyena in groups, of which each token reads a few.

arXiv 2403.17844, appendix B (MAD), of order 2.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...errors import LayerError
from ..kernel import ImplicitKernel, long_convolution_flops
from .causal_convolution import CausalConvolution
from .contract import SequenceLayer
from .hyena import HyenaState, convolve, drawn, kept


class HyenaExperts(SequenceLayer):
    """`experts` Hyenas of `width` channels; a router weighs the `active` best for each token, and their
    weighted sum, `width` channels, is mapped back.

    The weights are a softmax over the active experts alone. (mad-lab sets the scores of the others to
    zero before its softmax, which leaves them all at work.) Every expert convolves every token, since
    a later token may choose it: the state is past inputs of experts * width channels, up to
    max_length - 1. MAD counts it by the filter's order instead, see `Hyena`.

    Raises LayerError where `active` is not in 1 ... `experts`, or `width` is below 1.
    """

    TAPS = 3

    def __init__(self, dim: int, max_length: int, experts: int = 8, width: int = 16, active: int = 2) -> None:
        super().__init__()
        if width < 1:
            raise LayerError(f"hyena-experts: width is {width}: it must be at least 1")
        if not 1 <= active <= experts:
            raise LayerError(f"hyena-experts: {active} active of {experts} experts: give 1 to {experts}")
        self.dim, self.experts, self.width, self.active = dim, experts, width, active
        self.inner, self.taps = experts * width, max_length
        self.input = nn.Linear(dim, 3 * self.inner)
        self.convolution = CausalConvolution(3 * self.inner, self.TAPS, bias=True)
        self.kernel = drawn(ImplicitKernel(self.inner))
        self.router = nn.Linear(dim, experts)
        self.output = nn.Linear(width, dim)

    def forward(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
        """A whole sequence at once."""
        return self._run(x)[0]

    def prefill(
        self, x: Float[Tensor, "batch length width"]
    ) -> tuple[Float[Tensor, "batch length width"], HyenaState]:
        """The parallel form, and the state after it."""
        y, written, projected = self._run(x)
        return y, HyenaState(kept(written, self.taps), self.convolution.state(projected))

    def initial_state(self, batch: int, device: torch.device, dtype: torch.dtype) -> HyenaState:
        """Nothing yet, and zeros for the short convolutions."""
        return HyenaState(
            torch.zeros(batch, 0, self.inner, device=device, dtype=dtype),
            torch.zeros(batch, self.TAPS - 1, 3 * self.inner, device=device, dtype=dtype),
        )

    def step(
        self, x: Float[Tensor, "batch width"], state: HyenaState
    ) -> tuple[Float[Tensor, "batch width"], HyenaState]:
        """One more token: a sum over the past."""
        z, tail = self.convolution.step(self.input(x), state.tail)
        gate, b, v = z.chunk(3, -1)  # (batch, inner) each
        past = torch.cat([state.past, (b * v)[:, None]], 1)
        length = min(past.shape[1], self.taps)
        taps = self.kernel(length).flip(-1).t()  # (length, inner), the present token last
        y = gate * (past[:, -length:] * taps).sum(1)
        return self._chosen(y, x), HyenaState(kept(past, self.taps), tail)

    def state_elements(self, length: int) -> int:
        """The past inputs still in reach."""
        return min(length, self.taps - 1) * self.inner

    def tail_elements(self) -> int:
        """The short convolutions' last inputs."""
        return (self.TAPS - 1) * 3 * self.inner

    def flops(self, length: int) -> int:
        """The maps, the router, the short convolutions, the kernel's network and the long convolution."""
        taps = min(length, self.taps)
        maps = 2 * length * self.dim * (3 * self.inner + self.experts + self.width)
        short = self.convolution.flops(length, 3 * self.inner)
        return maps + short + long_convolution_flops(length, taps, self.inner) + self.kernel.flops(taps)

    def _run(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs, the long convolution's inputs, and those of the short convolutions."""
        projected = self.input(x)  # (batch, length, 3 inner)
        gate, b, v = self.convolution(projected).chunk(3, -1)
        kernel = self.kernel(min(x.shape[1], self.taps))
        written = b * v
        y = gate * convolve(written.transpose(1, 2), kernel).transpose(1, 2)
        return self._chosen(y, x), written, projected

    def _chosen(self, y: Float[Tensor, "... inner"], x: Float[Tensor, "... width"]) -> Tensor:
        """The active experts' weighted sum, mapped back."""
        scores = self.router(x)  # (..., experts)
        best, which = scores.topk(self.active, -1)
        weights = torch.zeros_like(scores).scatter(-1, which, best.softmax(-1).to(scores.dtype))
        # Channels are in the order (width, experts), as in mad-lab.
        return self.output((y.unflatten(-1, (self.width, self.experts)) * weights[..., None, :]).sum(-1))
