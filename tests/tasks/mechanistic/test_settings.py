"""Settings as data, the catalogue, tasks by name, and those of users."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madstar import plugins
from madstar.errors import LayerError, TaskError
from madstar.tasks.mechanistic import (
    PROTOCOL_TASKS,
    TASKS,
    Setting,
    catalogue,
    find_task,
    generate,
    known_tasks,
    load_settings,
    protocol_settings,
    task_settings,
)
from madstar.tasks.mechanistic import registry as registry_room

COUNTS = dict(zip(PROTOCOL_TASKS, (11, 11, 14, 13, 11, 6), strict=True))


def test_the_protocol_has_66_settings() -> None:
    settings = protocol_settings()
    assert len(settings) == 66
    assert {task: sum(each.task == task for each in settings) for task in PROTOCOL_TASKS} == COUNTS
    assert len({each.key for each in settings}) == len(set(settings)) == 66
    assert len({(each.task, each.name) for each in settings}) == 66
    for task in PROTOCOL_TASKS:
        first, *others = task_settings(task)
        assert first.name == "baseline"
        varied = {each.name.partition("=")[0] for each in others}
        assert varied == set(find_task(task).varied)


def test_some_of_the_published_settings() -> None:
    found = catalogue("selective-copying")
    assert found.named("tokens_to_copy=96")["tokens_to_copy"] == 96
    assert found.named("length=1024").length == 1024
    assert found.named("baseline") == found.settings[0]
    assert (found.settings[0].vocabulary_size, found.settings[0].length) == (16, 256)
    assert task_settings("memorization")[0].train_examples == 256
    assert [(each.length, each["pairs"]) for each in task_settings("mqar")] == [
        (64, 4),
        (128, 8),
        (256, 16),
        (512, 64),
    ]
    with pytest.raises(TaskError, match="did you mean length=512"):
        found.named("length=513")


@pytest.mark.parametrize("task", TASKS)
def test_levels_are_settings_that_can_be_generated(task: str) -> None:
    everything = task_settings(task)
    for level in ("quick", "standard"):
        chosen = task_settings(task, level)
        assert 1 <= len(chosen) <= len(everything)
        assert len({each.key for each in chosen}) == len(chosen)
        for setting in chosen:
            assert find_task(task).checked(setting) == setting
            assert setting.train_examples <= everything[0].train_examples
    assert task_settings(task, "full") == everything


def test_a_setting_round_trips_and_its_key_is_stable() -> None:
    for setting in (*protocol_settings(), *task_settings("mqar")):
        again = Setting.from_dict(json.loads(json.dumps(setting.to_dict())))
        assert again == setting
        assert (again.name, again.key, hash(again)) == (setting.name, setting.key, hash(setting))
    baseline = task_settings("in-context-recall")[0]
    assert baseline.key == "5f7a33cd3a300d4b"


@given(st.sampled_from(protocol_settings()), st.integers(2, 100))
def test_changes_change_the_key_and_names_do_not(setting: Setting, count: int) -> None:
    other = setting.changed(train_examples=count * 2)
    assert (other.key == setting.key) == (other == setting)
    assert other.name.endswith(f"train_examples={count * 2}")
    again = other.changed(train_examples=setting.train_examples)
    assert again == setting
    assert again.key == setting.key
    assert again.name != setting.name


def test_equal_settings_have_one_key() -> None:
    one = find_task("compression").setting(vocabulary_size=16, length=8, train_examples=4, noise_fraction=0)
    other = find_task("compression").setting(vocabulary_size=16, length=8, train_examples=4)
    assert one == other
    assert one.key == other.key


def test_settings_say_what_is_wrong_with_them() -> None:
    setting = task_settings("selective-copying")[0]
    with pytest.raises(TaskError, match="did you mean tokens_to_copy"):
        setting.changed(token_to_copy=3)
    with pytest.raises(TaskError, match="no pairs"):
        setting["pairs"]
    with pytest.raises(TaskError, match="lacks length"):
        Setting.from_dict({"task": "compression", "vocabulary_size": 16})
    with pytest.raises(TaskError, match="given twice"):
        Setting("x", 16, 8, 4, extras=(("a", 1), ("a", 2)))
    with pytest.raises(TaskError, match="give a number"):
        Setting("x", 16, 8, 4, extras=(("a", "b"),))  # type: ignore[arg-type]
    assert (setting["length"], setting.whole("tokens_to_copy"), setting.count("valid")) == (256, 16, 1280)


GOOD = """
task = "in-context-recall"
[baseline]
vocabulary_size = 12
length = 32
train_examples = 50
[changes]
length = [16, 64]
[[together]]
length = 16
vocabulary_size = 20
[levels]
quick = ["baseline", "length=16"]
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "own.toml"
    path.write_text(text)
    return path


