"""Low-rank token mixing: T_ij = sigma(C_i B_j), attention in all its forms.

The non-linearity decides which: softmax (Vaswani et al., arXiv 1706.03762), ReLU or swish with
the row's length as normaliser (Wortsman et al., arXiv 2309.08586), or none, which is linear
attention (Katharopoulos et al., arXiv 2006.16236) with a state of fixed size. Keys and values may
have fewer heads than queries (grouped-query attention, arXiv 2305.13245). Positions are rotary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from .featurizer import activation
from .operator import LIV, Features, Size
from .rotary import rotate
from .scan import Memory, read, scan_flops, write
from .spec import OperatorSpec


class AttentionState(NamedTuple):
    """Keys and values so far (a window of them if banded), or the matrix of linear attention.

    What is taken from an earlier layer is None here: it is held there, once.
    """

    keys: Float[Tensor, "batch kv_heads past head"] | None
    values: Float[Tensor, "batch kv_heads past head"] | None
    matrix: Float[Tensor, "batch kv_heads head head"] | None
    tails: dict[str, Tensor]
    position: int


class Attention(LIV):
    """Attention over q, k, v; `channel_mixing` "grouped" is multi-head, "dense" a single head."""

    state_roles = ("k", "v")

    def __init__(
        self, spec: OperatorSpec, size: Size, groups: Mapping[str, nn.Module], shared: tuple[str, ...]
    ) -> None:
        super().__init__(spec, size, groups, shared)
        self.heads = size.heads if spec.channel_mixing == "grouped" else 1
        self.kv_heads = self.heads // spec.group("k").repeat
        self.head = size.width // self.heads
        self.linear = spec.nonlinearity == "none" and not spec.banded
        self.window = size.window if spec.banded else None

    def featurize(self, x: Float[Tensor, "batch length width"], given: Features) -> Features:
        """q and k with rotary positions, and v, in heads."""
        features: Features = {"q": self._rotated(self._in_heads(self.groups["q"](x), self.heads), 0)}
        features["k"] = self._key(x, given, 0)
        features["v"] = self._value(x, given)
        if self.linear:
            if self.reads_memory:
                features["memory"] = given["memory"]
            else:
                flat = (features["k"].flatten(0, 1), features["v"].flatten(0, 1))
                features["memory"] = write(*flat, None)
        return features

    def mix(self, features: Features) -> Float[Tensor, "batch length width"]:
        """T x for a whole sequence."""
        q, k, v = features["q"], features["k"], features["v"]
        if self.linear:
            y = self._read_linear(q, features["memory"])
        else:
            if self.kv_heads != self.heads:
                repeat = self.heads // self.kv_heads
                k, v = k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1)
            y = self._dense(q, k, v)
        return y.transpose(1, 2).flatten(2)

    def _dense(self, q: Tensor, k: Tensor, v: Tensor) -> Float[Tensor, "batch heads length head"]:
        length = q.shape[2]
        if self.spec.nonlinearity == "softmax" and (self.window is None or self.window >= length):
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)
        visible = torch.ones(length, length, dtype=torch.bool, device=q.device).tril()
        if self.window is not None:
            visible = visible.triu(1 - self.window)
        if self.spec.nonlinearity == "softmax":
            return F.scaled_dot_product_attention(q, k, v, attn_mask=visible)
        scores = activation(q @ k.transpose(-1, -2) * self.head**-0.5, self.spec.nonlinearity)
        return (scores * visible / visible.sum(-1, keepdim=True)) @ v

    def _read_linear(self, q: Tensor, memory: Memory) -> Float[Tensor, "batch heads length head"]:
        batch, heads, length, head = q.shape
        repeat = heads // self.kv_heads
        if repeat > 1:
            # The queries that share a key head are read as one longer batch entry each.
            keys, values, _, _, states, final, length = memory
            keys, values = keys.repeat_interleave(repeat, 0), values.repeat_interleave(repeat, 0)
            memory = Memory(keys, values, None, None, states.repeat_interleave(repeat, 0), final, length)
        y = read(q.flatten(0, 1) * head**-0.5, memory).reshape(batch, heads, length, head)
        count = torch.arange(1, length + 1, device=q.device, dtype=q.dtype)
        return y / count[:, None]

    def state_after(self, x: Float[Tensor, "batch length width"], features: Features) -> AttentionState:
        """Keys, values or their matrix after a sequence."""
        keys = values = matrix = None
        if self.linear:
            if not self.reads_memory:
                batch = x.shape[0]
                matrix = features["memory"].final.unflatten(0, (batch, self.kv_heads)).clone()
        else:
            start = max(0, x.shape[1] - self.window) if self.window is not None else 0
            keys = None if "k" in self.shared else features["k"][:, :, start:].clone()
            values = None if "v" in self.shared else features["v"][:, :, start:].clone()
        return AttentionState(keys, values, matrix, self.tails_after(x), x.shape[1])

    def initial_state(self, batch: int, device: torch.device, dtype: torch.dtype) -> AttentionState:
        """No keys, no values."""
        empty = torch.zeros(batch, self.kv_heads, 0, self.head, device=device, dtype=dtype)
        matrix = torch.zeros(batch, self.kv_heads, self.head, self.head, device=device, dtype=dtype)
        return AttentionState(
            keys=None if self.linear or "k" in self.shared else empty,
            values=None if self.linear or "v" in self.shared else empty,
            matrix=matrix if self.linear and not self.reads_memory else None,
            tails=self.initial_tails(batch, device, dtype),
            position=0,
        )

    def step(
        self, x: Float[Tensor, "batch width"], state: AttentionState, given: Features | None = None
    ) -> tuple[Float[Tensor, "batch width"], Features, AttentionState]:
        """Attend from one more token to all before it and itself."""
        given, tails = given or {}, dict(state.tails)
        q = self._in_heads(self.feature_step("q", x, tails, {})[:, None], self.heads)
        q = self._rotated(q, state.position).unflatten(1, (self.kv_heads, -1)).squeeze(3)
        k, v = self._step_features(x, tails, given, state.position)
        features: Features = {"k": k, "v": v}
        keys = values = matrix = None
        if self.linear:
            if state.matrix is None:
                features["matrix"] = given["matrix"]
            else:
                features["matrix"] = matrix = state.matrix + k.transpose(-1, -2) @ v
            y = q @ features["matrix"] * self.head**-0.5 / (state.position + 1)
        else:
            keys, values = self._extended(state.keys, k), self._extended(state.values, v)
            features["keys"] = given["keys"] if keys is None else keys
            features["values"] = given["values"] if values is None else values
            y = self._attend(q, features["keys"], features["values"])
        following = AttentionState(keys, values, matrix, tails, state.position + 1)
        return self.output(y.flatten(1)), features, following

    def _step_features(
        self, x: Tensor, tails: dict[str, Tensor], given: Features, position: int
    ) -> tuple[Tensor, Tensor]:
        if "k" in self.shared:
            k = given["k"]
        else:
            k = self._in_heads(self.feature_step("k", x, tails, given)[:, None], self.kv_heads)
            k = self._rotated(k, position)
        if "v" in self.shared:
            return k, given["v"]
        return k, self._in_heads(self.feature_step("v", x, tails, given)[:, None], self.kv_heads)

    def _extended(self, past: Tensor | None, new: Tensor) -> Tensor | None:
        """What this layer holds after one more token; None where an earlier layer holds it."""
        if past is None:
            return None
        extended = torch.cat([past, new], dim=2)
        if self.window is not None and extended.shape[2] > self.window:
            extended = extended[:, :, -self.window :].clone()
        return extended

    def _attend(self, q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        scores = q @ keys.transpose(-1, -2) * self.head**-0.5
        if self.spec.nonlinearity == "softmax":
            return scores.softmax(-1) @ values
        return activation(scores, self.spec.nonlinearity) @ values / keys.shape[2]

    def _in_heads(self, x: Tensor, heads: int) -> Float[Tensor, "batch heads length head"]:
        return x.unflatten(-1, (heads, self.head)).transpose(1, 2)

    def _rotated(self, x: Tensor, start: int) -> Tensor:
        return rotate(x, start, self.size.rotary_base)

    def _key(self, x: Tensor, given: Features, start: int) -> Tensor:
        if "k" in self.shared:
            return given["k"]
        return self._rotated(self._in_heads(self.groups["k"](x), self.kv_heads), start)

    def _value(self, x: Tensor, given: Features) -> Tensor:
        if "v" in self.shared:
            return given["v"]
        return self._in_heads(self.groups["v"](x), self.kv_heads)

    def mixing_flops(self, length: int) -> int:
        """Scores and weighted sums over the full square, as fused kernels are counted."""
        if not self.linear:
            return 4 * length * length * self.size.width
        reads = scan_flops(length, self.head, self.head, decays=False, writes=False) * self.heads
        if self.reads_memory:
            return reads
        whole = scan_flops(length, self.head, self.head, decays=False)
        alone = scan_flops(length, self.head, self.head, decays=False, writes=False)
        return reads + (whole - alone) * self.kv_heads

    def memory_elements(self, length: int) -> int:
        """Keys and values of the visible past, or one matrix a head."""
        if self.linear:
            return 0 if self.reads_memory else self.kv_heads * self.head * self.head
        visible = length if self.window is None else min(length, self.window)
        return (2 - len(self.shared)) * visible * self.kv_heads * self.head
