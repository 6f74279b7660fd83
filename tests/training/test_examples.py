"""Training on examples: pauses change nothing, files are whole or refused, the schedule ends in time."""

import math
import multiprocessing
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from madstar.errors import ConfigurationError, LayerError, TaskError
from madstar.training import (
    DivergedError,
    ExampleSettings,
    ExampleTrainer,
    evaluations,
    load_example_trunk,
    save_example_trunk,
)
from madstar.training.examples import Order

from .example_models import CLASSES, Mixed, Noisy, examples

SETTINGS = ExampleSettings(batch=6, epochs=10, learning_rate=1e-2, weight_decay=0.1)


def make(
    model: nn.Module | None = None, settings: ExampleSettings = SETTINGS, **other: Any
) -> ExampleTrainer:
    data = {"seed": 0, **other}
    inputs, targets = data.pop("data", None) or examples()
    return ExampleTrainer(Mixed() if model is None else model, inputs, targets, settings, **data)


def state(trainer: ExampleTrainer) -> dict[str, Any]:
    moments = {
        f"{index} {key}": torch.as_tensor(value).clone()
        for index, found in trainer.optimizer.state_dict()["state"].items()
        for key, value in found.items()
    }
    weights = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    facts = {"step": trainer.step, "curve": list(trainer.curve), "smoothed": repr(trainer.losses.smoothed)}
    return {**weights, **moments, **facts, "evaluations": list(trainer.evaluations)}


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) if isinstance(value, torch.Tensor) else value == second[name]
        for name, value in first.items()
    )


MODELS = {"mixed": Mixed, "tied": lambda seed=0: Mixed(seed=seed, tied=True), "noisy": Noisy}
VARIANTS = [
    SETTINGS,
    SETTINGS.model_copy(update={"schedule": "cosine", "warmup": 5, "clip": 0.5}),
    SETTINGS.model_copy(update={"precision": "bf16", "decayed": "matrices"}),
]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("settings", VARIANTS)
def test_pausing_changes_nothing(tmp_path: Path, name: str, settings: ExampleSettings) -> None:
    straight = make(MODELS[name](), settings)
    straight.advance_to(23)

    paused = make(MODELS[name](), settings)
    for step in (1, 4, 11):
        paused.advance_to(step)
        torch.rand(5)
        paused.score(*examples(seed=9))
    save_example_trunk(paused, tmp_path / "trunk")
    # Another start, so that what is not restored would show.
    resumed = make(MODELS[name](seed=5), settings)
    assert load_example_trunk(resumed, tmp_path / "trunk")
    assert same(state(resumed), state(paused))
    resumed.advance_to(23)
    paused.advance_to(23)
    assert same(state(resumed), state(straight))
    assert same(state(paused), state(straight))


def test_it_learns_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    trainer = make(Noisy())
    before = trainer.score(*examples())
    trainer.advance_to(40)
    assert torch.equal(torch.rand(2), expected)
    assert trainer.score(*examples()).loss < before.loss
    assert trainer.curve[-1][1] < trainer.curve[0][1]
    assert trainer.seconds > 0


def test_it_equals_a_plain_loop() -> None:
    """Against torch's own AdamW, loss and clipping, on the order's batches."""
    settings = SETTINGS.model_copy(update={"clip": 0.3, "schedule": "cosine", "warmup": 3})
    trainer = make(settings=settings, seed=4)
    trainer.advance_to(12)

    model, (inputs, targets) = Mixed(), examples()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, weight_decay=0.1)
    order = Order(20, 6, 4)
    for step in range(12):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * settings.rate_at(step, 40)
        chosen = order.at(step)
        loss = nn.functional.cross_entropy(model(inputs[chosen]).flatten(0, 1), targets[chosen].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.3)
        optimizer.step()
    for mine, plain in zip(trainer.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-5, atol=1e-6)


