"""Scores against loops that follow the definitions word by word."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from madstar.errors import LayerError, TaskError
from madstar.training import IGNORE, DivergedError, score
from madstar.training.metrics import summarise


class Table(nn.Module):
    """A model that looks its logits up by the first token of a sequence."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.logits[tokens[:, 0]]


def case(seed: int, n: int, length: int, classes: int, probed: float) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, length, classes, generator=draw)
    targets = torch.randint(0, classes, (n, length), generator=draw)
    targets[torch.rand(n, length, generator=draw) > probed] = IGNORE
    targets[0, 0] = 0
    inputs = torch.arange(n)[:, None].expand(n, length).contiguous()
    return inputs, targets, logits


def pairs(targets: Tensor, logits: Tensor) -> list[tuple[int, int]]:
    """(target, prediction) of each probed token."""
    chosen = logits.argmax(-1)
    return [
        (int(t), int(p))
        for ts, ps in zip(targets, chosen, strict=True)
        for t, p in zip(ts, ps, strict=True)
        if t != IGNORE
    ]


def torchmetrics_macro(found: list[tuple[int, int]], classes: int) -> float:
    """MulticlassAccuracy, average macro: recall per class, those with no tp, fp, fn left out, 0/0 is 0."""
    kept = []
    for label in range(classes):
        tp = sum(t == label and p == label for t, p in found)
        fp = sum(t != label and p == label for t, p in found)
        fn = sum(t == label and p != label for t, p in found)
        if tp + fp + fn > 0:
            kept.append(tp / (tp + fn) if tp + fn else 0.0)
    return sum(kept) / len(kept) if kept else 0.0


CASES = st.tuples(
    st.integers(0, 10_000),
    st.integers(2, 11),
    st.integers(1, 5),
    st.integers(2, 6),
    st.sampled_from([0.1, 0.5, 1.0]),
)


@given(CASES, st.integers(1, 12))
def test_against_loops(drawn: tuple[int, int, int, int, float], batch: int) -> None:
    inputs, targets, logits = case(*drawn)
    n, classes = len(targets), logits.shape[-1]
    found = score(Table(logits), inputs, targets, batch=batch)
    all_pairs = pairs(targets, logits)

    assert found.probes == len(all_pairs)
    assert found.sequences == n
    assert found.micro == pytest.approx(sum(t == p for t, p in all_pairs) / len(all_pairs))

    shares = []
    for label in {t for t, _ in all_pairs}:
        predictions = [p for t, p in all_pairs if t == label]
        shares.append(sum(p == label for p in predictions) / len(predictions))
    assert found.macro == pytest.approx(sum(shares) / len(shares))

    total = 0.0
    for begin in range(0, n, batch):
        part = pairs(targets[begin : begin + batch], logits[begin : begin + batch])
        total += torchmetrics_macro(part, classes) * len(targets[begin : begin + batch])
    assert found.batch_macro == pytest.approx(total / n)

    losses = [
        -torch.log_softmax(logits[i, j], -1)[targets[i, j]].item()
        for i in range(n)
        for j in range(targets.shape[1])
        if targets[i, j] != IGNORE
    ]
    assert found.loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_a_class_that_is_only_guessed_costs_batch_macro_alone() -> None:
    targets = torch.tensor([[0, 0, 1, 1]])
    predicted = torch.tensor([[0, 2, 1, 1]])
    found = summarise(predicted, torch.zeros(1, 4), targets, 128)
    assert found.micro == pytest.approx(3 / 4)
    assert found.macro == pytest.approx((1 / 2 + 1) / 2)
    assert found.batch_macro == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert math.isnan(found.standard_error)


def test_the_standard_error_is_over_sequences() -> None:
    """Tokens that are right together are one draw: the error is that of resampled sequences."""
    draw = torch.Generator().manual_seed(0)
    n, length = 400, 10
    together = (torch.rand(n, 1, generator=draw) < 0.6).expand(n, length)
    targets = torch.zeros(n, length, dtype=torch.long)
    targets[torch.rand(n, length, generator=draw) < 0.3] = IGNORE
    predicted = torch.where(together, 0, 1)
    found = summarise(predicted, torch.zeros(n, length), targets, 128)
    assert found.standard_error == pytest.approx(math.sqrt(0.6 * 0.4 / n), rel=0.1)

    counts = (targets != IGNORE).sum(1).double()
    right = ((predicted == targets) & (targets != IGNORE)).sum(1).double()
    drawn = torch.randint(0, n, (2000, n), generator=draw)
    resampled = right[drawn].sum(1) / counts[drawn].sum(1)
    assert found.standard_error == pytest.approx(resampled.std().item(), rel=0.1)

    losses = torch.rand(n, length, generator=draw) * 2
    found = summarise(predicted, losses, targets, 128)
    total = (losses * (targets != IGNORE)).sum(1).double()
    resampled = total[drawn].sum(1) / counts[drawn].sum(1)
    assert found.loss_standard_error == pytest.approx(resampled.std().item(), rel=0.1)


def test_what_cannot_be_scored() -> None:
    inputs, targets, logits = case(0, 4, 3, 5, 1.0)
    with pytest.raises(TaskError, match="no token"):
        score(Table(logits), inputs, torch.full_like(targets, IGNORE))
    with pytest.raises(DivergedError, match="not a number"):
        score(Table(logits * math.nan), inputs, targets)
    with pytest.raises(LayerError, match="must give"):
        score(Table(logits[:, :2]), inputs, targets)


def test_scoring_leaves_the_mode_as_it_was() -> None:
    inputs, targets, logits = case(0, 4, 3, 5, 1.0)
    model = Table(logits).train()
    score(model, inputs, targets)
    assert model.training
    assert score(model, inputs, targets, precision="bf16").probes == 12
