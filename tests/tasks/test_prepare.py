import errno
import gzip
import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from madstar.errors import ConfigurationError, DataError, OutputError
from madstar.tasks import TextTask, prepare_text, spool
from madstar.tasks.split import SPLITS

FILES = ["manifest.json", "test.bin", "train.bin", "valid.bin"]


def split_text(task: TextTask, split: str) -> bytes:
    return (task.directory / f"{split}.bin").read_bytes()


def all_documents(task: TextTask) -> list[bytes]:
    return sorted(text for split in SPLITS for text in split_text(task, split).split(b"\0") if text)


@pytest.mark.parametrize("kind", [".jsonl", ".parquet", ".jsonl.gz", ".parquet.gz"])
def test_every_document_lands_whole_in_one_split(kind, tmp_path, write, prose):
    documents = [prose(300 + 10 * i, i) for i in range(100)]
    task = prepare_text(write(tmp_path / f"a{kind}", documents), directory=tmp_path / "out", length=32)
    assert all_documents(task) == sorted(text.encode() for text in documents)
    assert sorted(path.name for path in task.directory.iterdir()) == FILES
    manifest = task.manifest
    assert manifest.source.documents == manifest.source.units == 100
    for split in SPLITS:
        counts, content = manifest.splits[split], split_text(task, split)
        assert counts.tokens == counts.bytes == len(content)
        assert counts.documents == content.count(b"\0")
    total = sum(counts.tokens for counts in manifest.splits.values())
    shares = [manifest.splits[split].tokens / total for split in SPLITS]
    np.testing.assert_allclose(shares, [0.9, 0.05, 0.05], atol=0.01)


def test_one_long_file_is_cut_at_line_ends_and_its_neighbours_joined_again(tmp_path, write, prose):
    text = prose(20_000)
    task = prepare_text(write(tmp_path / "a.txt", [text]), directory=tmp_path / "out", length=256)
    assert task.manifest.source.documents == 1
    assert task.manifest.source.units > 20
    assert task.window_count("valid") >= 8
    assert task.window_count("test") >= 8
    pieces = all_documents(task)
    assert len(pieces) < task.manifest.source.units  # pieces in a row have no end of document between them
    assert all(piece.endswith(b"\n") for piece in pieces if not text.encode().endswith(piece))
    assert sum(map(len, pieces)) == len(text)
    for piece in pieces:
        assert piece.decode() in text


def test_a_tokenizer_is_kept_beside_and_used(tmp_path, write, prose, tokenizer_file):
    data = write(tmp_path / "a.txt", [prose(60_000)])
    task = prepare_text(data, directory=tmp_path / "out", tokenizer=tokenizer_file, length=64)
    assert sorted(path.name for path in task.directory.iterdir()) == sorted([*FILES, "tokenizer.json"])
    assert task.manifest.dtype == "<u2"
    assert task.vocabulary_size <= 400
    valid = np.fromfile(task.directory / "valid.bin", dtype="<u2")
    text = task.decode(valid.tolist()).replace("<|endoftext|>", "\0")
    assert len(text.encode()) == task.manifest.splits["valid"].bytes
    assert task.bytes_per_token == pytest.approx(len(text.encode()) / len(valid))
    assert task.bytes_per_token > 1
    again = TextTask.open(tmp_path / "out")
    assert again.decode(again.encode("the state ☕")) == "the state ☕"
    assert again.fingerprint == task.fingerprint


def test_preparing_is_a_function_of_text_seed_length_and_tokenizer(tmp_path, write, prose, tokenizer_file):
    data = write(tmp_path / "corpus" / "a.jsonl", [prose(400, i) for i in range(200)])

    def made(name: str, **changed) -> TextTask:
        return prepare_text(data, directory=tmp_path / name, **{"length": 32, "seed": 1} | changed)

    first = made("first")
    same = made("same")
    assert first.manifest == same.manifest
    assert [split_text(first, split) for split in SPLITS] == [split_text(same, split) for split in SPLITS]
    others = [made("seed", seed=2), made("length", length=33), made("tokens", tokenizer=tokenizer_file)]
    assert len({task.fingerprint for task in [first, *others]}) == 4
    assert all_documents(first) == all_documents(others[0])
    assert split_text(first, "valid") != split_text(others[0], "valid")


