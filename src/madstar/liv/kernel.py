"""Long convolution kernels that are functions of the position, never of the sequence's mean.

A kernel computed from `x.mean()` over time would leak the future; these depend on weights alone.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .featurizer import activation


class ImplicitKernel(nn.Module):
    """k(t) = window(t) * mlp(features(t)) + delta(t), for any length (Hyena, arXiv 2302.10866, section 3.3).

    Features are sines and cosines of the absolute position, so a longer kernel begins with the
    shorter one: what was trained at 256 tokens is the same function at 4,096. Each channel's
    exponential window has a time constant of its own, from 2 to 512 tokens. `copies` channels in
    a row share a kernel.
    """

    HIDDEN, FREQUENCIES = 16, 8
    SHORTEST_PERIOD, LONGEST_PERIOD = 4.0, 2048.0
    FASTEST, SLOWEST = 0.5, 1 / 512

    def __init__(self, channels: int, copies: int = 1) -> None:
        super().__init__()
        self.kernels, self.copies = channels // copies, copies
        self.hidden = nn.Parameter(torch.empty(2 * self.FREQUENCIES + 1, self.HIDDEN))
        self.hidden_bias = nn.Parameter(torch.empty(self.HIDDEN))
        self.output = nn.Parameter(torch.empty(self.HIDDEN, self.kernels))
        self.delta = nn.Parameter(torch.empty(self.kernels))
        self.log_rate = nn.Parameter(torch.empty(self.kernels))

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Window rates spread over the channels, an MLP of unit scale, a delta that lets the token pass."""
        with torch.no_grad():
            self.hidden.normal_(0.0, self.hidden.shape[0] ** -0.5, generator=generator)
            self.hidden_bias.zero_()
            self.output.normal_(0.0, self.HIDDEN**-0.5, generator=generator)
            self.delta.fill_(1.0)
            rates = torch.logspace(
                math.log10(self.FASTEST), math.log10(self.SLOWEST), self.kernels, device=self.log_rate.device
            )
            # Scaling by the window's energy keeps the output's variance near one at any rate.
            self.log_rate.copy_(torch.log(rates))
            self.output.mul_(torch.sqrt(2 * rates))

    def forward(self, length: int) -> Float[Tensor, "channels length"]:
        """The kernel of every channel, present token first."""
        device, dtype = self.output.device, self.output.dtype
        t = torch.arange(length, device=device, dtype=torch.float32)
        periods = torch.logspace(
            math.log10(self.SHORTEST_PERIOD),
            math.log10(self.LONGEST_PERIOD),
            self.FREQUENCIES,
            device=device,
        )
        angle = 2 * math.pi * t[:, None] / periods
        features = torch.cat([angle.cos(), angle.sin(), torch.log1p(t)[:, None] / 8], dim=-1).to(dtype)
        values = activation(features @ self.hidden + self.hidden_bias, "swish") @ self.output
        window = torch.exp(-t.to(dtype)[:, None] * self.log_rate.exp())
        kernel = values * window + torch.where(t[:, None] == 0, self.delta, torch.zeros_like(self.delta))
        return kernel.t().repeat_interleave(self.copies, 0)

    def flops(self, length: int) -> int:
        """Operations of the small network, once per sequence length."""
        return 2 * length * self.HIDDEN * (2 * self.FREQUENCIES + 1 + self.kernels)


def long_convolution(
    x: Float[Tensor, "batch length channels"], kernel: Float[Tensor, "channels taps"]
) -> Float[Tensor, "batch length channels"]:
    """Causal convolution by FFT, zero-padded so that nothing wraps around; in float32 at least."""
    length = x.shape[1]
    size = fft_size(length + kernel.shape[1])
    precise = torch.promote_types(x.dtype, torch.float32)
    spectrum = torch.fft.rfft(x.to(precise), n=size, dim=1)
    response = torch.fft.rfft(kernel.to(precise), n=size, dim=1).t()
    return torch.fft.irfft(spectrum * response, n=size, dim=1)[:, :length].to(x.dtype)


def fft_size(length: int) -> int:
    """The next power of two, on which the transform is fastest."""
    return 1 << (length - 1).bit_length()


def long_convolution_flops(length: int, taps: int, channels: int) -> int:
    """5 n log2 n for each of the three transforms of each channel, 6 per complex product.

    This is the usual count for a complex transform halved for real input (2.5 n log2 n each way).
    """
    size = fft_size(length + taps)
    transforms = 3 * 2.5 * size * math.log2(size)
    return int(channels * (transforms + 6 * (size // 2 + 1)))
