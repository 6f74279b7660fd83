"""From rung to rung: through a file or in one go, the same to the last bit."""

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from madstar.genome import Sizes
from madstar.tasks import TextTask
from madstar.training import Budget, Trainer, checkpoint, load_trunk, load_weights, save_trunk, save_weights

from .conftest import SETTINGS, SHARED, SIZES
from .states import same, state, weights

Make = Callable[..., Trainer]


@pytest.fixture
def trunk_file(make: Make, tmp_path: Path) -> Path:
    """A trunk at step 16, on disk."""
    trunk = make()
    trunk.train_to(Budget(20))
    save_trunk(trunk, tmp_path / "trunk.safetensors")
    return tmp_path / "trunk.safetensors"


@pytest.mark.parametrize("genome", [SHARED, "11112-51111-11112", "14.1.1.1.1-81111"])
def test_rungs_equal_training_straight(make: Make, tmp_path: Path, genome: str) -> None:
    straight = make(genome=genome)
    trained = straight.train_to(Budget(40))

    staged = make(genome=genome)
    staged.train_to(Budget(10))
    staged.train_to(Budget(20))
    assert same(weights(staged.train_to(Budget(40)).model), weights(trained.model))
    assert same(state(staged), state(straight))

    paused = make(genome=genome)
    first = paused.train_to(Budget(20))
    save_trunk(paused, tmp_path / "trunk")
    # Another start, so that what is not restored would show.
    resumed = make(genome=genome, built=7)
    assert load_trunk(resumed, tmp_path / "trunk")
    assert same(state(resumed), state(paused))
    again = resumed.train_to(Budget(20))
    assert same(weights(again.model), weights(first.model))
    assert again.curve == first.curve
    result = resumed.train_to(Budget(40))
    assert same(weights(result.model), weights(trained.model))
    assert same(state(resumed), state(straight))
    assert result.curve == trained.curve


def test_a_trunk_is_saved_before_any_step_too(make: Make, tmp_path: Path) -> None:
    save_trunk(make(), tmp_path / "trunk")
    resumed = make(built=7)
    assert load_trunk(resumed, tmp_path / "trunk")
    assert same(state(resumed), state(make()))
    assert same(
        weights(resumed.train_to(Budget(5)).model),
        weights(make().train_to(Budget(5)).model),
    )


def test_loading_takes_no_memory_of_the_file(make: Make, trunk_file: Path) -> None:
    resumed = make()
    load_trunk(resumed, trunk_file)
    before = state(resumed)
    trunk_file.write_bytes(b"\0" * trunk_file.stat().st_size)
    assert same(state(resumed), before)


def refuses(trainer: Trainer, path: Path) -> bool:
    """False is said and nothing is changed."""
    before = state(trainer)
    refused = load_trunk(trainer, path) is False
    return refused and same(state(trainer), before) and not trainer.optimizer.state


def test_a_missing_or_torn_checkpoint_is_none(make: Make, trunk_file: Path, tmp_path: Path) -> None:
    whole = trunk_file.read_bytes()
    assert refuses(make(), tmp_path / "nowhere")
    assert refuses(make(), tmp_path)
    for kept in (0, 4, 8, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "torn").write_bytes(whole[:kept])
        assert refuses(make(), tmp_path / "torn")
    (tmp_path / "torn").write_bytes(b"not a checkpoint at all, but longer than its header would be")
    assert refuses(make(), tmp_path / "torn")
    (tmp_path / "torn").write_bytes(whole + b"more")
    assert refuses(make(), tmp_path / "torn")
    assert load_trunk(make(), trunk_file)


def test_a_checkpoint_of_another_text_or_seed_is_none(
    make: Make, trunk_file: Path, other_task: TextTask
) -> None:
    assert refuses(make(on=other_task), trunk_file)
    assert refuses(make(seed=1), trunk_file)


@pytest.mark.parametrize(
    "change", [{"learning_rate": 2e-2}, {"batch": 3}, {"warmup": 6}, {"weight_decay": 0.0}, {"clip": 2.0}]
)
def test_a_checkpoint_of_other_settings_is_none(make: Make, trunk_file: Path, change: dict[str, Any]) -> None:
    assert refuses(make(SETTINGS.model_copy(update=change)), trunk_file)


def test_settings_that_do_not_train_may_differ(make: Make, trunk_file: Path) -> None:
    for change in ({"validation_windows": 16}, {"evaluation_batch": 1}, {"decay_fraction": 0.1}):
        assert load_trunk(make(SETTINGS.model_copy(update=change)), trunk_file)


@pytest.mark.parametrize(
    "other",
    [
        # Other names; fewer; the same names at another width; the same names and shapes.
        {"genome": "21211-91111-51111"},
        {"genome": "21211-91111"},
        {"genome": "21211-91111-22221"},
        {"sizes": Sizes(vocabulary_size=256, width=32, heads=2, window=4)},
        {"genome": "101.1.2.1.1-91111-101.1.2.2.1/o101=22133"},
    ],
    ids=str,
)
def test_a_checkpoint_of_another_architecture_is_none(
    make: Make, trunk_file: Path, other: dict[str, Any]
) -> None:
    assert refuses(make(**other), trunk_file)


