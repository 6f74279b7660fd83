"""How right a model is on examples: loss and accuracies on probed tokens, with standard errors.

A token is probed where its target is not `IGNORE`. Three accuracies are kept, for they differ:

- micro: the share of probed tokens that are right;
- macro: per class the share of its tokens that are right, over the whole set; the mean over the classes
  that occur as targets;
- batch macro: mad-lab's (Poli et al., arXiv 2403.17844). Its evaluation calls torchmetrics'
  MulticlassAccuracy with the macro average on each batch of 128 sequences, and Lightning averages the
  batches' values, weighted by their sequences. Within a batch, a class that is neither a target nor predicted
  at a probed token is left out of the mean; a class that is only predicted counts as a zero. So a model
  that guesses many classes which do not occur is marked down, and rare classes weigh as much as frequent.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ..errors import LayerError, TaskError
from .example_settings import Accuracy, Precision
from .trainer import DivergedError

IGNORE = -100


@dataclass(frozen=True)
class ExampleScore:
    """What a model scores on a set of examples.

    `loss` is in nats a probed token. The standard errors are over sequences: tokens of one sequence are
    right or wrong together, so sequences are what was drawn. With one sequence they are nan.
    """

    loss: float
    loss_standard_error: float
    micro: float
    standard_error: float
    macro: float
    batch_macro: float
    probes: int
    sequences: int

    def accuracy(self, kind: Accuracy) -> float:
        """The accuracy of that name."""
        return {"micro": self.micro, "macro": self.macro, "batch_macro": self.batch_macro}[kind]


def score(
    model: nn.Module,
    inputs: Int64[Tensor, "examples ..."],
    targets: Int64[Tensor, "examples length"],
    *,
    batch: int = 128,
    precision: Precision = "fp32",
) -> ExampleScore:
    """Score a model (tokens to logits) on examples, in one pass, where its parameters are.

    `batch` sequences are scored at a time; batch macro depends on it. Raises DivergedError where
    a logit at a probed token is not a number, LayerError for logits of a wrong shape, TaskError for
    examples without a probed token.
    """
    inputs, targets = as_examples(inputs, targets)
    first = next(model.parameters(), None)
    device = torch.device("cpu") if first is None else first.device

    def predict(begin: int, end: int) -> tuple[Tensor, Tensor]:
        with autocast(device, precision):
            logits = model(inputs[begin:end].to(device))
        chosen = targets[begin:end].to(device)
        check_logits(logits, chosen)
        return guesses(logits, chosen)

    was_training = model.training
    model.eval()
    try:
        predicted, losses = in_batches(predict, len(targets), batch)
    finally:
        model.train(was_training)
    return summarise(predicted, losses, targets.to(device), batch)


@torch.no_grad()
def in_batches(
    predict: Callable[[int, int], tuple[Tensor, Tensor]], examples: int, batch: int, dim: int = 0
) -> tuple[Tensor, Tensor]:
    """What `predict` gives for each range of examples, joined along `dim`."""
    parts = [predict(begin, min(begin + batch, examples)) for begin in range(0, examples, batch)]
    return torch.cat([part[0] for part in parts], dim), torch.cat([part[1] for part in parts], dim)


def guesses(
    logits: Float[Tensor, "batch length classes"], targets: Int64[Tensor, "batch length"]
) -> tuple[Int64[Tensor, "batch length"], Float[Tensor, "batch length"]]:
    """The likeliest class of each token, and its loss in nats (0 where it is not probed)."""
    flat = logits.flatten(0, 1).float()
    losses = F.cross_entropy(flat, targets.flatten(), ignore_index=IGNORE, reduction="none")
    return logits.argmax(-1), losses.view(targets.shape)


def summarise(
    predicted: Int64[Tensor, "examples length"],
    losses: Float[Tensor, "examples length"],
    targets: Int64[Tensor, "examples length"],
    batch: int,
) -> ExampleScore:
    """The score of predictions and token losses that are there already. Raises TaskError without probes."""
    probed = targets != IGNORE
    right = (predicted == targets) & probed
    per_sequence = torch.stack(
        [probed.sum(1).double(), right.sum(1).double(), (losses.double() * probed).sum(1)]
    ).cpu()
    probes = int(per_sequence[0].sum())
    if probes == 0:
        raise TaskError("no token of these examples has a target: nothing can be scored")
    loss, loss_error = _ratio(per_sequence[2], per_sequence[0])
    if not math.isfinite(loss):
        raise DivergedError("the model's output is not a number: it cannot be scored")
    micro, error = _ratio(per_sequence[1], per_sequence[0])
    macro, batch_macro = _macro(predicted, targets, right, probed, batch)
    return ExampleScore(
        loss=loss,
        loss_standard_error=loss_error,
        micro=micro,
        standard_error=error,
        macro=macro,
        batch_macro=batch_macro,
        probes=probes,
        sequences=len(targets),
    )


def _ratio(amounts: Tensor, counts: Tensor) -> tuple[float, float]:
    """Sum over sum, and its standard error by linearisation, each sequence being one draw."""
    n, total = len(counts), counts.sum()
    ratio = amounts.sum() / total
    if n < 2:
        return ratio.item(), math.nan
    spread = ((amounts - ratio * counts) ** 2).sum() * n / (n - 1)
    return ratio.item(), (spread.sqrt() / total).item()


def _macro(
    predicted: Tensor, targets: Tensor, right: Tensor, probed: Tensor, batch: int
) -> tuple[float, float]:
    """Macro accuracy over the whole set, and averaged over batches as mad-lab does."""
    examples = len(targets)
    batches = -(-examples // batch)
    classes = 1 + int(torch.maximum(predicted.max(), targets.max()))
    number = (torch.arange(examples, device=targets.device) // batch)[:, None].expand_as(targets)

    def count(labels: Tensor, where: Tensor) -> Tensor:
        cells = number[where] * classes + labels[where]
        return torch.bincount(cells, minlength=batches * classes).view(batches, classes).double()

    hits, wanted, guessed = count(targets, right), count(targets, probed), count(predicted, probed)
    occurs = wanted.sum(0) > 0
    macro = (hits.sum(0)[occurs] / wanted.sum(0)[occurs]).mean().item()

    counted = (wanted + guessed) > 0
    recall = hits / wanted.clamp(min=1)
    per_batch = (recall * counted).sum(1) / counted.sum(1).clamp(min=1)
    sizes = torch.full((batches,), float(batch), dtype=torch.float64, device=targets.device)
    sizes[-1] = examples - (batches - 1) * batch
    return macro, ((per_batch * sizes).sum() / examples).item()


def as_examples(inputs: Any, targets: Any) -> tuple[Tensor, Tensor]:
    """Examples as int64 tensors. Raises TaskError where they are empty, unequal, or have no target."""
    x, y = torch.as_tensor(inputs), torch.as_tensor(targets)
    if y.ndim != 2 or len(x) != len(y) or y.numel() == 0:
        raise TaskError(
            f"examples have inputs of {tuple(x.shape)} and targets of {tuple(y.shape)}: "
            "give as many of each, targets as (examples, length)"
        )
    if x.is_floating_point() or y.is_floating_point():
        raise TaskError("examples hold numbers with a fraction: give token numbers")
    if not (y != IGNORE).any():
        raise TaskError("no token of these examples has a target: nothing can be learned")
    return x.long(), y.long()


def probed_loss(
    logits: Float[Tensor, "batch length classes"], targets: Int64[Tensor, "batch length"]
) -> Float[Tensor, ""]:
    """Mean loss in nats over the probed tokens of a batch; 0 where there is none."""
    total = F.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORE, reduction="sum"
    )
    return total / (targets != IGNORE).sum().clamp(min=1)


def check_logits(logits: object, targets: Tensor) -> None:
    """Raise LayerError unless there are logits for each target."""
    if not isinstance(logits, Tensor):
        raise LayerError(f"the model gives a {type(logits).__name__}: it must give a tensor of logits")
    if logits.ndim != 3 or logits.shape[:2] != targets.shape:
        raise LayerError(
            f"the model gives {tuple(logits.shape)} for targets of {tuple(targets.shape)}: "
            "it must give (batch, length, classes)"
        )


def autocast(device: torch.device, precision: Precision) -> contextlib.AbstractContextManager[object]:
    """The context of a forward pass in a precision; weights stay in float32."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)