def test_copies_land_in_one_split_and_file_order_decides_nothing(tmp_path, write, prose):
    documents = [prose(500, i) for i in range(60)]
    for name in ("a", "b", "c"):
        write(tmp_path / "corpus" / f"{name}.jsonl", documents)
    task = prepare_text(tmp_path / "corpus", directory=tmp_path / "out", length=32)
    for text in documents:
        assert sorted(split_text(task, split).count(text.encode()) for split in SPLITS) == [0, 0, 3]
    assert not any(split.excluded for split in task.manifest.leakage.splits.values())
    turned = write(tmp_path / "turned.jsonl", documents[::-1] * 3)
    other = prepare_text(turned, directory=tmp_path / "other", length=32)
    for split in SPLITS:
        assert sorted(split_text(task, split).split(b"\0")) == sorted(split_text(other, split).split(b"\0"))


def test_copied_passages_are_reported_and_left_out(tmp_path, write, prose):
    shared = prose(300, 999)
    documents = [prose(400, i) + (shared if i % 3 == 0 else "") for i in range(300)]
    task = prepare_text(write(tmp_path / "a.jsonl", documents), directory=tmp_path / "out", length=32)
    train = split_text(task, "train")
    known = {train[i : i + 32] for i in range(len(train) - 31)}
    for split in ("valid", "test"):
        content, report = split_text(task, split), task.manifest.leakage.splits[split]
        starts = range(0, len(content) - 32, 33)
        leaked = [s for s in starts if {content[s : s + 32], content[s + 1 : s + 33]} & known]
        assert list(report.excluded) == leaked
        assert 0 < len(leaked) < report.windows == len(starts)
        assert 0 < report.ngram_share < 1
        shown = [bytes(row.tolist()) for batch in task.windows(split, 7) for row in batch]
        assert shown == [content[s : s + 33] for s in starts if s not in leaked]


def test_the_same_inputs_are_not_read_again(tmp_path, write, prose, monkeypatch):
    data = write(tmp_path / "a.txt", [prose(20_000)])
    first = prepare_text(data, directory=tmp_path / "out", length=32)
    with monkeypatch.context() as patch:
        patch.setattr("madstar.tasks.prepare._build", None)
        assert prepare_text(data, directory=tmp_path / "out", length=32).manifest == first.manifest
    (tmp_path / "out" / "train.bin").write_bytes(b"cut short")
    assert prepare_text(data, directory=tmp_path / "out", length=32).manifest == first.manifest
    longer = prepare_text(data, directory=tmp_path / "out", length=40)
    assert longer.length == TextTask.open(tmp_path / "out").length == 40
    write(data, [prose(20_000, 5)])
    os.utime(data, ns=(0, 0))
    assert prepare_text(data, directory=tmp_path / "out", length=40).fingerprint != longer.fingerprint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "out"]


def test_other_peoples_folders_are_left_alone(tmp_path, write, prose):
    data = write(tmp_path / "a.txt", [prose(20_000)])
    precious = write(tmp_path / "precious" / "thesis.txt", ["words"])
    with pytest.raises(DataError, match=r"not a prepared text \(thesis.txt\)"):
        prepare_text(data, directory=tmp_path / "precious", length=32)
    assert precious.read_text() == "words"
    prepare_text(data, directory=tmp_path / "out", length=32)
    (tmp_path / "out" / "notes.md").write_text("mine")
    with pytest.raises(DataError, match=r"'notes.md' would be lost"):
        prepare_text(data, directory=tmp_path / "out", length=33)
    assert (tmp_path / "out" / "notes.md").read_text() == "mine"
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "manifest.json").write_text('{"format": "something else"}')
    with pytest.raises(DataError, match="not a prepared text"):
        prepare_text(data, directory=foreign, length=32)
    (tmp_path / "empty").mkdir()
    assert prepare_text(data, directory=tmp_path / "empty", length=32).length == 32


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied"), "cannot be written to"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
    ],
)
def test_a_failing_disk_leaves_nothing(raised, words, tmp_path, write, prose, monkeypatch):
    data = write(tmp_path / "a.txt", [prose(20_000)])
    before = prepare_text(data, directory=tmp_path / "out", length=32).manifest

    def full(*_args, **_kwargs):
        raise raised

    monkeypatch.setattr(spool.np, "fromfile", full)
    with pytest.raises(OutputError, match=words) as caught:
        prepare_text(data, directory=tmp_path / "out", length=33)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "out"]
    assert TextTask.open(tmp_path / "out").manifest == before