def test_a_users_own_settings(tmp_path: Path) -> None:
    found = load_settings(written(tmp_path, GOOD))
    assert [each.name for each in found.settings] == [
        "baseline",
        "length=16",
        "length=64",
        "length=16,vocabulary_size=20",
    ]
    assert [each.name for each in found.level("quick")] == ["baseline", "length=16"]
    assert found.level("standard") == found.settings
    small = load_settings(written(tmp_path, GOOD.replace('"length=16"]', "{ length = 8 }]")))
    assert [each.name for each in small.level("quick")] == ["baseline", "length=8"]
    assert small.settings == found.settings
    assert found.settings[0]["multi_query"] is True
    noisy = load_settings(written(tmp_path, GOOD.replace("= 12", "= 40")), task="noisy-in-context-recall")
    assert noisy.settings[0]["noise_fraction"] == 0.2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('task = "in-context-recall"', "", "no task"),
        ("in-context-recall", "in-context-recal", "did you mean in-context-recall"),
        ("[baseline]", "[basline]", "did you mean baseline"),
        ("train_examples = 50", "train_exampels = 50", "lacks train_examples"),
        ("train_examples = 50", "train_examples = 50\nmulti_qery = true", "did you mean multi_query"),
        ("length = [16, 64]", "lenght = [16, 64]", "did you mean length"),
        ("length = [16, 64]", "length = 16", "write a list"),
        ("length = [16, 64]", "length = [15]", "give an even length"),
        ("length = [16, 64]", 'length = ["16"]', "whole number"),
        ("length = [16, 64]", "length = [16, 16]", "given twice"),
        ('"length=16"]', '"length=17"]', "did you mean length=16"),
        ('["baseline", "length=16"]', '"baseline"', "write a list of settings"),
        ('"length=16"]', "{ lenght = 8 }]", "did you mean length"),
        ('"length=16"]', "{ length = 7 }]", "give an even length"),
        ("[levels]", "[levels", "not TOML"),
        ("[[together]]", "[together]", "write one"),
        ("vocabulary_size = 12", 'name = "x"', "write fields only"),
    ],
)
def test_malformed_settings_are_one_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(TaskError, match=said) as caught:
        load_settings(written(tmp_path, GOOD.replace(old, new, 1)))
    assert "\n" not in str(caught.value)


def test_missing_settings(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="cannot be read"):
        load_settings(tmp_path / "none.toml")


OWN = '''
"""A user's own tasks."""
import numpy as np
from madstar.tasks.mechanistic import IGNORE, Examples, Task

class Reverse(Task):
    """Backwards."""
    summary = "say it backwards"
    fields = {"copies": 2}
    settings = {
        "baseline": {"vocabulary_size": 8, "length": 6, "train_examples": 5},
        "changes": {"length": [8]},
    }
    def draw(self, setting, split, count, rng, compatible):
        inputs = rng.integers(0, setting.vocabulary_size, (count, setting.length))
        return Examples(inputs, inputs[:, ::-1])

def echo(setting, split, count, rng):
    """Say it again."""
    inputs = rng.integers(0, setting.vocabulary_size, (count, setting.length))
    return inputs, inputs
echo.chance = lambda setting: 0.25

def wrong_shape(setting, split, count, rng):
    return np.zeros((count, 3), dtype=int), np.zeros((count, 3), dtype=int)

def wrong_tokens(setting, split, count, rng):
    return np.full((count, setting.length), 99), np.full((count, setting.length), IGNORE)

def fails(setting, split, count, rng):
    raise RuntimeError("two\\nlines")

class Nothing(Task):
    def draw(self, *args):
        return None

number = 3
'''


