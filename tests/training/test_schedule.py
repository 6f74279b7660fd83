"""The learning rate at every step, what the optimizer is given, and where training is given up."""

import math
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from madstar.errors import ConfigurationError
from madstar.tasks import TextTask
from madstar.training import Budget, DivergedError, Trainer, TrainingSettings, evaluate, trainer
from madstar.training.trainer import make_optimizer

from .conftest import SETTINGS, SHARED
from .states import same, state, weights

RATE = SETTINGS.learning_rate


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    """(which optimizer, learning rate) of every step really taken, by all parameter groups alike."""
    taken: list[tuple[int, float]] = []
    optimizers: list[torch.optim.Optimizer] = []

    def watched(model: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
        optimizer = make_optimizer(model, settings)
        number = len(optimizers)
        optimizers.append(optimizer)

        def note(found: torch.optim.Optimizer, *_: object) -> None:
            (rate,) = {group["lr"] for group in found.param_groups}
            taken.append((number, rate))

        optimizer.register_step_pre_hook(note)
        return optimizer

    monkeypatch.setattr(trainer, "make_optimizer", watched)
    return taken


def expected(start: int, total: int, number: int) -> list[tuple[int, float]]:
    """Warm-up over five steps, constant, and on the copy the last fifth down to zero."""
    decay = round(0.2 * total)
    trunk = [(0, RATE * min(1, (step + 1) / 5)) for step in range(start, total - decay)]
    end = [(number, RATE * (1 - i / decay)) for i in range(decay)]
    return trunk + end


def close(found: list[tuple[int, float]], wanted: list[tuple[int, float]]) -> bool:
    return [number for number, _ in found] == [number for number, _ in wanted] and [
        rate for _, rate in found
    ] == pytest.approx([rate for _, rate in wanted], rel=1e-12)


def test_rates_at_every_step_of_two_rungs(
    make: Callable[..., Trainer], rates: list[tuple[int, float]]
) -> None:
    trunk = make()
    trunk.train_to(Budget(20))
    assert close(rates, expected(0, 20, 1))
    assert [rate / RATE for _, rate in rates[:6]] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])
    assert [rate / RATE for _, rate in rates[16:]] == pytest.approx([1, 0.75, 0.5, 0.25])
    rates.clear()
    # The trunk goes on from where decay began; nothing is warmed up again.
    trunk.train_to(Budget(40))
    assert close(rates, expected(16, 40, 2))
    assert len(rates) == 24


def test_a_rung_is_plain_training_by_the_schedule(make: Callable[..., Trainer], task: TextTask) -> None:
    """The same twenty steps in one loop: moments and all go over from the trunk to the copy."""
    model = make().model
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}],
        betas=SETTINGS.betas,
        weight_decay=SETTINGS.weight_decay,
        fused=True,
    )
    for step, (_, rate) in enumerate(expected(0, 20, 1)):
        for group in optimizer.param_groups:
            group["lr"] = rate
        tokens = task.train_batch(step, SETTINGS.batch, 0)
        loss = nn.functional.cross_entropy(model(tokens[:, :-1]).transpose(1, 2), tokens[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), SETTINGS.clip)
        optimizer.step()
    found = weights(make().train_to(Budget(20)).model)
    for name, value in weights(model).items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


def test_warm_up_and_decay_may_overlap(make: Callable[..., Trainer], rates: list[tuple[int, float]]) -> None:
    make().train_to(Budget(4))
    assert [number for number, _ in rates] == [0, 0, 0, 1]
    assert [rate / RATE for _, rate in rates] == pytest.approx([0.2, 0.4, 0.6, 0.8])


def test_without_warm_up_the_first_step_is_at_full_rate(
    make: Callable[..., Trainer], rates: list[tuple[int, float]]
) -> None:
    make(SETTINGS.model_copy(update={"warmup": 0, "decay_fraction": 0.5})).train_to(Budget(6))
    assert [rate / RATE for _, rate in rates] == pytest.approx([1, 1, 1, 1, 2 / 3, 1 / 3])


def test_one_step_is_a_budget(make: Callable[..., Trainer], rates: list[tuple[int, float]]) -> None:
    trunk = make()
    trained = trunk.train_to(Budget(1))
    assert (trained.steps, trunk.step) == (1, 0)
    assert rates == [(1, RATE / 5)]


def test_the_copys_end_leaves_the_trunk_alone(make: Callable[..., Trainer]) -> None:
    trunk = make()
    trunk._advance(16, RATE, 20, None)
    before = state(trunk)
    trained = trunk.train_to(Budget(20))
    assert same(state(trunk), before)
    assert trunk.step == 16
    # The copy is another model, further on, and shares no memory with the trunk.
    assert trained.model is not trunk.model
    decayed = weights(trained.model)
    assert not any(torch.equal(decayed[name], before[f"model {name}"]) for name in decayed)
    held = {value.data_ptr() for value in trunk.model.parameters()}
    assert held.isdisjoint(value.data_ptr() for value in trained.model.parameters())
    # What the trunk's layers share, the copy's share too.
    assert len(list(trained.model.parameters())) == len(list(trunk.model.parameters()))


