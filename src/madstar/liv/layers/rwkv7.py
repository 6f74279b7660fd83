"""RWKV-7 "Goose": a generalised delta rule with a decay and an in-context learning rate per channel.

arXiv 2503.14456, section 4.1 (time mixing); its symbols are named beside each line.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from ...errors import LayerError
from ..delta_rule import delta_rule_flops, diagonal_delta_rule, diagonal_delta_step
from .contract import SequenceLayer
from .token_shift import PREVIOUS, TokenMix, previous


class Rwkv7State(NamedTuple):
    """The state matrices (wkv, transposed), and the last input for the token shift."""

    matrix: Float[Tensor, "batch heads key value"]
    last: Float[Tensor, "batch width"]


class Features(NamedTuple):
    """What a token does to the state, in the order of `diagonal_delta_rule`."""

    r: Float[Tensor, "... heads head"]
    k: Float[Tensor, "... heads head"]
    v: Float[Tensor, "... heads head"]
    kappa: Float[Tensor, "... heads head"]
    a: Float[Tensor, "... heads head"]
    log_w: Float[Tensor, "... heads head"]


class LowRank(nn.Module):
    """loramlp(f, x) = f(x A) B + bias; A begins at zero, B orthogonal: the output begins at the bias."""

    def __init__(self, dim: int, rank: int, activation: nn.Module, bias: Tensor | None) -> None:
        super().__init__()
        self.activation = activation
        self.inward = nn.Parameter(torch.zeros(dim, rank))
        self.outward = nn.Parameter(torch.empty(rank, dim))
        nn.init.orthogonal_(self.outward, 0.1)
        self.bias = None if bias is None else nn.Parameter(bias)

    def forward(self, x: Float[Tensor, "... width"]) -> Float[Tensor, "... width"]:
        """The map of every token; the bias in full precision."""
        y = self.activation(x @ self.inward) @ self.outward
        return y if self.bias is None else y.to(self.bias.dtype) + self.bias


class Rwkv7TimeMix(SequenceLayer):
    """RWKV-7's time mixing in heads of width `head`: dim * head numbers of state, 4,096 at width 128.

    S_t = S_{t-1} (diag(w_t) - kappa_t^T (a_t * kappa_t)) + v_t^T k_t, kappa_t of unit norm: what is held
    under kappa is taken out at the rate a_t, one per channel. w_t = exp(-e^-0.5 sigmoid(d_t)) is never
    below 0.545. The value residual to a model's first layer does not exist here, since a layer
    stands alone: values are those of the paper's layer 0. Initial mixes, decays and scales are those of
    the authors' code for a first layer; the four large maps keep torch's initialisation. `rank` is of
    the low-rank maps for decay, rate and gate: 32 is the authors' rule at widths up to 240.

    Raises LayerError where `head` does not divide `dim`, or `rank` is below 1.
    """

    MIX_POWERS = (0.2, 0.9, 0.9, 0.4, 0.9, 0.2)  # of r, w, k, v, a, g
    SLOWEST_DECAY = -math.exp(-0.5)
    NORM_EPSILON = 64e-5

    def __init__(self, dim: int, max_length: int, head: int = 32, rank: int = 32) -> None:
        super().__init__()
        del max_length
        if head < 1 or dim % head:
            raise LayerError(f"rwkv7-time-mixer: heads of width {head} do not divide a width of {dim}")
        if rank < 1:
            raise LayerError(f"rwkv7-time-mixer: rank is {rank}: it must be at least 1")
        self.dim, self.head, self.heads, self.rank = dim, head, dim // head, rank
        self.mix = TokenMix(dim, self.MIX_POWERS, PREVIOUS)  # mu
        ramp = torch.arange(dim) / max(1, dim - 1)
        self.decay = LowRank(dim, rank, nn.Tanh(), -6.5 + 5 * ramp**0.85)  # d
        self.rate = LowRank(dim, rank, nn.Identity(), torch.zeros(dim))  # a
        self.gate = LowRank(dim, rank, nn.Sigmoid(), None)  # g
        self.removal_scale = nn.Parameter(torch.full((dim,), 0.85))  # xi
        self.replacement = nn.Parameter(torch.ones(dim))  # alpha
        self.bonus = nn.Parameter(torch.zeros(self.heads, head))  # rho
        self.receptance = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)
        self.norm_scale = nn.Parameter(torch.ones(dim))
        self.norm_shift = nn.Parameter(torch.zeros(dim))
        self.output = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
        """A whole sequence at once."""
        return self._run(x)[0]

    def prefill(
        self, x: Float[Tensor, "batch length width"]
    ) -> tuple[Float[Tensor, "batch length width"], Rwkv7State]:
        """The parallel form, and the state after it."""
        y, matrix = self._run(x)
        return y, Rwkv7State(matrix, x[:, -1].clone())

    def initial_state(self, batch: int, device: torch.device, dtype: torch.dtype) -> Rwkv7State:
        """Zeros; the matrices in float32 at least."""
        precise = torch.promote_types(dtype, torch.float32)
        return Rwkv7State(
            torch.zeros(batch, self.heads, self.head, self.head, device=device, dtype=precise),
            torch.zeros(batch, self.dim, device=device, dtype=dtype),
        )

    def step(
        self, x: Float[Tensor, "batch width"], state: Rwkv7State
    ) -> tuple[Float[Tensor, "batch width"], Rwkv7State]:
        """One more token."""
        f, gate = self._features(x, state.last)
        y, matrix = diagonal_delta_step(f.r, f.k, f.v, f.kappa, f.a, f.log_w, state.matrix)
        return self._read(y, f, gate), Rwkv7State(matrix, x.clone())

    def state_elements(self, length: int) -> int:
        """One matrix a head, whatever the length."""
        del length
        return self.heads * self.head**2

    def tail_elements(self) -> int:
        """The last input."""
        return self.dim

    def flops(self, length: int) -> int:
        """The linear and low-rank maps and the chunked delta rule."""
        maps = 2 * length * self.dim * (4 * self.dim + 3 * 2 * self.rank)
        return maps + self.heads * delta_rule_flops(length, self.head, self.head, diagonal=True)

    def _run(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features, gate = self._features(x, previous(x))
        r, k, v, kappa, a, log_w = (each.transpose(1, 2) for each in features)
        y, matrix = diagonal_delta_rule(r, k, v, kappa, a, log_w)
        return self._read(y.transpose(1, 2), features, gate), matrix

    def _features(
        self, x: Float[Tensor, "... width"], earlier: Float[Tensor, "... width"]
    ) -> tuple[Features, Float[Tensor, "... width"]]:
        """What enters the rule, and the gate."""
        of_r, of_w, of_k, of_v, of_a, of_g = self.mix(x, earlier)  # (..., width) each
        r, k, v = self.receptance(of_r), self.key(of_k), self.value(of_v)
        log_w = self.SLOWEST_DECAY * torch.sigmoid(self.decay(of_w))
        a = torch.sigmoid(self.rate(of_a))
        gate = self.gate(of_g)
        kappa = F.normalize(self._heads(k * self.removal_scale), dim=-1)
        k = k * (1 + (a - 1) * self.replacement)
        r, k, v, a, log_w = (self._heads(each) for each in (r, k, v, a, log_w))
        return Features(r, k, v, kappa, a, log_w), gate

    def _heads(self, x: Float[Tensor, "... width"]) -> Float[Tensor, "... heads head"]:
        return x.to(torch.promote_types(x.dtype, torch.float32)).unflatten(-1, (self.heads, self.head))

    def _read(
        self, y: Float[Tensor, "... heads head"], features: Features, gate: Tensor
    ) -> Float[Tensor, "... width"]:
        """Normalise each head, add the present token's bonus, gate, and map back."""
        r, k, v = features[:3]
        centred = y - y.mean(-1, keepdim=True)
        normed = centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + self.NORM_EPSILON)
        p = normed.flatten(-2) * self.norm_scale + self.norm_shift
        p = p + ((r * self.bonus * k).sum(-1, keepdim=True) * v).flatten(-2)  # u
        return self.output((gate * p).to(gate.dtype))
