import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from madstar.errors import ConfigurationError, DataError
from madstar.tasks import TextTask, prepare_text

LENGTH = 24


@pytest.fixture(scope="module")
def task(tmp_path_factory) -> TextTask:
    root = tmp_path_factory.mktemp("task")
    rng = np.random.default_rng(2)
    words = ["".join(chr(97 + c) for c in rng.integers(0, 26, 5)) for _ in range(500)]
    lines = (" ".join(words[i] for i in rng.integers(0, 500, 8)) for _ in range(1000))
    (root / "a.txt").write_text("\n".join(lines))
    return prepare_text(root / "a.txt", directory=root / "out", length=LENGTH)


def stored(task: TextTask, split: str) -> bytes:
    return (task.directory / f"{split}.bin").read_bytes()


@settings(max_examples=50)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(0, 2**40))
def test_a_training_batch_is_a_function_of_step_batch_and_seed(task, step, batch, seed):
    windows = task.train_batch(step, batch, seed)
    assert windows.dtype == torch.int64
    assert windows.shape == (batch, LENGTH + 1)
    again = TextTask.open(task.directory)
    again.train_batch(step + 1, batch, seed)
    assert torch.equal(again.train_batch(step, batch, seed), windows)
    train = stored(task, "train")
    assert all(bytes(row) in train for row in windows.tolist())


def test_batches_differ_between_steps_and_seeds(task):
    batches = [task.train_batch(step, 4, seed) for step in range(4) for seed in range(4)]
    assert len({tuple(batch.flatten().tolist()) for batch in batches}) == 16


def test_training_windows_start_everywhere(tmp_path, prose):
    (tmp_path / "a.txt").write_text(prose(2000))
    small = prepare_text(tmp_path / "a.txt", directory=tmp_path / "out", length=16)
    train = stored(small, "train")
    rows = {bytes(row) for row in small.train_batch(0, 40_000, 0).tolist()}
    assert rows == {train[i : i + 17] for i in range(len(train) - 16)}


@settings(max_examples=60)
@given(st.sampled_from(["train", "valid", "test"]), st.integers(1, 50), st.none() | st.integers(1, 400))
def test_windows_are_fixed_and_do_not_overlap(task, split, batch, limit):
    batches = list(task.windows(split, batch, limit))
    count = task.window_count(split)
    wanted = count if limit is None else min(limit, count)
    assert [len(part) for part in batches[:-1]] == [batch] * (len(batches) - 1)
    assert 1 <= len(batches[-1]) <= batch
    rows = [bytes(row) for part in batches for row in part.tolist()]
    assert len(rows) == wanted
    assert all(part.dtype == torch.int64 and part.shape[1] == LENGTH + 1 for part in batches)
    content = stored(task, split)
    excluded = task.manifest.leakage.splits[split].excluded if split != "train" else ()
    starts = [s for s in range(0, len(content) - LENGTH, LENGTH + 1) if s not in excluded]
    assert len(starts) == count
    chosen = [starts[i * count // wanted] for i in range(wanted)]
    assert rows == [content[s : s + LENGTH + 1] for s in chosen]


def test_a_limit_spreads_over_the_split(task):
    content = stored(task, "train")
    few = [bytes(row) for part in task.windows("train", 3, limit=5) for row in part.tolist()]
    places = [content.index(row) / len(content) for row in few]
    np.testing.assert_allclose(places, [0, 0.2, 0.4, 0.6, 0.8], atol=0.01)


def test_it_says_what_it_is(task):
    assert task.vocabulary_size == 256
    assert task.length == LENGTH
    assert task.bytes_per_token == 1.0
    assert task.description.startswith("a.txt, as bytes, ")
    assert len(task.fingerprint) == 64
    with pytest.raises(dataclasses.FrozenInstanceError):
        task.directory = Path()


def test_text_and_tokens(task):
    assert task.encode("hé") == [104, 195, 169]
    assert task.decode(torch.tensor([104, 195, 169])) == "hé"
    assert task.decode([195]) == "\ufffd"
    with pytest.raises(ConfigurationError, match="token 256 is outside the vocabulary of 256"):
        task.decode([1, 256])
    with pytest.raises(DataError, match="not valid Unicode"):
        task.encode("\ud800")


def test_impossible_requests_are_refused(task):
    for call, words in (
        (lambda: task.train_batch(-1, 1, 0), "step is -1"),
        (lambda: task.train_batch(0, 0, 0), "batch is 0"),
        (lambda: task.train_batch(0, 1, -5), "seed is -5"),
        (lambda: task.windows("valid", 0), "batch is 0"),
        (lambda: task.windows("valid", 1, limit=0), "limit is 0"),
        (lambda: task.windows("held", 1), "no split 'held'; there are train, valid, test"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            call()


def broken(task: TextTask, place: Path, **changed) -> Path:
    place.mkdir()
    for path in task.directory.iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((place / "manifest.json").read_text()) | changed
    (place / "manifest.json").write_text(json.dumps(manifest))
    return place


def test_damaged_folders_are_refused(task, tmp_path):
    for number, (changed, words) in enumerate(
        [
            ({"version": 99}, "version 99, not 1"),
            ({"format": "other"}, "not the manifest of a prepared text"),
            ({"splits": {}}, "corrupt"),
            ({"splits": {"train": 3}}, "corrupt"),
            ({"leakage": None}, "corrupt"),
            ({"unheard": 1}, "corrupt"),
            ({"dtype": "nonsense"}, "damaged"),
        ]
    ):
        with pytest.raises(DataError, match=words):
            TextTask.open(broken(task, tmp_path / str(number), **changed))
    place = broken(task, tmp_path / "more")
    (place / "valid.bin").write_bytes(b"short")
    with pytest.raises(DataError, match=r"valid.bin: holds 5 tokens"):
        TextTask.open(place)
    (place / "valid.bin").unlink()
    with pytest.raises(DataError, match=r"valid.bin: missing"):
        TextTask.open(place)
    (place / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="corrupt"):
        TextTask.open(place)
    with pytest.raises(DataError, match="no prepared text here"):
        TextTask.open(tmp_path / "nowhere")