def test_what_training_reports(make: Callable[..., Trainer]) -> None:
    told: list[tuple[int, int]] = []
    trained = make().train_to(Budget.parse("640 tokens"), lambda step, total: told.append((step, total)))
    assert (trained.steps, trained.tokens) == (20, 640)
    assert told == [(step, 20) for step in range(1, 21)]
    assert trained.seconds > 0
    assert [step for step, _ in trained.curve] == [*range(1, 17), 17, 19]


def test_a_curve_has_about_fifty_points_however_long(make: Callable[..., Trainer], task: TextTask) -> None:
    trunk = make()
    steps = []
    for length in (100, 400, 3000):
        trunk.step, trunk.curve = 0, []
        for step in range(length):
            trunk.step = step
            trunk._check(math.log(2), 1.0)
        steps.append([step for step, _ in trunk.curve])
        assert steps[-1][0] == 1
        assert sorted(set(steps[-1])) == steps[-1]
        assert length - steps[-1][-1] <= length / 8
    assert all(35 <= len(found) <= 80 for found in steps)
    # In bits per byte.
    assert trunk.curve[-1][1] == pytest.approx(1 / task.bytes_per_token)


def test_the_curve_is_smoothed(make: Callable[..., Trainer], task: TextTask) -> None:
    trunk = make()
    smoothed = None
    for step, loss in enumerate([5.0, 4.0, 4.5, 3.0]):
        trunk.step = step
        trunk._check(loss, 1.0)
        smoothed = loss if smoothed is None else 0.9 * smoothed + 0.1 * loss
        assert trunk.curve[-1] == (step + 1, pytest.approx(smoothed / math.log(2)))


def test_matrices_decay_and_vectors_do_not(make: Callable[..., Trainer]) -> None:
    for genome in (SHARED, "51111-81111-91111"):
        trunk = make(genome=genome)
        matrices, vectors = trunk.optimizer.param_groups
        assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.1, 0.0)
        assert all(p.ndim >= 2 for p in matrices["params"])
        assert all(p.ndim < 2 for p in vectors["params"])
        assert vectors["params"]
        given = [id(p) for group in trunk.optimizer.param_groups for p in group["params"]]
        # Every weight once, shared ones too.
        assert len(given) == len(set(given))
        assert set(given) == {id(p) for p in trunk.model.parameters()}
        assert {tuple(group["betas"]) for group in trunk.optimizer.param_groups} == {(0.9, 0.95)}


def test_weight_decay_shrinks_only_what_it_should(make: Callable[..., Trainer]) -> None:
    trunk = make()
    before = {name: p.detach().clone() for name, p in trunk.model.named_parameters()}
    for p in trunk.model.parameters():
        p.grad = torch.zeros_like(p)
    trunk.optimizer.step()
    for name, p in trunk.model.named_parameters():
        kept = before[name] * (1 - RATE * 0.1 if p.ndim >= 2 else 1)
        torch.testing.assert_close(p.detach(), kept)


def test_gradients_are_clipped(make: Callable[..., Trainer]) -> None:
    norms = []
    for clip in (1e-3, 1e9):
        trunk = make(SETTINGS.model_copy(update={"clip": clip}))
        trunk._advance(1, RATE, 1, None)
        norms.append(math.sqrt(sum(p.grad.square().sum().item() for p in trunk.model.parameters())))
    assert norms[0] == pytest.approx(1e-3, rel=1e-2)
    assert norms[1] > 0.1


def test_equal_seeds_train_alike_to_the_bit(make: Callable[..., Trainer]) -> None:
    first, second = make(), make()
    one, two = first.train_to(Budget(12)), second.train_to(Budget(12))
    assert same(state(first), state(second))
    assert same(weights(one.model), weights(two.model))
    assert one.curve == two.curve
    batches, start = make(seed=1).train_to(Budget(12)), make(built=1).train_to(Budget(12))
    for other in (batches, start):
        assert not same(weights(one.model), weights(other.model))
        assert one.curve != other.curve


def test_training_does_not_depend_on_global_seeds(make: Callable[..., Trainer]) -> None:
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(weights(make().train_to(Budget(3)).model))
    assert same(*found)


