"""Hyena: projections that gate each other around long convolutions with implicit kernels.

arXiv 2302.10866, section 3; with heads arXiv 2310.18780, section 4 (multi-head Hyena).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...errors import LayerError
from ..kernel import ImplicitKernel, fft_size, long_convolution_flops
from .causal_convolution import CausalConvolution
from .contract import SequenceLayer

DIRECT_LENGTH = 1024


class HyenaState(NamedTuple):
    """Past inputs of the long convolutions, and the last inputs of the short ones."""

    past: Float[Tensor, "batch past held"]
    tail: Float[Tensor, "batch taps projected"]


class Hyena(SequenceLayer):
    """y = x_0 * conv(x_1 * ... conv(x_N-1 * v)), order N, all of width inner_factor * dim.

    The projections x_i and v pass short convolutions of 3 tokens; `projection_groups` of them in a row
    are copies before that, as mad-lab has it (4), which spends a quarter of the parameters.

    With `heads` > 1 (order 2) the value is an outer product: inner / heads kernels h, each for `heads`
    keys x `heads` values, y_t = sum_s h(t - s) (x_0,t . x_1,s) v_s. This is mad-lab's layout, in
    which 16 "heads" at width 128 are 8 kernels on 16 x 16 products; the paper would call it 8 heads.

    Kernels are those of `ImplicitKernel`, up to `max_length` tokens long: position features of fixed
    periods, SiLU and learnt exponential windows, where mad-lab has features relative to the length,
    sines and fixed windows. Decoding holds past inputs, up to max_length - 1: the state grows. MAD's
    iso-state does not count those, but what a recurrence equal to the kernel would hold: the order of the
    filter (its network's width, 4, or 2 with heads) for each convolved channel, 16 * 16 * 8 * 2 = 4,096
    for 16 heads. Here the network's width is fixed (16), so that figure is not this layer's.

    Raises LayerError where sizes do not divide, or heads are combined with an order other than 2.
    """

    TAPS = 3

    def __init__(
        self,
        dim: int,
        max_length: int,
        order: int = 2,
        heads: int = 1,
        inner_factor: int = 4,
        projection_groups: int = 4,
    ) -> None:
        super().__init__()
        inner = inner_factor * dim
        if order < 2 or (heads > 1 and order != 2):
            raise LayerError(f"hyena: order {order} with {heads} heads: use order 2, or more with one head")
        if inner_factor < 1 or heads < 1 or inner % heads:
            raise LayerError(f"hyena: {heads} heads do not divide an inner width of {inner}")
        if projection_groups < 1 or (order + 1) * inner % projection_groups:
            raise LayerError(
                f"hyena: {projection_groups} projection_groups do not divide {(order + 1) * inner} channels"
            )
        self.dim, self.inner, self.order, self.heads = dim, inner, order, heads
        self.taps, self.groups = max_length, projection_groups
        self.input = nn.Linear(dim, (order + 1) * inner // projection_groups)
        self.convolution = CausalConvolution((order + 1) * inner, self.TAPS, bias=True)
        self.kernel = drawn(ImplicitKernel((order - 1) * inner // heads))
        self.output = nn.Linear(inner, dim)

    def forward(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
        """A whole sequence at once."""
        return self._run(x)[0]

    def prefill(
        self, x: Float[Tensor, "batch length width"]
    ) -> tuple[Float[Tensor, "batch length width"], HyenaState]:
        """The parallel form, and the state after it."""
        y, past, projected = self._run(x)
        return y, HyenaState(kept(past, self.taps), self.convolution.state(projected))

    def initial_state(self, batch: int, device: torch.device, dtype: torch.dtype) -> HyenaState:
        """Nothing yet, and zeros for the short convolutions."""
        return HyenaState(
            torch.zeros(batch, 0, self._held(), device=device, dtype=dtype),
            torch.zeros(batch, self.TAPS - 1, (self.order + 1) * self.inner, device=device, dtype=dtype),
        )

    def step(
        self, x: Float[Tensor, "batch width"], state: HyenaState
    ) -> tuple[Float[Tensor, "batch width"], HyenaState]:
        """One more token: a sum over the past."""
        z, tail = self.convolution.step(self._projected(x), state.tail)
        *gates, v = z.chunk(self.order + 1, -1)  # (batch, inner) each
        length = min(state.past.shape[1] + 1, self.taps)
        kernel = self.kernel(length).flip(-1)  # (kernels, length), the present token last
        if self.heads > 1:
            present = torch.cat([gates[1], v], -1)
            past = torch.cat([state.past, present[:, None]], 1)
            k, v = (self._split(each[:, -length:]) for each in past.chunk(2, -1))
            scores = torch.einsum("bhd,bhsd->bhs", self._split(gates[0][:, None])[:, :, 0], k) * kernel
            y = torch.einsum("bhs,bhsd->bhd", scores, v).flatten(1)
        else:
            written, pasts, kernels = [], state.past.split(self.inner, -1), kernel.split(self.inner)
            for gate, earlier, taps in zip(reversed(gates[1:]), pasts, kernels, strict=True):
                written.append(gate * v)
                reached = torch.cat([earlier, written[-1][:, None]], 1)[:, -length:]
                v = (reached * taps.t()).sum(1)
            past = torch.cat([state.past, torch.cat(written, -1)[:, None]], 1)
            y = gates[0] * v
        return self.output(y), HyenaState(kept(past, self.taps), tail)

    def state_elements(self, length: int) -> int:
        """The past inputs still in reach: what enters each convolution, or the keys and values of heads."""
        return min(length, self.taps - 1) * self._held()

    def tail_elements(self) -> int:
        """The short convolutions' last inputs."""
        return (self.TAPS - 1) * (self.order + 1) * self.inner

    def flops(self, length: int) -> int:
        """The maps, the short convolutions, the kernel's network and the long convolutions."""
        projected, taps = (self.order + 1) * self.inner, min(length, self.taps)
        maps = 2 * length * self.dim * (projected // self.groups + self.inner)
        short = self.convolution.flops(length, projected)
        if self.heads == 1:
            mixing = long_convolution_flops(length, taps, (self.order - 1) * self.inner)
        elif length <= DIRECT_LENGTH:
            mixing = 4 * length * length * self.inner
        else:
            mixing = long_convolution_flops(length, taps, self.heads * self.inner)
        return maps + short + mixing + self.kernel.flops(taps)

    def _held(self) -> int:
        return 2 * self.inner if self.heads > 1 else (self.order - 1) * self.inner

    def _projected(self, x: Tensor) -> Tensor:
        z = self.input(x)
        return z if self.groups == 1 else z.repeat(*[1] * (z.ndim - 1), self.groups)

    def _run(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs, what the state would hold of every token, and the inputs of the short convolutions."""
        projected = self._projected(x)  # (batch, length, (order + 1) inner)
        *gates, v = self.convolution(projected).chunk(self.order + 1, -1)
        kernel = self.kernel(min(x.shape[1], self.taps))
        if self.heads > 1:
            q, k, values = (self._split(each) for each in (gates[0], gates[1], v))
            mix = direct_outer if x.shape[1] <= DIRECT_LENGTH else transformed_outer
            y = mix(q, k, values, kernel).transpose(1, 2).flatten(2).to(v.dtype)
            return self.output(y), torch.cat([gates[1], v], -1), projected
        written = []
        for gate, taps in zip(reversed(gates[1:]), kernel.split(self.inner), strict=True):
            written.append(gate * v)
            v = convolve(written[-1].transpose(1, 2), taps).transpose(1, 2)
        return self.output(gates[0] * v), torch.cat(written, -1), projected

    def _split(self, x: Float[Tensor, "batch length inner"]) -> Float[Tensor, "batch kernels length heads"]:
        return x.unflatten(-1, (-1, self.heads)).transpose(1, 2)


def convolve(
    x: Float[Tensor, "*batch channels length"], kernel: Float[Tensor, "channels taps"]
) -> Float[Tensor, "*batch channels length"]:
    """Causal convolution by FFT over the last dimension, zero-padded; in float32 at least.

    On a CPU several times as fast as transforming any other dimension.
    """
    precise = torch.promote_types(x.dtype, torch.float32)
    y: Tensor = _Convolution.apply(x.to(precise).contiguous(), kernel.to(precise))
    return y.to(x.dtype)


class _Convolution(torch.autograd.Function):
    """Gradients are correlations, here by real transforms; torch's own are by slower complex ones."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, kernel: Tensor) -> Tensor:
        size = fft_size(x.shape[-1] + kernel.shape[-1] - 1)
        spectrum = torch.fft.rfft(x, n=size) * torch.fft.rfft(kernel, n=size)
        return torch.fft.irfft(spectrum, n=size)[..., : x.shape[-1]]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        del output
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, kernel = ctx.saved_tensors
        size = fft_size(x.shape[-1] + kernel.shape[-1] - 1)
        later = torch.fft.rfft(gradient.contiguous(), n=size)
        of_x = torch.fft.irfft(later * torch.fft.rfft(kernel, n=size).conj(), n=size)
        # The sum over the batch of conj(X) G.
        earlier = torch.fft.rfft(x, n=size).flatten(0, -3)
        of_kernel = torch.fft.irfft(torch.linalg.vecdot(earlier, later.flatten(0, -3), dim=0), n=size)
        return of_x[..., : x.shape[-1]], of_kernel[..., : kernel.shape[-1]]


def direct_outer(
    q: Float[Tensor, "batch kernels length heads"],
    k: Float[Tensor, "batch kernels length heads"],
    v: Float[Tensor, "batch kernels length heads"],
    kernel: Float[Tensor, "kernels taps"],
) -> Float[Tensor, "batch kernels length heads"]:
    """y_t = sum_s h(t - s) (q_t . k_s) v_s as matrix products: quadratic, yet faster up to DIRECT_LENGTH."""
    with torch.autocast(q.device.type, enabled=False):
        q, k, v = (each.to(kernel.dtype) for each in (q, k, v))
        return (q @ k.mT * toeplitz(kernel, q.shape[2])) @ v


def transformed_outer(
    q: Float[Tensor, "batch kernels length heads"],
    k: Float[Tensor, "batch kernels length heads"],
    v: Float[Tensor, "batch kernels length heads"],
    kernel: Float[Tensor, "kernels taps"],
) -> Float[Tensor, "batch kernels length heads"]:
    """The same by FFT of the outer product k v^T (arXiv 2310.18780, section 4)."""
    outer = torch.einsum("bhsi,bhsj->bijhs", k, v)
    mixed = convolve(outer, kernel)
    return torch.einsum("bhti,bijht->bhtj", q.to(mixed.dtype), mixed)


def toeplitz(kernel: Float[Tensor, "kernels taps"], length: int) -> Float[Tensor, "kernels length length"]:
    """T_ts = h(t - s), zero above the diagonal and beyond the taps."""
    place = torch.arange(length, device=kernel.device)
    lag = place[:, None] - place
    inside = (lag >= 0) & (lag < kernel.shape[1])
    return torch.where(inside, kernel[:, lag.clamp(0, kernel.shape[1] - 1)], 0.0)


def kept(past: Float[Tensor, "batch past held"], taps: int) -> Float[Tensor, "batch reach held"]:
    """The last taps - 1 inputs, in a tensor of their own."""
    return past[:, max(0, past.shape[1] - taps + 1) :].clone()


def drawn(kernel: ImplicitKernel) -> ImplicitKernel:
    """A kernel with its weights drawn from torch's global generator, as the other weights of a layer are."""
    device = kernel.output.device
    seed = int(torch.randint(2**62, (), device="cpu"))
    generator = torch.Generator("cpu" if device.type == "meta" else device).manual_seed(seed)
    kernel.reset_parameters(generator)
    return kernel
