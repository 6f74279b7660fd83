"""Semi-separable token mixing: T_ij = C_i A_{i-1} ... A_{j+1} B_j, a gated linear recurrence.

h_t = a_t h_{t-1} + sqrt(1 - a_t^2) v_t b_t,  y_t = sigma(c_t) h_t,  h_t of (state, width).

As in Mamba (arXiv 2312.00752) b and c are computed from the input and shared by all channels, and
the state is `expansion` numbers a channel; the decay is one per channel (`channel_mixing`
"diagonal") or one per head ("grouped", as in Mamba-2, arXiv 2405.21060), not one per channel and
state, so that a chunk is two matrix products (docs/decisions/0002-open-questions-of-the-paper.md).
The input's factor sqrt(1 - a^2) keeps the state's scale at any decay (Griffin, arXiv 2402.19427,
section 2.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .featurizer import activation
from .operator import LIV, Features, Size
from .scan import read, scan_flops, write
from .spec import OperatorSpec


class RecurrenceState(NamedTuple):
    """The state matrix; None in a layer that reads an earlier layer's."""

    h: Float[Tensor, "batch state width"] | None
    tails: dict[str, Tensor]


class Recurrence(LIV):
    """Gated linear recurrence over c, b, a (log-decay) and v."""

    state_roles = ("b", "a", "v")

    def __init__(
        self, spec: OperatorSpec, size: Size, groups: Mapping[str, nn.Module], shared: tuple[str, ...]
    ) -> None:
        super().__init__(spec, size, groups, shared)
        self.state_size = spec.group("b").expansion
        # One decay a head is used by all channels of the head.
        self.per_decay = size.width // size.heads if spec.channel_mixing == "grouped" else 1

    def featurize(self, x: Float[Tensor, "batch length width"], given: Features) -> Features:
        """c and everything that is written to the state."""
        features: Features = {"c": self._reader(self.groups["c"](x))}
        if self.reads_memory:
            features["memory"] = given["memory"]
            return {**{role: given[role] for role in self.state_roles}, **features}
        for role in self.state_roles:
            features[role] = self.feature(role, x, given)
        features["memory"] = write(features["b"], *self._written(features["v"], features["a"]))
        return features

    def mix(self, features: Features) -> Float[Tensor, "batch length width"]:
        """The chunked scan."""
        return read(features["c"], features["memory"])

    def state_after(self, x: Float[Tensor, "batch length width"], features: Features) -> RecurrenceState:
        """The state matrix after the last token."""
        h = None if self.reads_memory else features["memory"].final.clone()
        return RecurrenceState(h, self.tails_after(x))

    def initial_state(self, batch: int, device: torch.device, dtype: torch.dtype) -> RecurrenceState:
        """A state of zeros."""
        h = torch.zeros(batch, self.state_size, self.size.width, device=device, dtype=dtype)
        return RecurrenceState(None if self.reads_memory else h, self.initial_tails(batch, device, dtype))

    def step(
        self, x: Float[Tensor, "batch width"], state: RecurrenceState, given: Features | None = None
    ) -> tuple[Float[Tensor, "batch width"], Features, RecurrenceState]:
        """One update of the state matrix and one reading of it."""
        given, tails = given or {}, dict(state.tails)
        c = self._reader(self.feature_step("c", x, tails, {}))
        features: Features = {role: self.feature_step(role, x, tails, given) for role in self.state_roles}
        h = state.h
        if h is None:
            features["memory"] = given["memory"]
        else:
            v, log_decay = self._written(features["v"], features["a"])
            h = log_decay.exp()[:, None] * h + features["b"][:, :, None] * v[:, None]
            features["memory"] = h
        y = (c[:, :, None] * features["memory"]).sum(1)
        return self.output(y), features, RecurrenceState(h, tails)

    def _reader(self, c: Tensor) -> Tensor:
        return activation(c, self.spec.nonlinearity) * self.state_size**-0.5

    def _written(self, v: Tensor, log_decay: Tensor) -> tuple[Tensor, Tensor]:
        """The scaled input and the decay of every channel."""
        if self.per_decay > 1:
            log_decay = log_decay.repeat_interleave(self.per_decay, -1)
        # -expm1 keeps 1 - a^2 exact where the decay is slow; the floor keeps its root's slope finite.
        scale = torch.sqrt((-torch.expm1(2 * log_decay)).clamp(min=1e-6))
        return v * scale, log_decay

    def mixing_flops(self, length: int) -> int:
        """The scan's matrix products; a reader only reads."""
        return scan_flops(length, self.state_size, self.size.width, decays=True, writes=not self.reads_memory)

    def memory_elements(self, length: int) -> int:
        """One matrix, whatever the length."""
        del length
        return 0 if self.reads_memory else self.state_size * self.size.width