def test_an_epoch_visits_each_example_once_in_a_new_order() -> None:
    order = Order(20, 6, 0)
    epochs = [[order.at(4 * epoch + index) for index in range(4)] for epoch in range(3)]
    assert [len(batch) for batch in epochs[0]] == [6, 6, 6, 2]
    for batches in epochs:
        assert sorted(torch.cat(batches).tolist()) == list(range(20))
    assert not torch.equal(torch.cat(epochs[0]), torch.cat(epochs[1]))
    assert torch.equal(Order(20, 6, 0).at(9), epochs[2][1])
    assert not torch.equal(Order(20, 6, 1).at(0), epochs[0][0])


def test_the_schedule_ends_at_the_last_step() -> None:
    settings = ExampleSettings(schedule="cosine", warmup=4, final_rate=0.1)
    rates = [settings.rate_at(step, 30) for step in range(30)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4] == 1.0
    assert all(a > b for a, b in pairwise(rates[4:]))
    assert rates[-1] == pytest.approx(0.1)
    middle = settings.rate_at(4 + 25 // 2, 30)
    assert middle == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * 12 / 25)))
    constant = ExampleSettings(warmup=2)
    assert [constant.rate_at(step, 5) for step in range(5)] == [0.5, 1, 1, 1, 1]
    assert ExampleSettings(schedule="cosine").rate_at(0, 1) == 0.01


def test_ends_and_evaluations() -> None:
    settings = ExampleSettings(batch=6, epochs=3)
    assert settings.steps_per_epoch(20) == 4
    assert settings.total_steps(20) == 12
    assert settings.model_copy(update={"max_steps": 5}).total_steps(20) == 5
    assert [settings.next_evaluation(step, 20) for step in (0, 3, 4, 11)] == [4, 4, 8, 12]
    by_steps = settings.model_copy(update={"evaluate_every": 5, "evaluate_unit": "steps"})
    assert [by_steps.next_evaluation(step, 20) for step in (0, 5, 10)] == [5, 10, 12]
    with pytest.raises(ValueError, match="needs an end"):
        ExampleSettings(epochs=None)


def test_evaluations_stop_where_it_is_solved(tmp_path: Path) -> None:
    trainer = make(settings=SETTINGS.model_copy(update={"stop_at": 0.3, "epochs": 40}))
    scores = list(evaluations(trainer, *examples()))
    assert scores[-1][1].micro >= 0.3
    assert all(score.micro < 0.3 for _, score in scores[:-1])
    assert [step for step, _ in scores] == [one.step for one in trainer.evaluations]
    assert trainer.step == scores[-1][0] < trainer.total_steps
    save_example_trunk(trainer, tmp_path / "trunk")
    again = make(settings=trainer.settings)
    assert load_example_trunk(again, tmp_path / "trunk")
    assert again.evaluations == trainer.evaluations
    assert list(evaluations(again, *examples())) == []


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    make().advance_to(3, lambda done, total: told.append((done, total)))
    assert told == [(1, 40), (2, 40), (3, 40)]


def test_arrays_do_as_well_as_tensors() -> None:
    inputs, targets = examples()
    one, other = make(), make(data=(inputs.numpy(), targets.numpy()))
    one.advance_to(3)
    other.advance_to(3)
    assert same(state(one), state(other))


@pytest.fixture
def trunk_file(tmp_path: Path) -> Path:
    trainer = make()
    trainer.advance_to(5)
    save_example_trunk(trainer, tmp_path / "trunk")
    return tmp_path / "trunk"


def refuses(trainer: ExampleTrainer, path: Path) -> bool:
    before = state(trainer)
    return not load_example_trunk(trainer, path) and same(state(trainer), before)


def test_foreign_trunks_are_refused(trunk_file: Path) -> None:
    assert load_example_trunk(make(), trunk_file)
    assert refuses(make(seed=1), trunk_file)
    assert refuses(make(identity="another"), trunk_file)
    assert refuses(make(data=examples(seed=1)), trunk_file)
    assert refuses(make(Mixed(width=4)), trunk_file)
    assert refuses(make(Mixed(tied=True)), trunk_file)
    assert refuses(make(settings=SETTINGS.model_copy(update={"weight_decay": 0.0})), trunk_file)
    assert refuses(make(settings=SETTINGS.model_copy(update={"schedule": "cosine"})), trunk_file)
    assert refuses(make(), trunk_file.with_name("missing"))
    # Where a constant rate ends, and what is measured on the way, does not change the weights.
    assert load_example_trunk(
        make(settings=SETTINGS.model_copy(update={"epochs": 20, "stop_at": 2.0})), trunk_file
    )


