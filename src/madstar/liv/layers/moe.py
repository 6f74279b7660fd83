"""A mixture of small experts, each a gated linear unit (arXiv 1701.06538, section 2; MAD's moe-mlp)."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from ...errors import LayerError
from .mlp import Tokenwise, check_inner


class MoeMlp(Tokenwise):
    """y = sum over the `active` best experts e of p_e W_e (A_e x * gelu(B_e x)), p = softmax of their scores.

    Experts are few and tiny, so all are computed and those not chosen weigh zero: one product for all
    experts is faster than sorting tokens by expert.

    `compatible` is mad-lab's layer, which differs in two ways: scores of experts not chosen are set to 0
    instead of minus infinity before the softmax, so every expert keeps some weight; and each expert's last
    map reads the inner channels of all experts (dim x (inner * experts) weights for each).

    Raises LayerError unless 1 <= active <= experts.
    """

    def __init__(
        self,
        dim: int,
        max_length: int,
        experts: int = 8,
        inner: int = 16,
        active: int = 2,
        compatible: bool = False,
    ) -> None:
        super().__init__()
        del max_length
        check_inner(inner, "moe-mlp")
        if not 1 <= active <= experts:
            raise LayerError(f"moe-mlp: {active} active experts of {experts}; use between 1 and {experts}")
        self.experts, self.inner, self.active, self.compatible = experts, inner, active, compatible
        self.router = nn.Linear(dim, experts)
        self.up = nn.Linear(dim, experts * inner, bias=False)
        self.gate = nn.Linear(dim, experts * inner, bias=False)
        self.output = nn.Linear(experts * inner, dim * experts if compatible else dim, bias=False)
        if not compatible:
            # The experts' last maps side by side: each is drawn as if it stood alone.
            nn.init.uniform_(self.output.weight, -(inner**-0.5), inner**-0.5)

    def transform(self, x: Float[Tensor, "... width"]) -> Float[Tensor, "... width"]:
        """The weighted sum of experts for each token."""
        hidden = self.up(x) * F.gelu(self.gate(x), approximate="tanh")  # (..., experts * inner)
        weights = self.weights(x).to(hidden.dtype)
        if self.compatible:
            every = self.output(hidden).unflatten(-1, (-1, self.experts))  # (..., width, experts)
            return (every @ weights[..., None]).squeeze(-1)
        # sum_e p_e W_e h_e = [W_1 ... W_E] [p_1 h_1; ...; p_E h_E]
        weighted = hidden.unflatten(-1, (self.experts, self.inner)) * weights[..., None]
        return self.output(weighted.flatten(-2))

    def weights(self, x: Float[Tensor, "... width"]) -> Float[Tensor, "... experts"]:
        """What each expert weighs for each token; the weights sum to 1."""
        scores = self.router(x)
        best = scores.topk(self.active, dim=-1)
        if self.compatible:
            return torch.where(scores < best.values[..., -1:], 0.0, scores).softmax(-1)
        return torch.zeros_like(scores).scatter(-1, best.indices, best.values.softmax(-1).to(scores.dtype))

    def flops(self, length: int) -> int:
        """All experts, as they are computed."""
        maps = super().flops(length)
        if not self.compatible:
            return maps
        return maps + 2 * length * self.output.weight.shape[0]