def test_loss_goes_down_on_real_text(make: Callable[..., Trainer], task: TextTask) -> None:
    settings = SETTINGS.model_copy(update={"batch": 8, "learning_rate": 3e-2})
    trunk = make(settings)
    before = evaluate(trunk.model, task, "valid", batch=16)
    trained = trunk.train_to(Budget(30))
    after = evaluate(trained.model, task, "valid", batch=16)
    # Guessing has 8 bits per byte; the letters' frequencies alone take it below 5.5.
    assert before.bits_per_byte > 7.9
    assert after.bits_per_byte < 5.5
    assert trained.curve[-1][1] < trained.curve[0][1] - 1


@pytest.mark.parametrize("genome", [SHARED, "51111-71111"])
def test_a_rate_far_too_high_diverges(make: Callable[..., Trainer], genome: str) -> None:
    with pytest.raises(DivergedError) as caught:
        make(SETTINGS.model_copy(update={"learning_rate": 1e6}), genome=genome).train_to(Budget(100))
    assert str(caught.value).startswith("diverged at step ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("loss", "norm"), [(math.nan, 1.0), (math.inf, 1.0), (3.0, math.nan), (3.0, math.inf)]
)
def test_what_is_not_finite_diverges_at_once(make: Callable[..., Trainer], loss: float, norm: float) -> None:
    with pytest.raises(DivergedError, match=r"diverged at step 1: loss \S+, gradient norm \S+$"):
        make()._check(loss, norm)


def test_a_loss_far_above_guessing_has_fifty_steps_of_grace(make: Callable[..., Trainer]) -> None:
    trunk = make()
    guessing = math.log(256)
    for step in range(50):
        trunk.step = step
        trunk._check(2 * guessing, 1.0)
    trunk.step = 50
    with pytest.raises(DivergedError, match=r"diverged at step 51: loss 11\.1, guessing has 5\.55"):
        trunk._check(2 * guessing, 1.0)
    trunk._smoothed = guessing
    trunk._check(1.6 * guessing, 1.0)


def test_seconds_end_with_a_decay_like_any_budget(
    make: Callable[..., Trainer], rates: list[tuple[int, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A clock that a twentieth of a second passes on at each look.
    clock = iter(range(10**6))
    monkeypatch.setattr(trainer, "time", SimpleNamespace(monotonic=lambda: next(clock) / 20))
    told: list[tuple[int, int]] = []
    trunk = make()
    trained = trunk.train_to(Budget(2, "seconds"), lambda step, total: told.append((step, total)))
    ends = [rate for number, rate in rates if number == 1]
    assert trained.steps > trunk.step > 0
    assert len(ends) == trained.steps - trunk.step
    assert [rate / RATE for rate in ends] == pytest.approx([1 - i / len(ends) for i in range(len(ends))])
    assert all(number == 0 for number, _ in rates[: trunk.step])
    # Steps are counted on to the total; about a fifth of them is the end.
    assert [step for step, _ in told] == list(range(1, trained.steps + 1))
    assert all(total >= step for step, total in told[trunk.step :])
    assert 0.1 < len(ends) / trained.steps < 0.35


def test_a_real_clock(make: Callable[..., Trainer]) -> None:
    trunk = make()
    trained = trunk.train_to(Budget.parse("0.2s"))
    assert trained.steps > trunk.step > 0
    assert trained.tokens == trained.steps * SETTINGS.tokens_per_step


def test_a_trunk_cannot_go_back(make: Callable[..., Trainer]) -> None:
    trunk = make()
    trunk.train_to(Budget(20))
    before = state(trunk)
    with pytest.raises(ConfigurationError, match="budget 10 steps ends its constant part at step 8"):
        trunk.train_to(Budget(10))
    assert same(state(trunk), before)
    # As far as it has come it may decay again, to the same end.
    assert trunk.train_to(Budget(20)).steps == 20


def test_settings() -> None:
    assert TrainingSettings(batch=3, length=100).tokens_per_step == 300
    for wrong in ({"batch": 0}, {"length": 4}, {"learning_rate": 0}, {"decay_fraction": 1.0}, {"rate": 1}):
        with pytest.raises(ValidationError):
            TrainingSettings(**wrong)


def test_seconds_of_lower_rungs_count(make: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that moves one second a step, 10 s and then 20 s make the steps that 20 s alone make."""
    clock = SimpleNamespace(now=0.0)

    def monotonic() -> float:
        clock.now += 0.5  # read before and after each step of the trunk
        return clock.now

    monkeypatch.setattr(trainer.time, "monotonic", monotonic)
    in_rungs, alone = make(), make()
    in_rungs.train_to(Budget(10, "seconds"))
    first = in_rungs.step
    climbed = in_rungs.train_to(Budget(20, "seconds"))
    straight = alone.train_to(Budget(20, "seconds"))
    assert first < in_rungs.step == alone.step
    assert climbed.steps == straight.steps
