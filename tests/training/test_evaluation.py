"""Bits per byte, its error and perplexity, against their textbook formulas."""

import itertools
import math
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from madstar.tasks import TextTask
from madstar.training import Quality, Trainer, evaluate, window_losses


class Table(nn.Module):
    """Logits by the present token alone, from a table."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(table)
        self.modes: set[bool] = set()

    def forward(self, tokens: Tensor) -> Tensor:
        self.modes.add(self.training)
        return self.table[tokens]


def stand_in(windows: Tensor, bytes_per_token: float) -> SimpleNamespace:
    """A text of given windows."""

    def batches(split: str, batch: int, limit: int | None = None) -> Iterator[Tensor]:
        assert split == "valid"
        chosen = windows[:limit]
        return (chosen[i : i + batch] for i in range(0, len(chosen), batch))

    return SimpleNamespace(windows=batches, bytes_per_token=bytes_per_token)


def by_hand(table: np.ndarray, windows: np.ndarray) -> list[float]:
    """Mean negative log-likelihood of each window, one token at a time."""
    means = []
    for window in windows.tolist():
        losses = []
        for present, following in itertools.pairwise(window):
            row = table[present].astype(np.float64)
            losses.append(math.log(sum(math.exp(x - row.max()) for x in row)) + row.max() - row[following])
        means.append(sum(losses) / len(losses))
    return means


@settings(max_examples=30)
@given(st.integers(2, 9), st.integers(1, 4), st.floats(0.5, 8), st.floats(0.01, 20), st.integers(0, 2**32))
def test_quality_by_hand(windows: int, batch: int, per_token: float, scale: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    model = Table(scale * torch.randn(11, 11, generator=generator))
    tokens = torch.randint(0, 11, (windows, 6), generator=generator)
    losses = by_hand(model.table.detach().numpy(), tokens.numpy())
    found = evaluate(model, stand_in(tokens, per_token), "valid", batch=batch)
    mean = sum(losses) / windows
    variance = sum((loss - mean) ** 2 for loss in losses) / (windows - 1)
    to_bits = 1 / math.log(2) / per_token
    assert found.windows == windows
    assert found.bits_per_byte == pytest.approx(mean * to_bits, rel=1e-5)
    assert found.standard_error == pytest.approx(math.sqrt(variance / windows) * to_bits, rel=1e-3, abs=1e-6)
    assert found.perplexity == pytest.approx(math.exp(mean), rel=1e-4)


def test_guessing_has_eight_bits_a_byte(task: TextTask) -> None:
    found = evaluate(Table(torch.zeros(256, 256)), task, "valid", batch=7)
    assert found.bits_per_byte == pytest.approx(8, abs=1e-6)
    assert found.standard_error == pytest.approx(0, abs=1e-7)
    assert found.perplexity == pytest.approx(256, rel=1e-5)
    assert found.windows == task.window_count("valid")


def test_a_real_model_on_real_text(make: Callable[..., Trainer], task: TextTask) -> None:
    model = make(genome="11111").model
    losses = []
    with torch.no_grad():
        for (window,) in task.windows("valid", 1, 40):
            chances = model(window[None, :-1])[0].double().log_softmax(-1)
            losses.append(-chances[torch.arange(task.length), window[1:]].mean().item())
    found = evaluate(model, task, "valid", batch=16, limit=40)
    assert found.bits_per_byte == pytest.approx(np.mean(losses) / math.log(2), rel=1e-5)
    error = np.std(losses, ddof=1) / len(losses) ** 0.5 / math.log(2)
    assert found.standard_error == pytest.approx(error, rel=1e-4)


def test_batches_and_limits(make: Callable[..., Trainer], task: TextTask) -> None:
    model = make().model
    one, many = (evaluate(model, task, "valid", batch=batch, limit=50) for batch in (3, 16))
    assert one.bits_per_byte == pytest.approx(many.bits_per_byte, rel=1e-6)
    few = evaluate(model, task, "valid", batch=16, limit=9)
    assert few.windows == 9
    assert few == evaluate(model, task, "valid", batch=16, limit=9)
    test = evaluate(model, task, "test", batch=64)
    assert test.windows == task.window_count("test")
    assert test.bits_per_byte != many.bits_per_byte


def test_a_window_alone_has_no_error() -> None:
    model = Table(torch.zeros(4, 4))
    found = evaluate(model, stand_in(torch.zeros(1, 5, dtype=torch.long), 1.0), "valid", batch=4)
    assert math.isnan(found.standard_error)
    assert found.bits_per_byte == pytest.approx(2)


def test_windows_losses_are_float64_and_without_gradients(task: TextTask) -> None:
    model = Table(torch.zeros(256, 256))
    losses = window_losses(model, task, "valid", batch=5, limit=12)
    assert losses.dtype == torch.float64
    assert losses.shape == (12,)
    assert not losses.requires_grad
    assert losses.tolist() == pytest.approx([math.log(256)] * 12)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_in_its_mode(task: TextTask, training: bool) -> None:
    model = Table(torch.zeros(256, 256)).train(training)
    evaluate(model, task, "valid", batch=8, limit=8)
    assert model.modes == {False}
    assert model.training == training


def test_a_hopeless_model_is_infinite_nowhere() -> None:
    table = torch.zeros(3, 3)
    table[:, 0] = 5000.0
    windows = torch.ones(2, 4, dtype=torch.long)
    found = evaluate(Table(table), stand_in(windows, 1.0), "valid", batch=2)
    assert found.bits_per_byte == pytest.approx(5000 / math.log(2))
    assert math.isfinite(found.perplexity)


def test_quality_is_plain_data() -> None:
    assert Quality(1.0, 0.1, 2.0, 3) == Quality(1.0, 0.1, 2.0, 3)
