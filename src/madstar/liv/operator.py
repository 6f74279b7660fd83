"""The contract of every operator: y_i = sum_j T_ij(x) x_j, in a parallel and in a step form.

An operator computes its feature groups from x, or is given some of them by an earlier layer
(feature-group sharing, STAR, arXiv 2411.17800, section 3), and mixes tokens with them. Features
on the state side (keys and values, what enters a recurrence or a convolution) are what sharing is
about: given all of them, a layer writes nothing and reads the earlier layer's decoding state, so
they are computed once and cached once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .featurizer import ChannelMixing, FeatureGroup
from .spec import OperatorSpec

# Named features of a whole sequence or of one token; `memory` holds what was derived from all
# of a layer's state-side features, where a reader can take it over as it is.
Features = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """The sizes an operator is built at. `window`: tokens seen by a banded operator."""

    width: int
    heads: int
    window: int
    rotary_base: float


class LIV(nn.Module):
    """A linear input-varying operator.

    `state_roles` are the feature groups on the state side, in the order of the sharing codes.
    `mixed_width` is what `mix` returns, the backbone's width if None.
    """

    state_roles: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        spec: OperatorSpec,
        size: Size,
        groups: Mapping[str, nn.Module],
        shared: tuple[str, ...],
        mixed_width: int | None = None,
    ) -> None:
        super().__init__()
        self.spec, self.size, self.shared = spec, size, shared
        self.reads_memory = bool(self.state_roles) and set(self.state_roles) <= set(shared)
        self.groups = nn.ModuleDict(groups)
        self.output = ChannelMixing(
            mixed_width or size.width,
            size.width,
            "grouped" if spec.token_mixing == "diagonal" and spec.channel_mixing == "grouped" else "dense",
            size.heads,
        )

    # The parallel form -----------------------------------------------------------------------

    def forward(
        self, x: Float[Tensor, "batch length width"], given: Features | None = None
    ) -> tuple[Float[Tensor, "batch length width"], Features]:
        """A whole sequence at once. Returns the output and the features that others may share."""
        features = self.featurize(x, given or {})
        return self.output(self.mix(features)), features

    def featurize(self, x: Float[Tensor, "batch length width"], given: Features) -> Features:
        """Every feature of a sequence: computed here, or taken from `given`."""
        raise NotImplementedError

    def mix(self, features: Features) -> Float[Tensor, "batch length mixed"]:
        """Apply T, before the output projection."""
        raise NotImplementedError

    # The step form ---------------------------------------------------------------------------

    def prefill(
        self, x: Float[Tensor, "batch length width"], given: Features | None = None
    ) -> tuple[Float[Tensor, "batch length width"], Features, Any]:
        """The parallel form over a prompt, and the decoding state after it."""
        y, features = self.forward(x, given)
        return y, features, self.state_after(x, features)

    def state_after(self, x: Float[Tensor, "batch length width"], features: Features) -> Any:
        """The decoding state after a sequence: only what later steps need, in tensors of its own."""
        raise NotImplementedError

    def initial_state(self, batch: int, device: torch.device, dtype: torch.dtype) -> Any:
        """The decoding state before any token."""
        raise NotImplementedError

    def step(
        self, x: Float[Tensor, "batch width"], state: Any, given: Features | None = None
    ) -> tuple[Float[Tensor, "batch width"], Features, Any]:
        """One more token: output, what others may share of it, the next state.

        `given` is what the layer shared from has returned for this same token, its memory included.
        """
        raise NotImplementedError

    # Cost ------------------------------------------------------------------------------------

    def flops(self, length: int) -> int:
        """Operations of one forward pass over one sequence, 2 per multiply-add, without element-wise ones."""
        features = sum(
            group.flops(length) for group in self.groups.values() if isinstance(group, FeatureGroup)
        )
        return features + self.mixing_flops(length) + self.output.flops(length)

    def mixing_flops(self, length: int) -> int:
        """The part of `flops` that applies T."""
        raise NotImplementedError

    def state_elements(self, length: int) -> int:
        """Numbers this layer itself holds per sequence after decoding `length` tokens."""
        tails = sum(g.state_elements() for g in self.groups.values() if isinstance(g, FeatureGroup))
        return tails + self.memory_elements(length)

    def memory_elements(self, length: int) -> int:
        """The part of `state_elements` that is not short-convolution tails."""
        raise NotImplementedError

    # Shared by the operators -----------------------------------------------------------------

    def feature(self, role: str, x: Tensor, given: Features) -> Tensor:
        """A feature as given, or computed by this layer's group of that role."""
        if role in self.shared:
            return given[role]
        return self.groups[role](x)

    def feature_step(self, role: str, x: Tensor, tails: dict[str, Tensor], given: Features) -> Tensor:
        """A feature of one token; the new convolution tail replaces the old one in `tails`."""
        if role in self.shared:
            return given[role]
        group = self.groups[role]
        assert isinstance(group, FeatureGroup)
        value, tail = group.step(x, tails.get(role))
        if tail is not None:
            tails[role] = tail
        return value

    def tails_after(self, x: Tensor) -> dict[str, Tensor]:
        """What the short convolutions of the featurizer remember after a sequence."""
        tails = {}
        for role, group in self.groups.items():
            tail = group.state(x) if isinstance(group, FeatureGroup) else None
            if tail is not None:
                tails[role] = tail
        return tails

    def initial_tails(self, batch: int, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
        """Empty convolution tails."""
        empty = torch.zeros(batch, 0, self.size.width, device=device, dtype=dtype)
        return self.tails_after(empty)