def test_a_users_own_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "own.py"
    path.write_text(OWN)
    monkeypatch.chdir(tmp_path)
    task = find_task("own.py:Reverse")
    settings = task_settings("own.py:Reverse")
    assert [each.name for each in settings] == ["baseline", "length=8"]
    assert settings[0].task == task.name == f"{path}:Reverse"  # found from any folder, and by a worker
    monkeypatch.chdir("/")
    inputs, targets = generate(settings[1], "train", 0)
    assert inputs[:, ::-1].tolist() == targets.tolist()
    assert inputs.shape == (5, 8)
    echo = find_task(f"{path}:echo")
    (setting,) = task_settings(f"{path}:echo")
    assert (echo.summary, echo.chance(setting), setting.length) == ("Say it again.", 0.25, 128)
    assert generate(setting, "test", 1).inputs.shape == (1280, 128)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("wrong_shape", "give whole numbers of shape"),
        ("wrong_tokens", "the vocabulary is 0 to 15"),
        ("fails", "failed to generate baseline: RuntimeError: two lines"),
        ("Nothing", "give a pair"),
        ("number", "give a subclass of Task or a function"),
        ("Revers", "did you mean Reverse"),
        ("", "write path/to/file.py:Name"),
    ],
)
def test_users_tasks_that_are_wrong(tmp_path: Path, name: str, said: str) -> None:
    path = tmp_path / "own.py"
    path.write_text(OWN)
    with pytest.raises(TaskError, match=said) as caught:
        generate(task_settings(f"{path}:{name}")[0], "train", 0)
    assert "\n" not in str(caught.value)


def test_unknown_tasks_have_their_nearest_name() -> None:
    with pytest.raises(TaskError, match="did you mean selective-copying"):
        find_task("selective-copy")
    with pytest.raises(TaskError, match=r"there is no file none\.py"):
        find_task("none.py:Task")
    with pytest.raises(TaskError, match="loading no_such_package failed"):
        find_task("no_such_package:Task")
    assert find_task("compression").backbone == "auto-encoder"
    assert all(find_task(task).summary and find_task(task).source for task in TASKS)


class _Point:
    """An entry point of another package."""

    group = registry_room.ENTRY_POINTS
    value = "their.package:Task"

    def __init__(self, name: str, found: object) -> None:
        self.name, self.found = name, found

    def load(self) -> object:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def test_other_packages_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [_Point("theirs", type(find_task("compression"))), _Point("broken", ImportError("no\nway"))]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)
    assert find_task("theirs").name == "theirs"
    assert find_task("theirs").backbone == "auto-encoder"
    assert known_tasks() == (*TASKS, "broken", "theirs")
    with pytest.raises(TaskError, match="ImportError: no way"):
        find_task("broken")


def test_plugins_load_files_once_and_report_in_the_callers_error(tmp_path: Path) -> None:
    path = tmp_path / "thing.py"
    path.write_text("class Thing: pass\n")
    first = plugins.load_attribute(f"{path}:Thing", "layer", LayerError)
    assert plugins.load_attribute(f"{path}:Thing", "layer", LayerError) is first
    path.write_text("raise SystemExit(3)\n")
    with pytest.raises(LayerError, match=r"layer '.*': loading .* failed with SystemExit: 3"):
        plugins.load_attribute(f"{path}:Thing", "layer", LayerError)
    assert plugins.load_attribute("json:dumps", "layer", LayerError) is json.dumps
    assert plugins.absolute("json:dumps") == "json:dumps"


def test_a_users_file_may_import_the_one_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "beside_the_users_file.py").write_text("VALUE = 7\n")
    path = tmp_path / "importing.py"
    path.write_text("from beside_the_users_file import VALUE\n")
    assert plugins.load_attribute(f"{path}:VALUE", "layer", LayerError) == 7
