"""The projection of the full protocol, at toy sizes on a CPU: it runs, and adds up."""

import pytest
import torch
from benchmarks.full_protocol import EPOCHS, PlainLoop, Sizes, hours, macro_accuracy, main, sample_of

from madstar.tasks.mechanistic import protocol_settings
from madstar.training import score

# On a CPU vmap runs the members' SDPA one by one, and says so.
pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop")


def test_it_runs_and_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    layers = ["mh-attention", "swiglu"]
    result = main(["--tiny", "--device", "cpu", "--layers", *layers])
    (row,) = result["rows"]
    assert row["layers"] == layers
    assert {found["shape"]["backbone"] for found in row["shapes"]} == {"language-model", "auto-encoder"}
    assert all(found["together"] == 6 and not found["one_by_one"] for found in row["shapes"])
    assert row["plain_total_hours"] == pytest.approx(sum(row["plain_hours"].values()))
    assert row["times"] == pytest.approx(row["plain_total_hours"] / row["stacked_total_hours"])
    assert "| all |" in capsys.readouterr().out


def test_hours_of_a_setting() -> None:
    """Two seconds a step, one a batch evaluated: 200 epochs of 100 and 10, six times."""
    setting = protocol_settings()[0]
    expected = 6 * EPOCHS * (100 * 2 + 10 * 1) / 3600
    assert hours(setting, {"step": 2.0, "evaluated": 1.0}, 6, 128) == pytest.approx(expected)


def test_the_plain_loop_trains_and_has_mad_labs_accuracy() -> None:
    inputs, targets = sample_of(protocol_settings()[0].changed(length=16), 8)
    model = torch.nn.Embedding(16, 16)
    loop = PlainLoop(model, inputs, targets, Sizes(torch.device("cpu"), batch=8))
    found = macro_accuracy(model(inputs), targets).item()
    assert found == pytest.approx(score(model, inputs, targets, batch=8).batch_macro, abs=1e-6)
    before = model.weight.detach().clone()
    loop.train(2)
    assert not torch.equal(model.weight, before)
    assert 0 <= loop.evaluate(1) <= 1
