"""Quality on held-out text: bits per byte and perplexity, with a standard error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from ..tasks import TextTask


@dataclass(frozen=True)
class Quality:
    """Loss on held-out windows.

    `bits_per_byte` is comparable between tokenizers; `perplexity` is per token. The standard error
    is over windows: how far another draw of held-out text would move the mean. All candidates see
    the same windows, so differences between them are surer than this says.
    """

    bits_per_byte: float
    standard_error: float
    perplexity: float
    windows: int


def evaluate(
    model: nn.Module, task: TextTask, split: str, *, batch: int, limit: int | None = None
) -> Quality:
    """The quality of a model on a split's fixed windows ("valid" or "test")."""
    per_window = window_losses(model, task, split, batch=batch, limit=limit)
    mean = per_window.mean().item()
    error = per_window.std().item() / math.sqrt(len(per_window)) if len(per_window) > 1 else math.nan
    ratio = task.bytes_per_token if split == "valid" else task.bytes_per_token_of(split)
    to_bits = 1 / (math.log(2) * ratio)
    return Quality(
        bits_per_byte=mean * to_bits,
        standard_error=error * to_bits,
        perplexity=math.exp(min(mean, 700.0)),
        windows=len(per_window),
    )


@torch.inference_mode()
def window_losses(
    model: nn.Module, task: TextTask, split: str, *, batch: int, limit: int | None = None
) -> Float[Tensor, " windows"]:
    """Mean loss in nats a token of each window, float64; two models' windows can be compared pairwise."""
    was_training = model.training
    model.eval()
    losses = []
    for tokens in task.windows(split, batch, limit):
        logits = model(tokens[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten(), reduction="none")
        losses.append(loss.view(tokens.shape[0], -1).mean(1).double())
    model.train(was_training)
    return torch.cat(losses)
