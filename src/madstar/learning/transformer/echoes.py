"""What a graph says of itself: where else in it the same stands around, and what stands there.

An architecture repeats itself, with other sizes, in stages, in encoder and decoder: what followed a norm and
a view the last time follows them again, be the family known or not. So nodes are compared by what stands
around them, a few operations at a time (a *context*, as in n-grams, but counted in this graph alone), and
what stands where the context is the same is looked up. The same idea in language models: the cache of Kuhn
and De Mori (1990), the induction heads of Olsson et al. (arXiv 2209.11895), which a network has to find
first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ..features import FIRST, MASKED

STEPS = (0, 1, 2, 4, 8)
"""Counts that are told apart: none, one, two, up to four, up to eight, more."""

Context = tuple[int, ...]
"""Places of a node's surroundings, by number."""


def hashed(numbers: Int[Tensor, "*shape n"]) -> Int[Tensor, "*shape"]:
    """One number below 2^31 - 1 for several small ones in their order, the same on every machine."""
    found = torch.zeros_like(numbers[..., 0])
    for number in numbers.unbind(-1):
        found = (found * 1_000_003 + number + 1) % 2_147_483_647
    return found


def step_of(counts: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Which of `STEPS` a count lies in."""
    return sum(((counts > step).long() for step in STEPS), torch.zeros_like(counts))


class Repeats(nn.Module):
    """How often what stands around a node stands elsewhere in its graph, for each context: a vector.

    A chain that is usual everywhere may be odd here, where it stands once and its likes many times.
    """

    def __init__(self, width: int, contexts: Sequence[Context]) -> None:
        super().__init__()
        self.contexts = tuple(contexts)
        self.often = nn.Embedding(len(self.contexts) * (len(STEPS) + 1), width)
        nn.init.normal_(self.often.weight, std=0.1)

    def forward(
        self, seen: Int[Tensor, "g t places"], among: Bool[Tensor, "g t"]
    ) -> Float[Tensor, "g t width"]:
        """The vectors; `among` are the tokens that count as elsewhere."""
        steps = []
        for number, context in enumerate(self.contexts):
            same = _same(hashed(seen[..., context]), among)
            steps.append(step_of(same.sum(-1) - 1) + number * (len(STEPS) + 1))
        return self.often(torch.stack(steps, -1)).sum(-2)


def _same(keys: Int[Tensor, "g t"], among: Bool[Tensor, "g t"]) -> Bool[Tensor, "g t t"]:
    """Which tokens (the last axis) have the same key, of those `among` which they are looked for."""
    short = keys.int()  # they fit, and what is compared for all pairs is better small
    return short[:, :, None] == short.masked_fill(~among, -1)[:, None, :]


class Echoes(nn.Module):
    """What stands where the context is the same: scores for operations that are found there, and a vector.

    Of each context the operations that are found count by their share; how much a share says depends on how
    many there are to count.
    """

    def __init__(self, width: int, symbols: int, contexts: Sequence[Context]) -> None:
        super().__init__()
        self.symbols, self.contexts = symbols, tuple(contexts)
        self.strength = nn.Parameter(torch.ones(len(self.contexts), len(STEPS) + 1))
        self.often = nn.Embedding(len(self.contexts) * (len(STEPS) + 1), width)
        self.value = nn.Embedding(symbols, width)
        self.maps = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in self.contexts)
        nn.init.normal_(self.often.weight, std=0.1)
        nn.init.normal_(self.value.weight, std=0.1)

    def forward(
        self,
        seen: Int[Tensor, "g t places"],
        found: Int[Tensor, "g t"],
        among: Bool[Tensor, "#g #t t"],
    ) -> tuple[Float[Tensor, "g t width"], Float[Tensor, "g t operations"]]:
        """Vectors and scores for every token.

        Args:
            seen: What stands around each token.
            found: The operation that is found at each token, were its context the same.
            among: Of which tokens each may learn; never of itself.
        """
        values = self.value(found)
        vector, weights = torch.zeros_like(values), values.new_zeros(())
        steps = []
        for number, context in enumerate(self.contexts):
            around = seen[..., context]
            # What is hidden is not the same as something else that is hidden.
            alike = _same(hashed(around), (around != MASKED).all(-1)) & among
            count = alike.sum(-1)
            step = step_of(count)
            steps.append(step + number * (len(STEPS) + 1))
            same, each = alike.to(values.dtype), 1 / count.clamp_min(1).to(values.dtype)
            vector = vector + each[..., None] * (same @ self.maps[number](values))
            weights = weights + (self.strength[number][step] * each)[..., None] * same
        kinds = torch.arange(FIRST, self.symbols, device=found.device)
        scores = weights @ (found[..., None] == kinds).to(values.dtype)
        return vector + self.often(torch.stack(steps, -1)).sum(-2), scores
