"""Scaled Toeplitz token mixing: T_ij = C_i K_{i-j} B_j, a gated convolution.

With an explicit kernel of a few tokens it is the gated short convolution of LFM2 and H3; with an
implicit one as long as the sequence it belongs to the Hyena family (arXiv 2302.10866).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .featurizer import ShortConvolution, activation
from .kernel import ImplicitKernel, long_convolution, long_convolution_flops
from .operator import LIV, Features, Size
from .spec import OperatorSpec


class ConvolutionState(NamedTuple):
    """The past inputs b * v that the kernel still reaches; None in a layer that reads another's."""

    past: Float[Tensor, "batch past width"] | None
    tails: dict[str, Tensor]


class GatedConvolution(LIV):
    """y = sigma(c) * (K conv (b * v)). The group "kernel" is the kernel itself, weights without input."""

    state_roles = ("b", "v")

    def __init__(
        self, spec: OperatorSpec, size: Size, groups: Mapping[str, nn.Module], shared: tuple[str, ...]
    ) -> None:
        super().__init__(spec, size, groups, shared)
        kernel = spec.group("kernel")
        self.implicit = not kernel.banded
        # How many tokens T reaches back, the present one included; None is all of them.
        self.taps = kernel.expansion if kernel.banded else size.window if spec.banded else None

    def featurize(self, x: Float[Tensor, "batch length width"], given: Features) -> Features:
        """The gate c, and u = b * v, which enters the convolution."""
        features: Features = {"c": self.groups["c"](x)}
        if self.reads_memory:
            return {**{role: given[role] for role in (*self.state_roles, "memory")}, **features}
        for role in self.state_roles:
            features[role] = self.feature(role, x, given)
        features["memory"] = features["b"] * features["v"]
        return features

    def mix(self, features: Features) -> Float[Tensor, "batch length width"]:
        """Convolve, then gate."""
        u, kernel = features["memory"], self.groups["kernel"]
        if isinstance(kernel, ShortConvolution):
            y = kernel(u)
        else:
            taps = u.shape[1] if self.taps is None else min(self.taps, u.shape[1])
            y = long_convolution(u, kernel(taps))
        return activation(features["c"], self.spec.nonlinearity) * y

    def state_after(self, x: Float[Tensor, "batch length width"], features: Features) -> ConvolutionState:
        """The inputs the kernel still reaches."""
        past = None
        if not self.reads_memory:
            u = features["memory"]
            past = self._kept(torch.cat([self._empty(u.shape[0], u.device, u.dtype), u], dim=1))
        return ConvolutionState(past, self.tails_after(x))

    def initial_state(self, batch: int, device: torch.device, dtype: torch.dtype) -> ConvolutionState:
        """Zeros for a short kernel, nothing yet for a long one."""
        past = None if self.reads_memory else self._empty(batch, device, dtype)
        return ConvolutionState(past, self.initial_tails(batch, device, dtype))

    def step(
        self, x: Float[Tensor, "batch width"], state: ConvolutionState, given: Features | None = None
    ) -> tuple[Float[Tensor, "batch width"], Features, ConvolutionState]:
        """One more token; a long kernel costs one sum over the past it reaches."""
        given, tails = given or {}, dict(state.tails)
        c = self.feature_step("c", x, tails, {})
        features: Features = {role: self.feature_step(role, x, tails, given) for role in self.state_roles}
        if state.past is None:
            reached, past = given["memory"], None
        else:
            u = features["b"] * features["v"]
            reached = torch.cat([state.past, u[:, None]], dim=1)
            past = self._kept(reached)
        features["memory"] = reached
        y = activation(c, self.spec.nonlinearity) * self._convolve(reached)
        return self.output(y), features, ConvolutionState(past, tails)

    def _convolve(self, reached: Float[Tensor, "batch past width"]) -> Float[Tensor, "batch width"]:
        kernel = self.groups["kernel"]
        if isinstance(kernel, ShortConvolution):
            taps = kernel.kernel()[:, 0].t()
        else:
            taps = kernel(reached.shape[1]).t().flip(0)
        return (reached * taps).sum(1)

    def _empty(self, batch: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        past = 0 if self.implicit or self.taps is None else self.taps - 1
        return torch.zeros(batch, past, self.size.width, device=device, dtype=dtype)

    def _kept(self, past: Tensor) -> Tensor:
        """The last taps - 1 inputs, in a tensor of their own; all of them where nothing is cut."""
        if self.taps is not None and past.shape[1] > self.taps - 1:
            return past[:, past.shape[1] - self.taps + 1 :].clone()
        return past

    def mixing_flops(self, length: int) -> int:
        """Depthwise taps, or the transforms of a long convolution and its kernel's network."""
        kernel = self.groups["kernel"]
        if isinstance(kernel, ShortConvolution):
            return kernel.flops(length, self.size.width)
        assert isinstance(kernel, ImplicitKernel)
        taps = length if self.taps is None else min(self.taps, length)
        return long_convolution_flops(length, taps, self.size.width) + kernel.flops(taps)

    def memory_elements(self, length: int) -> int:
        """Past inputs still in reach."""
        if self.reads_memory:
            return 0
        if not self.implicit and self.taps is not None:
            return (self.taps - 1) * self.size.width
        reach = length if self.taps is None else self.taps - 1
        return min(length, reach) * self.size.width