def test_torn_trunks_are_refused(trunk_file: Path, tmp_path: Path) -> None:
    whole = trunk_file.read_bytes()
    torn = tmp_path / "torn"
    for length in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        torn.write_bytes(whole[:length])
        assert refuses(make(), torn)
    tensors = load_file(trunk_file)
    with safe_open(trunk_file, "pt") as file:
        metadata = file.metadata()
    for missing in ("model.decay", "optimizer.exp_avg.decay"):
        save_file({k: v for k, v in tensors.items() if k != missing}, torn, metadata)
        assert refuses(make(), torn)
    save_file(tensors, torn, {**metadata, "curve": "[[1"})
    assert refuses(make(), torn)


def test_a_failed_write_leaves_the_last_trunk(trunk_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if killed while writing: the file under its name is the old one, and nothing else is read."""
    before = trunk_file.read_bytes()
    trainer = make()
    trainer.advance_to(9)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("madstar.training.checkpoint.os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        save_example_trunk(trainer, trunk_file)
    assert trunk_file.read_bytes() == before
    assert list(trunk_file.parent.iterdir()) == [trunk_file]


def write_forever(trainers: list[ExampleTrainer], path: Path) -> None:
    while True:
        for trainer in trainers:
            save_example_trunk(trainer, path)


def test_a_process_killed_while_writing_leaves_a_whole_trunk(tmp_path: Path) -> None:
    early, late = make(), make()
    early.advance_to(5)
    late.advance_to(9)
    path = tmp_path / "trunk"
    writer = multiprocessing.get_context("fork").Process(target=write_forever, args=([early, late], path))
    writer.start()
    while not path.exists() and writer.is_alive():
        time.sleep(0.01)
    time.sleep(0.1)
    writer.kill()
    writer.join()
    trainer = make(Mixed(seed=5))
    assert load_example_trunk(trainer, path)
    assert same(state(trainer), state({5: early, 9: late}[trainer.step]))


class Broken(nn.Module):
    def __init__(self, shape: str) -> None:
        super().__init__()
        self.embed, self.shape = nn.Embedding(CLASSES, CLASSES), shape

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        return {
            "pair": (x, x),
            "short": x[:, 1:],
            "flat": x.flatten(0, 1),
            "few": x[..., :3],
            "nan": x / 0 * 0,
        }[self.shape]


@pytest.mark.parametrize(
    ("shape", "error"),
    [
        ("pair", LayerError),
        ("short", LayerError),
        ("flat", LayerError),
        ("few", TaskError),
        ("nan", DivergedError),
    ],
)
def test_models_that_do_not_fit(shape: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        make(Broken(shape)).advance_to(1)


def test_a_rate_that_tears_it_apart_is_noticed() -> None:
    trainer = make(settings=SETTINGS.model_copy(update={"learning_rate": 1e4, "epochs": 100}))
    with pytest.raises(DivergedError, match="diverged at step"):
        trainer.advance_to(400)


def test_examples_that_cannot_be_trained_on() -> None:
    inputs, targets = examples()
    nothing = torch.full_like(targets, -100)
    for data in [
        (inputs[:3], targets),
        (inputs, nothing),
        (inputs[:0], targets[:0]),
        (inputs, targets[:, 0]),
        (inputs, np.zeros(targets.shape)),
    ]:
        with pytest.raises(TaskError):
            make(data=data)


def test_no_step_beyond_the_end_and_none_back() -> None:
    trainer = make()
    with pytest.raises(ConfigurationError, match="beyond the end"):
        trainer.advance_to(41)
    trainer.advance_to(3)
    trainer.advance_to(2)
    assert trainer.step == 3
