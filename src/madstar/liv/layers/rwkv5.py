"""RWKV-5 "Eagle": a matrix state with a learned, constant decay for each key channel.

arXiv 2404.05892, section 4.1 (time mixing).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from ...errors import LayerError
from ..key_decay import advance, join_heads, key_decay_flops, scan_key_decay, split_heads
from .contract import SequenceLayer
from .token_shift import PRESENT, TokenMix, previous


class RwkvState(NamedTuple):
    """The state matrices, and the last input for the token shift."""

    matrix: Float[Tensor, "batch heads key value"]
    last: Float[Tensor, "batch width"]


class Features(NamedTuple):
    """What a token contributes: in heads r, k, v and log w (log w of batch 1 in Eagle), and the gate."""

    r: Float[Tensor, "... key"]
    k: Float[Tensor, "... key"]
    v: Float[Tensor, "... value"]
    log_w: Float[Tensor, "... key"]
    gate: Float[Tensor, "... width"]


class Rwkv5TimeMix(SequenceLayer):
    """y_t = r_t (S_{t-1} + diag(u) k_t^T v_t), S_t = diag(w) S_{t-1} + k_t^T v_t, in heads of width `head`.

    w = exp(-exp(d)) with d and the bonus u learned per channel; y is normalised per head (group
    norm) and gated by SiLU. dim * head numbers of state: 2,048 at width 128 with MAD's 16, 4,096
    with 32. Initial mixes, decays and bonuses are those of the authors' code for a first layer.

    Raises LayerError where `head` does not divide `dim`.
    """

    NAME = "rwkv5-time-mixer"
    NORM_EPSILON = 64e-5  # The authors divide by 8 before a norm with 1e-5.

    def __init__(self, dim: int, max_length: int, head: int = 16) -> None:
        super().__init__()
        del max_length
        if head < 1 or dim % head:
            raise LayerError(f"{self.NAME}: heads of width {head} do not divide a width of {dim}")
        self.dim, self.head, self.heads = dim, head, dim // head
        self.mix = TokenMix(dim, (0.5, 1.0, 1.0, 0.5), PRESENT)  # of r, k, v, g
        ramp = torch.arange(dim) / max(1, dim - 1)
        self.decay = nn.Parameter(-6 + 5 * ramp**0.7)  # d: log-decays from -0.0025 to -0.37 a token
        self.bonus = nn.Parameter(0.1 * ((torch.arange(dim) + 1) % 3 - 1).float().unflatten(0, (-1, head)))
        self.receptance = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)
        self.gate = nn.Linear(dim, dim, bias=False)
        self.norm_scale = nn.Parameter(torch.ones(dim))
        self.norm_shift = nn.Parameter(torch.zeros(dim))
        self.output = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
        """A whole sequence at once."""
        return self._run(x)[0]

    def prefill(
        self, x: Float[Tensor, "batch length width"]
    ) -> tuple[Float[Tensor, "batch length width"], RwkvState]:
        """The parallel form, and the state after it."""
        y, matrix = self._run(x)
        return y, RwkvState(matrix, x[:, -1].clone())

    def initial_state(self, batch: int, device: torch.device, dtype: torch.dtype) -> RwkvState:
        """Zeros; the matrices in float32 at least."""
        precise = torch.promote_types(dtype, torch.float32)
        return RwkvState(
            torch.zeros(batch, self.heads, self.head, self.head, device=device, dtype=precise),
            torch.zeros(batch, self.dim, device=device, dtype=dtype),
        )

    def step(
        self, x: Float[Tensor, "batch width"], state: RwkvState
    ) -> tuple[Float[Tensor, "batch width"], RwkvState]:
        """One more token."""
        # A sequence of one token, so that the features are written once.
        features = self._features(x[:, None], state.last[:, None])
        r, k, v, log_w = (each[:, :, 0] for each in features[:4])
        y, matrix = advance(state.matrix, r, k, v, log_w, self.bonus)
        return self._read(y[:, :, None], features.gate)[:, 0], RwkvState(matrix, x.clone())

    def state_elements(self, length: int) -> int:
        """One matrix a head, whatever the length."""
        del length
        return self.heads * self.head**2

    def tail_elements(self) -> int:
        """The last input."""
        return self.dim

    def flops(self, length: int) -> int:
        """The five linear maps and the chunked scan."""
        scan = self.heads * key_decay_flops(length, self.head, self.head)
        return 2 * length * 5 * self.dim**2 + scan

    def _run(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self._features(x, previous(x))
        y, matrix = scan_key_decay(*features[:4], self.bonus)
        return self._read(y, features.gate), matrix

    def _features(
        self, x: Float[Tensor, "batch length width"], before: Float[Tensor, "batch length width"]
    ) -> Features:
        of_r, of_k, of_v, of_g = self.mix(x, before)
        log_w = -torch.exp(self.decay).expand(1, x.shape[1], self.dim)
        return Features(
            split_heads(self.receptance(of_r), self.heads),  # (batch, heads, length, head)
            split_heads(self.key(of_k), self.heads),
            split_heads(self.value(of_v), self.heads),
            split_heads(log_w, self.heads),  # (1, heads, length, head)
            F.silu(self.gate(of_g)),
        )

    def _read(
        self, y: Float[Tensor, "batch heads length head"], gate: Float[Tensor, "batch length width"]
    ) -> Float[Tensor, "batch length width"]:
        """Group norm over each head, the gate, and the output map."""
        y = F.layer_norm(y, (self.head,), eps=self.NORM_EPSILON)
        normed = join_heads(y) * self.norm_scale + self.norm_shift
        return self.output(normed.to(gate.dtype) * gate)