def rewritten(path: Path, to: Path, drop: str = "", **changed: str) -> Path:
    """A checkpoint less the tensors whose name begins so, and with other metadata."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() | changed
    tensors = {
        name: value for name, value in load_file(path).items() if not drop or not name.startswith(drop)
    }
    save_file(tensors, to, metadata)
    return to


def test_a_checkpoint_that_lacks_something_is_none(make: Make, trunk_file: Path, tmp_path: Path) -> None:
    for drop in (
        "optimizer",
        "optimizer.step",
        "optimizer.exp_avg_sq",
        "model",
        "model.embedding.weight",
        "optimizer.exp_avg.embedding.weight",
    ):
        assert refuses(make(), rewritten(trunk_file, tmp_path / "changed", drop))
    for changed in ({"step": "many"}, {"smoothed": "x"}, {"curve": "["}, {"curve": "[1]"}, {"step": "-1"}):
        assert refuses(make(), rewritten(trunk_file, tmp_path / "changed", **changed))
    bare = tmp_path / "bare"
    save_file({"weight": torch.zeros(3)}, bare)
    assert refuses(make(), bare)
    assert load_trunk(make(), rewritten(trunk_file, tmp_path / "unchanged"))


def test_the_file_is_whole_or_the_old_one(
    make: Make, trunk_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = trunk_file.read_bytes()
    trunk = make()
    trunk.train_to(Budget(40))

    def full_disk(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
        Path(path).write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_trunk(trunk, trunk_file)
    assert trunk_file.read_bytes() == before
    assert os.listdir(trunk_file.parent) == [trunk_file.name]
    monkeypatch.undo()
    save_trunk(trunk, trunk_file)
    assert trunk_file.read_bytes() != before
    assert os.listdir(trunk_file.parent) == [trunk_file.name]


def test_the_file_appears_only_by_renaming(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed = []

    def replace(source: Path, target: Path) -> None:
        # By now the other name holds all of it, and the folder has been made.
        assert not target.exists()
        assert source.parent == target.parent
        assert load_file(source)
        renamed.append(target)
        os.rename(source, target)

    monkeypatch.setattr(checkpoint.os, "replace", replace)
    save_trunk(make(), tmp_path / "new" / "folder" / "trunk")
    save_weights(make().model, tmp_path / "weights")
    assert [path.name for path in renamed] == ["trunk", "weights"]


def test_equal_trunks_are_equal_files(make: Make, tmp_path: Path) -> None:
    for name in ("one", "two"):
        trunk = make()
        trunk.train_to(Budget(5))
        save_trunk(trunk, tmp_path / name)
    assert load_file(tmp_path / "one").keys() == load_file(tmp_path / "two").keys()
    one, two = load_file(tmp_path / "one"), load_file(tmp_path / "two")
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("genome", [SHARED, "11112-11112-11112", "51111-91111"])
def test_weights_there_and_back(make: Make, tmp_path: Path, task: TextTask, genome: str) -> None:
    trained = make(genome=genome).train_to(Budget(3)).model
    save_weights(trained, tmp_path / "weights")
    stored = load_file(tmp_path / "weights")
    # Shared weights are stored once, and shared still when they are read.
    assert set(stored) == {name for name, _ in trained.named_parameters()}
    fresh = make(genome=genome, built=9).model
    load_weights(fresh, tmp_path / "weights")
    assert same(weights(fresh), weights(trained))
    tokens = task.train_batch(0, 2, 0)
    assert torch.equal(fresh(tokens), trained(tokens))
    for ours, theirs in zip(fresh.parameters(), make(genome=genome).model.parameters(), strict=True):
        assert ours.shape == theirs.shape


def test_tied_weights(make: Make, tmp_path: Path) -> None:
    sizes = Sizes(vocabulary_size=256, width=16, heads=2, tied=True)
    model = make(sizes=sizes).model
    save_weights(model, tmp_path / "weights")
    fresh = make(sizes=sizes, built=3).model
    load_weights(fresh, tmp_path / "weights")
    assert same(weights(fresh), weights(model))


def test_weights_that_do_not_fit(make: Make, tmp_path: Path) -> None:
    save_weights(make().model, tmp_path / "weights")
    wide = Sizes(vocabulary_size=256, width=32, heads=2, window=4)
    small = Sizes(vocabulary_size=1, width=16, heads=2, window=4)
    for other in ({"genome": "51111-91111"}, {"sizes": wide}, {"sizes": small}):
        model = make(**other).model
        before = weights(model)
        with pytest.raises(SafetensorError):
            load_weights(model, tmp_path / "weights")
        assert same(weights(model), before)
    # One row would be spread over many.
    save_weights(make(sizes=small).model, tmp_path / "weights")
    with pytest.raises(SafetensorError):
        load_weights(make().model, tmp_path / "weights")
    with pytest.raises(OSError):
        load_weights(make().model, tmp_path / "nowhere")
    (tmp_path / "weights").write_bytes(b"torn")
    with pytest.raises(SafetensorError):
        load_weights(make().model, tmp_path / "weights")
    assert SIZES.width == 16


def test_a_later_rung_costs_only_what_is_new(make: Make) -> None:
    """Budgets 100, 200, 400, 800 together cost 940 steps."""
    budgets = [100, 200, 400, 800]
    ends = [0, *(budget - make()._decay_steps(budget) for budget in budgets)]
    trunk = sum(end - start for start, end in pairwise(ends))
    assert trunk + sum(make()._decay_steps(budget) for budget in budgets) == 940
