"""Text from a backbone through its step form, greedy or sampled."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .backbone import Backbone


@torch.inference_mode()
def generate(
    backbone: Backbone,
    prompt: Int[Tensor, "batch length"],
    tokens: int,
    *,
    temperature: float = 0.0,
    top_k: int | None = None,
    generator: torch.Generator | None = None,
) -> Int[Tensor, "batch longer"]:
    """The prompt continued by that many tokens.

    A temperature of 0 is greedy; sampling needs a generator, so that a text can be had again.
    Raises ValueError for an empty prompt, for sampling without a generator, and for a temperature or
    top_k that cannot be.
    """
    if temperature < 0 or (top_k is not None and top_k < 1):
        raise ValueError(
            f"temperature {temperature} and top_k {top_k}: give at least 0, and at least 1 or None"
        )
    if prompt.shape[1] == 0:
        raise ValueError("the prompt is empty: give at least one token")
    if temperature > 0 and generator is None:
        raise ValueError("sampling needs a torch.Generator: pass generator=")
    logits, states = backbone.prefill(prompt)
    chosen = [_choose(logits[:, -1], temperature, top_k, generator)]
    for _ in range(tokens - 1):
        following, states = backbone.step(chosen[-1], states)
        chosen.append(_choose(following, temperature, top_k, generator))
    return torch.cat([prompt, *(token[:, None] for token in chosen[:tokens])], dim=1)


def _choose(
    logits: Float[Tensor, "batch vocabulary"],
    temperature: float,
    top_k: int | None,
    generator: torch.Generator | None,
) -> Int[Tensor, " batch"]:
    if temperature <= 0:
        return logits.argmax(-1)
    logits = logits / temperature
    if top_k is not None:
        lowest = logits.topk(min(top_k, logits.shape[-1])).values[:, -1:]
        logits = logits.masked_fill(logits < lowest, -torch.inf)
    return torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]
