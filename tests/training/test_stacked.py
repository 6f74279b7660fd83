"""Trainings as one program: the members come out as they would alone."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

from madstar.errors import ConfigurationError
from madstar.training import (
    DivergedError,
    ExampleScore,
    ExampleSettings,
    ExampleTrainer,
    NotStackableError,
    SeparateTrainers,
    StackedTrainer,
    load_example_trunk,
    save_example_trunk,
    together,
)

from .example_models import Mixed, Noisy, Peeking, examples

# On a CPU vmap runs the members' SDPA one by one, and says so.
pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop")

SETTINGS = ExampleSettings(batch=6, epochs=10, learning_rate=1e-3)
SWEEP = [(rate, decay) for rate in (1e-3, 1e-2) for decay in (0.0, 0.3)]


def members(
    settings: ExampleSettings = SETTINGS, sweep: Sequence[tuple[float, float]] = SWEEP, **model: Any
) -> list[ExampleTrainer]:
    """Sweep points with a seed each, two on other data of the same shape."""
    data = [examples(), examples(seed=1)]
    return [
        ExampleTrainer(
            Mixed(seed=place, **model),
            *data[place // 2 % 2],
            settings.model_copy(update={"learning_rate": rate, "weight_decay": decay}),
            seed=place,
        )
        for place, (rate, decay) in enumerate(sweep)
    ]


def assert_same_weights(first: nn.Module, second: nn.Module) -> None:
    expected = second.state_dict()
    assert first.state_dict().keys() == expected.keys()
    for name, value in first.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"clip": 0.3, "schedule": "cosine", "warmup": 3, "decayed": "matrices"},
    ],
)
def test_members_come_out_as_alone(changes: dict[str, Any], tied: bool) -> None:
    settings = SETTINGS.model_copy(update=changes)
    alone = members(settings, tied=tied)
    for one in alone:
        one.advance_to(14)
    stack = StackedTrainer(members(settings, tied=tied))
    stack.advance_to(14)
    for mine, other in zip(stack.unstack(), alone, strict=True):
        assert_same_weights(mine.model, other.model)
        assert mine.step == other.step == 14
        assert [p for p, _ in mine.curve] == [p for p, _ in other.curve]
        assert [x for _, x in mine.curve] == pytest.approx([x for _, x in other.curve], abs=1e-5)
        for parameter, twin in zip(mine.model.parameters(), other.model.parameters(), strict=True):
            found, expected = mine.optimizer.state[parameter], other.optimizer.state[twin]
            assert float(found["step"]) == float(expected["step"])
            torch.testing.assert_close(found["exp_avg_sq"], expected["exp_avg_sq"], rtol=1e-4, atol=1e-7)


def test_a_stack_begins_and_ends_anywhere(tmp_path: Any) -> None:
    """Alone, stacked, through a file, with fewer members, alone again: the same weights."""
    alone, mixed = members(), members()
    for one in alone:
        one.advance_to(16)
    for one in mixed:
        one.advance_to(5)
    stack = StackedTrainer(mixed)
    stack.advance_to(9)
    for place, one in enumerate(stack.unstack()):
        save_example_trunk(one, tmp_path / str(place))
    resumed = members()
    for place, one in enumerate(resumed):
        assert load_example_trunk(one, tmp_path / str(place))
    fewer = StackedTrainer([resumed[3], resumed[0]])
    fewer.advance_to(12)
    for one, place in zip(fewer.unstack(), (3, 0), strict=True):
        one.advance_to(16)
        assert_same_weights(one.model, alone[place].model)
        assert one.seconds > 0


def test_bfloat16_members() -> None:
    settings = SETTINGS.model_copy(update={"precision": "bf16"})
    alone = members(settings)
    stack = StackedTrainer(members(settings))
    stack.advance_to(4)
    for mine, other in zip(stack.unstack(), alone, strict=True):
        other.advance_to(4)
        assert mine.losses.smoothed == pytest.approx(other.losses.smoothed, abs=2e-2)


def test_scores_are_those_of_the_members_alone() -> None:
    stack = StackedTrainer(members())
    stack.advance_to(8)
    held_out = [examples(n=15, seed=5), examples(n=15, seed=6)] * 2
    found = stack.scores(held_out)
    for place, one in enumerate(stack.unstack()):
        mine, expected = found[place], one.score(*held_out[place])
        assert isinstance(mine, ExampleScore)
        assert mine.loss == pytest.approx(expected.loss, abs=1e-5)
        assert (mine.micro, mine.macro) == pytest.approx((expected.micro, expected.macro))
        assert mine.batch_macro == pytest.approx(expected.batch_macro)


def test_batch_statistics_are_kept_apart() -> None:
    def make() -> list[ExampleTrainer]:
        settings = [SETTINGS.model_copy(update={"learning_rate": rate}) for rate in (1e-3, 1e-2)]
        return [
            ExampleTrainer(Noisy(seed=i, dropout=0.0), *examples(), each, i)
            for i, each in enumerate(settings)
        ]

    alone, stack = make(), together(make(), stacked=True)
    assert isinstance(stack, StackedTrainer)
    stack.advance_to(9)
    for mine, other in zip(stack.unstack(), alone, strict=True):
        other.advance_to(9)
        assert_same_weights(mine.model, other.model)


def test_a_member_that_comes_apart_leaves_the_others_alone() -> None:
    def sound() -> ExampleTrainer:
        return members(sweep=[(1e-3, 0.0)])[0]

    for one_program in (True, False):
        broken = sound()
        with torch.no_grad():
            broken.model.get_parameter("decay").fill_(math.nan)
        stack = together([broken, sound()], stacked=one_program)
        stack.advance_to(6)
        assert list(stack.diverged) == [0]
        scores = stack.scores([examples()] * 2)
        assert isinstance(scores[0], DivergedError)
        alone = sound()
        alone.advance_to(6)
        assert_same_weights(stack.unstack()[1].model, alone.model)


def test_layers_that_cannot_be_mapped_are_trained_one_by_one() -> None:
    def make() -> list[ExampleTrainer]:
        return [ExampleTrainer(Peeking(), *examples(), SETTINGS, seed) for seed in range(2)]

    with pytest.raises(NotStackableError, match="item"):
        StackedTrainer(make())
    chosen = together(make(), stacked=True)
    assert isinstance(chosen, SeparateTrainers)
    assert "one by one" in chosen.reason
    chosen.advance_to(3)
    assert chosen.step == 3


def test_on_a_cpu_members_train_one_by_one_unless_told() -> None:
    assert isinstance(together(members()), SeparateTrainers)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"settings": SETTINGS.model_copy(update={"batch": 5})}, "settings"),
        ({"model": Mixed(width=4)}, "parameters"),
        ({"model": Mixed(tied=True)}, "parameters"),
        ({"data": examples(n=18)}, "shape of examples"),
    ],
)
def test_members_that_differ_are_refused(change: dict[str, Any], named: str) -> None:
    given = {"settings": SETTINGS, "model": Mixed(), "data": examples(), **change}
    other = ExampleTrainer(given["model"], *given["data"], given["settings"], 0)
    with pytest.raises(ConfigurationError, match=named):
        StackedTrainer([*members(), other])
    ahead = members()
    ahead[1].advance_to(2)
    with pytest.raises(ConfigurationError, match="steps done"):
        StackedTrainer(ahead)
    with pytest.raises(ConfigurationError, match="no trainings"):
        StackedTrainer([])
