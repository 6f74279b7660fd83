"""Feature groups: how the features (q, k, v, b, c, ...) that make up T(x) are computed from x.

A feature group is a channel mixing (dense, grouped or diagonal), then for some a short causal
convolution over tokens, then for some a non-linearity. Two layers that share their featurizer
hold the same group modules.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from .scan import MAX_LOG_DECAY

SHORT_CONVOLUTION = 3


def activation(x: Tensor, kind: str) -> Tensor:
    """The element-wise non-linearity of that name."""
    if kind == "relu":
        return F.relu(x)
    if kind == "swish":
        return F.silu(x)
    return x


class ChannelMixing(nn.Module):
    """A linear map over channels without bias: dense, grouped (block-diagonal) or diagonal."""

    def __init__(self, inputs: int, outputs: int, structure: str, groups: int) -> None:
        super().__init__()
        self.structure, self.groups = structure, groups
        self.inputs, self.outputs = inputs, outputs
        if structure == "dense":
            shape: tuple[int, ...] = (outputs, inputs)
        elif structure == "grouped":
            shape = (groups, inputs // groups, outputs // groups)
        else:
            shape = (inputs,)
        self.weight = nn.Parameter(torch.empty(shape))

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Gaussian of variance 1 / fan-in (diagonal: around one), so that features keep unit scale."""
        with torch.no_grad():
            if self.structure == "diagonal":
                self.weight.normal_(1.0, 0.1, generator=generator)
            else:
                fan_in = self.inputs if self.structure == "dense" else self.inputs // self.groups
                self.weight.normal_(0.0, fan_in**-0.5, generator=generator)

    def forward(self, x: Float[Tensor, "... inputs"]) -> Float[Tensor, "... outputs"]:
        """Mix the channels of every token."""
        if self.structure == "dense":
            return F.linear(x, self.weight)
        if self.structure == "grouped":
            blocks = x.reshape(-1, self.groups, self.inputs // self.groups).transpose(0, 1)
            return torch.bmm(blocks, self.weight).transpose(0, 1).reshape(*x.shape[:-1], self.outputs)
        return x * self.weight

    def flops(self, tokens: int) -> int:
        """Operations for that many tokens; a diagonal map is element-wise and counts none."""
        if self.structure == "diagonal":
            return 0
        return 2 * tokens * self.weight.numel()


class ShortConvolution(nn.Module):
    """Causal depthwise convolution over `taps` tokens; its state is the last taps - 1 inputs."""

    def __init__(self, channels: int, taps: int, copies: int = 1) -> None:
        super().__init__()
        self.taps, self.copies = taps, copies
        # `copies` channels in a row use the same kernel: the grouped form.
        self.weight = nn.Parameter(torch.empty(channels // copies, 1, taps))

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Near the identity: the present token passes, the earlier ones add a little."""
        with torch.no_grad():
            self.weight.normal_(0.0, 0.5 / math.sqrt(self.taps), generator=generator)
            self.weight[..., -1] += 1.0

    def kernel(self) -> Float[Tensor, "channels 1 taps"]:
        """The kernel of every channel, oldest token first."""
        return self.weight.repeat_interleave(self.copies, 0) if self.copies > 1 else self.weight

    def forward(self, x: Float[Tensor, "batch length channels"]) -> Float[Tensor, "batch length channels"]:
        """Convolve a whole sequence."""
        # As an image of height 1 whose channels lie last in memory: three times as fast as conv1d on
        # a CPU, and the result is contiguous, without which fused attention falls back to a slow path.
        image = F.pad(x, (0, 0, self.taps - 1, 0)).transpose(1, 2)[:, :, None]
        return F.conv2d(image, self.kernel()[:, :, None], groups=x.shape[-1])[:, :, 0].transpose(1, 2)

    def state(self, x: Float[Tensor, "batch length channels"]) -> Float[Tensor, "batch past channels"]:
        """What must be remembered after x: its last taps - 1 tokens."""
        tail = x[:, max(0, x.shape[1] - self.taps + 1) :]
        # A copy, so that the state does not keep the whole sequence alive.
        return F.pad(tail, (0, 0, self.taps - 1 - tail.shape[1], 0)).clone()

    def step(
        self, x: Float[Tensor, "batch channels"], state: Float[Tensor, "batch past channels"]
    ) -> tuple[Float[Tensor, "batch channels"], Float[Tensor, "batch past channels"]]:
        """Convolve one more token."""
        window = torch.cat([state, x[:, None]], dim=1)
        y = (window * self.kernel()[:, 0].t()).sum(1)
        return y, window[:, 1:].clone()

    def flops(self, tokens: int, channels: int) -> int:
        """Operations for that many tokens."""
        return 2 * tokens * channels * self.taps


class FeatureGroup(nn.Module):
    """One feature of the input: channel mixing, optional short convolution, non-linearity."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        channel_mixing: str,
        convolution: bool,
        nonlinearity: str,
        groups: int,
    ) -> None:
        super().__init__()
        self.outputs, self.nonlinearity = outputs, nonlinearity
        self.mixing = ChannelMixing(inputs, outputs, channel_mixing, groups)
        self.convolution = ShortConvolution(outputs, SHORT_CONVOLUTION) if convolution else None

    def forward(self, x: Float[Tensor, "batch length inputs"]) -> Float[Tensor, "batch length outputs"]:
        """The feature of every token."""
        x = self.mixing(x)
        if self.convolution is not None:
            x = self.convolution(x)
        return activation(x, self.nonlinearity)

    def state(self, x: Float[Tensor, "batch length inputs"]) -> Tensor | None:
        """What the convolution must remember after x, or None without one."""
        if self.convolution is None:
            return None
        return self.convolution.state(self.mixing(x[:, -(SHORT_CONVOLUTION - 1) :]))

    def step(
        self, x: Float[Tensor, "batch inputs"], state: Tensor | None
    ) -> tuple[Float[Tensor, "batch outputs"], Tensor | None]:
        """The feature of one more token."""
        x = self.mixing(x)
        if self.convolution is not None and state is not None:
            x, state = self.convolution.step(x, state)
        return activation(x, self.nonlinearity), state

    def state_elements(self) -> int:
        """Numbers held per sequence while decoding."""
        return 0 if self.convolution is None else (SHORT_CONVOLUTION - 1) * self.outputs

    def flops(self, tokens: int) -> int:
        """Operations for that many tokens."""
        convolution = 0 if self.convolution is None else self.convolution.flops(tokens, self.outputs)
        return self.mixing.flops(tokens) + convolution


class Decay(FeatureGroup):
    """The decay of a recurrence: log a_t = -softplus(w x_t + bias), clamped so that scans cannot overflow.

    The bias is initialised so that the channels' half-lives at x = 0 are spread evenly in the
    logarithm, as Mamba does for its time step (arXiv 2312.00752, section 3.6): here log-decays
    from 0.5 down to 0.001 a token. No generic initialisation may overwrite it.
    """

    FASTEST, SLOWEST = 0.5, 0.001

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        channel_mixing: str,
        convolution: bool,
        nonlinearity: str,
        groups: int,
    ) -> None:
        super().__init__(
            inputs,
            outputs,
            channel_mixing=channel_mixing,
            convolution=convolution,
            nonlinearity=nonlinearity,
            groups=groups,
        )
        self.bias = nn.Parameter(torch.empty(outputs))

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Spread the time scales over the channels; deterministic, the generator is not used."""
        del generator
        with torch.no_grad():
            rates = torch.logspace(
                math.log10(self.FASTEST), math.log10(self.SLOWEST), self.outputs, device=self.bias.device
            )
            self.bias.copy_(torch.log(torch.expm1(rates)))

    def forward(self, x: Float[Tensor, "batch length inputs"]) -> Float[Tensor, "batch length outputs"]:
        """log a_t in [-MAX_LOG_DECAY, 0] for every token."""
        return self._log_decay(super().forward(x))

    def step(
        self, x: Float[Tensor, "batch inputs"], state: Tensor | None
    ) -> tuple[Float[Tensor, "batch outputs"], Tensor | None]:
        """log a_t of one more token."""
        raw, state = super().step(x, state)
        return self._log_decay(raw), state

    def _log_decay(self, raw: Tensor) -> Tensor:
        return -F.softplus(raw + self.bias).clamp(max=MAX_LOG_DECAY)
