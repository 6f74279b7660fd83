"""mad-lab's benchmark layout: names, files, and what may be wrong with them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from madstar.errors import OutputError, TaskError
from madstar.tasks.mechanistic import (
    IGNORE,
    Setting,
    find_task,
    generate,
    protocol_settings,
    read_layout,
    task_settings,
    write_layout,
)
from madstar.tasks.mechanistic.layout import directory_name, parse_directory_name

RECALL = "t-CR_vs-16_sl-128_ntr-12800_nte-1280_km-1_vm-1_mq-1_fn-0#0_nvs-0_ntc-0_s-12345"


def small(setting: Setting) -> Setting:
    return setting.changed(train_examples=4, test_examples=3)


def test_names_are_mad_labs() -> None:
    names = {
        directory_name(task_settings(task)[0], 12345)
        for task in ("in-context-recall", "noisy-in-context-recall", "fuzzy-in-context-recall")
    } | {directory_name(task_settings("selective-copying")[-1], 7)}
    assert names == {
        RECALL,
        "t-NR_vs-32_sl-128_ntr-12800_nte-1280_km-1_vm-1_mq-1_fn-0#2_nvs-16_ntc-0_s-12345",
        "t-FR_vs-16_sl-128_ntr-12800_nte-1280_km-3_vm-3_mq-1_fn-0#0_nvs-0_ntc-0_s-12345",
        "t-SC_vs-16_sl-256_ntr-12800_nte-1280_km-1_vm-1_mq-1_fn-0#0_nvs-0_ntc-96_s-7",
    }


@pytest.mark.parametrize("setting", protocol_settings(), ids=lambda s: f"{s.task} {s.name}")
def test_names_are_read_back(setting: Setting) -> None:
    found, seed = parse_directory_name(directory_name(setting, 12345))
    assert (found, found.name, seed) == (setting, setting.name, 12345)


def test_other_settings_are_named_by_their_differences() -> None:
    setting = task_settings("in-context-recall")[0].changed(vocabulary_size=20, multi_query=False)
    found, _ = parse_directory_name(directory_name(setting, 0))
    assert found == setting
    assert found.name == "vocabulary_size=20,multi_query=false"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("_sl-128", "", "lacks sl-"),
        ("t-CR", "t-XY", "unknown task 'XY'"),
        ("vs-16", "vs-many", "vs-many is no number"),
        ("vs-16", "vs-16#5", "no whole number"),
        ("sl-128", "sl-127", "even length"),
        ("s-12345", "s-", "s- is no number"),
    ],
)
def test_names_that_are_wrong(old: str, new: str, said: str) -> None:
    with pytest.raises(TaskError, match=said):
        parse_directory_name(RECALL.replace(old, new))


@pytest.mark.parametrize("compatible", [False, True])
def test_what_is_written_is_read(tmp_path: Path, compatible: bool) -> None:
    settings = [small(each) for each in protocol_settings() if "train_examples" not in each.name][::4]
    places = write_layout(tmp_path / "data", settings, 9, compatible)
    assert sorted(places) == sorted((tmp_path / "data").iterdir())
    stored = {each.setting: each for each in read_layout(tmp_path / "data")}
    assert set(stored) == set(settings)
    for setting in settings:
        assert stored[setting].seed == 9
        for split in ("train", "test"):
            for ours, theirs in zip(
                generate(setting, split, 9, compatible), stored[setting].examples(split), strict=True
            ):
                columns = theirs.shape[1]
                assert np.array_equal(ours[:, :columns], theirs)
                cut = setting.task in ("in-context-recall", "noisy-in-context-recall")
                assert columns == setting.length - cut
                assert isinstance(theirs, np.memmap)


def test_one_setting_alone_is_read(tmp_path: Path) -> None:
    (place,) = write_layout(tmp_path, [small(task_settings("memorization")[0])], 0)
    assert [each.directory for each in read_layout(place)] == [place]


def test_nothing_is_written_where_something_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = small(task_settings("compression")[0])
    with pytest.raises(TaskError, match="layout holds"):
        write_layout(tmp_path, [good, task_settings("mqar")[0]], 0)
    with pytest.raises(TaskError, match="given twice"):
        write_layout(tmp_path, [good, good], 0)
    assert not list(tmp_path.iterdir())
    write_layout(tmp_path, [good], 0)
    with pytest.raises(OutputError, match="is there already"):
        write_layout(tmp_path, [small(task_settings("memorization")[0]), good], 0)
    assert len(list(tmp_path.iterdir())) == 1

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OutputError, match="the disk is full"):
        write_layout(tmp_path, [good], 1)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.fixture
def place(tmp_path: Path) -> Path:
    setting = find_task("in-context-recall").setting(
        vocabulary_size=8, length=8, train_examples=5, test_examples=5
    )
    return write_layout(tmp_path, [setting], 0)[0]


def test_arrays_of_the_whole_length_are_read_too(place: Path) -> None:
    for split in ("train", "test"):
        for name in ("inputs", "targets"):
            np.save(place / split / f"{name}.npy", np.ones((5, 8), dtype=np.int32))
    assert read_layout(place)[0].examples("test").inputs.shape == (5, 8)


def test_files_that_are_wrong(place: Path) -> None:
    inputs, targets = place / "test" / "inputs.npy", place / "test" / "targets.npy"
    kept = np.load(inputs)

    def refused(said: str) -> None:
        with pytest.raises(TaskError, match=said) as caught:
            read_layout(place.parent)[0].examples("test")
        assert "\n" not in str(caught.value)
        np.save(inputs, kept)

    np.save(inputs, kept[:4])
    refused("must agree")
    np.save(inputs, np.array([{}], dtype=object), allow_pickle=True)
    refused("no array of whole numbers")
    np.save(inputs, kept.astype(float))
    refused("save an integer array")
    inputs.write_bytes(b"not an array")
    refused("no array")
    inputs.write_bytes(b"")
    refused("no array")
    np.save(inputs, kept + 8)
    refused("the vocabulary is 0 to 7")
    np.save(inputs, kept - 8)
    refused("tokens from -")
    np.save(targets, np.full_like(kept, -1))
    refused(f"neither a token .* nor {IGNORE}")
    for name in (inputs, targets):
        np.save(name, kept[:3])
    refused("must agree|directory's name says 5 examples")
    for split in ("train", "test"):
        shutil.rmtree(place / split)
        refused_missing = pytest.raises(TaskError, match="missing")
        with refused_missing:
            read_layout(place.parent)
        (place / split).mkdir()


def test_folders_that_are_wrong(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="no such directory"):
        read_layout(tmp_path / "none")
    with pytest.raises(TaskError, match="holds no settings"):
        read_layout(tmp_path)