def test_an_interruption_leaves_nothing(tmp_path, write, prose):
    data = write(tmp_path / "a.txt", [prose(3_000_000)])

    def stop(_read: int, _total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_text(data, directory=tmp_path / "out", progress=stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt"]


def test_a_file_in_the_way_is_an_output_error(tmp_path, write, prose):
    data = write(tmp_path / "a.txt", [prose(20_000)])
    for place in (data, data / "below"):
        with pytest.raises(OutputError):
            prepare_text(data, directory=place, length=32)
    assert data.read_text() == prose(20_000)


def test_a_quicker_process_with_the_same_text_wins(tmp_path, write, prose, monkeypatch):
    data = write(tmp_path / "a.txt", [prose(2_000_000)])
    began = False

    def other(_read: int, _total: int | None) -> None:
        nonlocal began
        if not began:
            began = True
            prepare_text(data, directory=tmp_path / "out", length=32)

    task = prepare_text(data, directory=tmp_path / "out", length=32, progress=other)
    assert began
    assert task.manifest == TextTask.open(tmp_path / "out").manifest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "out"]


@pytest.mark.parametrize(
    ("text", "length", "words"),
    [
        ("", 32, "empty, no text"),
        ("short", 32, r"too short, 5 tokens where a length of 32 needs 1,320; .* too little for any length"),
        (
            "x y z\n" * 1000,
            256,
            r"too short, 6,000 tokens .* needs 10,280; give more text, or a length of at most 149",
        ),
        ("again and again\n" * 5000, 32, "cannot be split, 0 tokens are left for valid"),
    ],
)
def test_text_that_is_too_little_is_refused(text, length, words, tmp_path, write):
    data = write(tmp_path / "a.txt", [text])
    with pytest.raises(DataError, match=words) as caught:
        prepare_text(data, directory=tmp_path / "out", length=length)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt"]


def test_the_length_advised_is_enough(tmp_path, write, prose):
    data = write(tmp_path / "a.txt", [prose(6000)])
    task = prepare_text(data, directory=tmp_path / "out", length=149)
    assert task.window_count("valid") >= 8
    assert task.window_count("train") >= 8


def test_text_that_is_all_copies_with_small_changes_is_refused(tmp_path, write, prose):
    line = prose(100)
    data = write(tmp_path / "a.jsonl", [f"{i}{line * 2}" for i in range(60)])
    with pytest.raises(DataError, match=r"repeats itself too much, \d+ of \d+ valid windows"):
        prepare_text(data, directory=tmp_path / "out", length=32)


def test_impossible_settings_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="length is 0"):
        prepare_text(directory=tmp_path / "out", length=0)
    with pytest.raises(ConfigurationError, match="seed is -1"):
        prepare_text(directory=tmp_path / "out", seed=-1)


def test_a_tokenizer_that_finds_nothing_is_refused(tmp_path, write, prose):
    from tokenizers import Tokenizer, models

    Tokenizer(models.BPE({"☕": 0}, [])).save(str(tmp_path / "tokenizer.json"))
    data = write(tmp_path / "a.txt", [prose(9000)])
    with pytest.raises(DataError, match="finds no token in it"):
        prepare_text(data, directory=tmp_path / "out", tokenizer=tmp_path / "tokenizer.json", length=8)


@pytest.mark.parametrize("kind", [".txt", ".jsonl.gz"])
def test_memory_does_not_grow_with_the_text(kind, tmp_path, prose):
    size = 30_000_000
    block = prose(1_000_000)
    path = tmp_path / f"a{kind}"
    with gzip.open(path, "wt", compresslevel=1) if kind.endswith(".gz") else path.open("w") as out:
        for i in range(size // len(block)):
            text = block[i * 1000 :] + block[: i * 1000]
            if kind == ".txt":
                out.write(text)
            else:
                for at in range(0, len(text), 10_000):
                    out.write(json.dumps({"text": text[at : at + 10_000]}) + "\n")
    del text, block
    tracemalloc.start()
    try:
        task = prepare_text(path, directory=tmp_path / "out", length=1024)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(counts.tokens for counts in task.manifest.splits.values()) >= size
    assert peak < size / 4


def test_built_in_texts_are_prepared_and_measured_fairly(tmp_path):
    task = prepare_text(directory=tmp_path / "reference")
    assert task.manifest.splits["train"].tokens > 100_000
    for split in ("valid", "test"):
        report = task.manifest.leakage.splits[split]
        assert report.windows - len(report.excluded) == task.window_count(split) >= 8
        assert len(report.excluded) < 0.1 * report.windows
        assert report.ngram_share < 0.1


def test_the_bins_are_little_endian_whatever_writes_them(tmp_path, write, prose, tokenizer_file):
    data = write(tmp_path / "a.txt", ["the state of the model " + prose(30_000)])
    task = prepare_text(data, directory=tmp_path / "out", tokenizer=tokenizer_file, length=32)
    raw = Path(tmp_path / "out" / "train.bin").read_bytes()
    tokens = [raw[i] + 256 * raw[i + 1] for i in range(0, 66, 2)]
    assert tokens == next(task.windows("train", 1))[0].tolist()
