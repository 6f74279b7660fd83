"""Data in mad-lab's benchmark layout: a directory for each setting, with train/ and test/ of .npy files.

The directory's name says the setting: `t-CR_vs-16_sl-128_ntr-12800_nte-1280_km-1_vm-1_mq-1_fn-0#0_nvs-0_
ntc-0_s-12345`, where # stands for the decimal point and s is the seed. mad-lab writes mq-1 in any case;
here mq-0 says that one key is probed.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from madstar.errors import OutputError, TaskError
from madstar.plugins import nearest

from .catalogue import task_settings
from .generation import check_tokens, generate
from .in_context_recall import InContextRecall
from .registry import PROTOCOL_TASKS, find_task
from .setting import Setting
from .task import Examples, refuse

SHORT_NAMES: Mapping[str, str] = {
    "in-context-recall": "CR",
    "fuzzy-in-context-recall": "FR",
    "noisy-in-context-recall": "NR",
    "selective-copying": "SC",
    "compression": "C",
    "memorization": "M",
}
# In the order of the directory's name: mad-lab's shorthand, our field, mad-lab's value where a task has none.
_PARTS: tuple[tuple[str, str, int | float | bool | None], ...] = (
    ("vs", "vocabulary_size", None),
    ("sl", "length", None),
    ("ntr", "train_examples", None),
    ("nte", "test_examples", None),
    ("km", "key_motif", 1),
    ("vm", "value_motif", 1),
    ("mq", "multi_query", True),
    ("fn", "noise_fraction", 0.0),
    ("nvs", "noise_vocabulary", 0),
    ("ntc", "tokens_to_copy", 0),
)
_FILES = ("inputs.npy", "targets.npy")
_WRITTEN = ("train", "test")


class Stored(NamedTuple):
    """The data of one setting on disk. Nothing but headers has been read yet."""

    setting: Setting
    seed: int
    directory: Path

    def examples(self, split: str) -> Examples:
        """A split's arrays, mapped from disk: as stored, length or (as mad-lab does) length - 1 columns.

        Raises TaskError for tokens outside the vocabulary, which reads the whole file.
        """
        arrays = Examples(*(_load(self.directory / split / name) for name in _FILES))
        check_tokens(arrays, self.setting.vocabulary_size, str(self.directory / split))
        return arrays


def directory_name(setting: Setting, seed: int) -> str:
    """The name of a setting's directory. Raises TaskError for a task that is none of mad-lab's six."""
    if setting.task not in SHORT_NAMES:
        raise refuse(setting, f"mad-lab's layout holds {', '.join(SHORT_NAMES)} only")
    fields = find_task(setting.task).fields
    words = [f"t-{SHORT_NAMES[setting.task]}"]
    for short, field, default in _PARTS:
        value = setting[field] if default is None or field in fields else default
        if isinstance(default, float):
            value = float(value)
        words.append(f"{short}-{int(value) if isinstance(value, bool) else str(value).replace('.', '#')}")
    return "_".join([*words, f"s-{seed}"])


def parse_directory_name(name: str) -> tuple[Setting, int]:
    """The setting and the seed that a directory's name says.

    Raises TaskError for a name that is not of the layout, or a setting that cannot be generated.
    """
    words = dict(word.partition("-")[::2] for word in name.split("_"))
    missing = [short for short in ("t", *(short for short, _, _ in _PARTS), "s") if short not in words]
    if missing:
        raise TaskError(
            f"{name}: not a directory of mad-lab's layout, since it lacks {missing[0]}-; rename it"
        )
    tasks = {short: task for task, short in SHORT_NAMES.items()}
    task = tasks.get(words["t"], words["t"])
    if task not in PROTOCOL_TASKS:
        raise TaskError(
            f"{name}: unknown task {task!r}{nearest(task, PROTOCOL_TASKS)}; use one of {', '.join(tasks)}"
        )
    known = find_task(task)
    values: dict[str, Any] = {}
    for short, field, default in _PARTS:
        value = _number(name, short, words[short], default)
        if default is None or field in known.fields:
            values[field] = value
    seed = cast(int, _number(name, "s", words["s"], None))
    setting = known.setting(**values)
    same = [each for each in task_settings(task) if _without_validation(each) == _without_validation(setting)]
    return (same[0] if same else _named(setting)), seed


def read_layout(directory: str | Path) -> tuple[Stored, ...]:
    """All settings in a directory, or the one that the directory itself is, sorted by task and name.

    Directories that do not begin with "t-" are passed over. Raises TaskError for a directory that holds
    no settings, names that say none, missing files, object arrays, and shapes that disagree.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise TaskError(f"data {directory}: there is no such directory")
    if directory.resolve().name.startswith("t-") and (directory / "train").is_dir():
        places = [directory]
    else:
        places = sorted(each for each in directory.iterdir() if each.is_dir() and each.name.startswith("t-"))
    if not places:
        raise TaskError(
            f"data {directory}: holds no settings; give a folder of directories like t-CR_vs-16_..."
        )
    stored = []
    for place in places:
        setting, seed = parse_directory_name(place.resolve().name)
        for split in _WRITTEN:
            _check_headers(place / split, setting, split)
        stored.append(Stored(setting, seed, place))
    order = {task: number for number, task in enumerate(PROTOCOL_TASKS)}
    return tuple(sorted(stored, key=lambda each: (order[each.setting.task], each.directory.name)))


def write_layout(
    directory: str | Path, settings: Iterable[Setting], seed: int, compatible: bool = False
) -> tuple[Path, ...]:
    """Generate settings and write them as mad-lab does; the directories written.

    Recall tasks lose their last column, in which nothing is asked, as in mad-lab's files. Each directory
    appears whole or not at all. Raises TaskError for a setting that cannot be generated or written
    twice, before anything is written, and OutputError for a place that is taken or cannot be written to.
    """
    directory = Path(directory)
    settings = tuple(settings)
    places = [directory / directory_name(find_task(each.task).checked(each), seed) for each in settings]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise refuse(settings[number], "given twice; leave one out")
        if place.exists():
            raise OutputError(f"{place}: is there already; remove it or choose another folder")
    for setting, place in zip(settings, places, strict=True):
        _write(setting, place, seed, compatible)
    return tuple(places)


def _write(setting: Setting, place: Path, seed: int, compatible: bool) -> None:
    partial = place.parent / f".{uuid.uuid4().hex[:12]}.partial"
    try:
        try:
            for split in _WRITTEN:
                (partial / split).mkdir(parents=True)
                for name, array in zip(
                    _FILES, _as_stored(setting, generate(setting, split, seed, compatible)), strict=True
                ):
                    np.save(partial / split / name, array, allow_pickle=False)
            os.rename(partial, place)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        said = "the disk is full" if full else error.strerror or str(error)
        raise OutputError(f"{place}: cannot be written ({said}); choose another folder") from error


def _as_stored(setting: Setting, examples: Examples) -> Examples:
    """mad-lab's own shape: where every key is probed, the last answer is no input."""
    if isinstance(find_task(setting.task), InContextRecall) and setting["multi_query"]:
        return Examples(*(np.ascontiguousarray(array[:, :-1]) for array in examples))
    return examples


def _without_validation(setting: Setting) -> dict[str, Any]:
    left_out = ("validation_examples", "name")  # the layout does not say them
    return {name: value for name, value in setting.to_dict().items() if name not in left_out}


def _named(setting: Setting) -> Setting:
    """A setting that is not published, named by what differs from the published baseline."""
    baseline = task_settings(setting.task)[0]
    before, now = _without_validation(baseline), _without_validation(setting)
    differs = {name: value for name, value in now.items() if value != before[name]}
    return baseline.changed(**differs) if differs else setting


def _number(name: str, short: str, text: str, default: int | float | bool | None) -> int | float | bool:
    if not re.fullmatch(r"\d{1,15}(#\d{1,15})?", text):
        raise TaskError(f"{name}: {short}-{text} is no number; write digits, with # for the decimal point")
    value = float(text.replace("#", "."))
    if isinstance(default, bool):
        return bool(value)
    if isinstance(default, float):
        return value
    if value != int(value):
        raise TaskError(f"{name}: {short}-{text} is no whole number; write digits only")
    return int(value)


def _load(path: Path) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, allow_pickle=False, mmap_mode="r")
    except FileNotFoundError as error:
        raise TaskError(
            f"{path}: missing; a setting needs train/ and test/, each with {' and '.join(_FILES)}"
        ) from error
    except OSError as error:
        raise TaskError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, EOFError) as error:
        raise TaskError(f"{path}: no array of whole numbers ({' '.join(str(error).split())})") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu":
        raise TaskError(f"{path}: holds no whole numbers; save an integer array")
    return array


def _check_headers(place: Path, setting: Setting, split: str) -> None:
    inputs, targets = (_load(place / name) for name in _FILES)
    if inputs.shape != targets.shape:
        raise TaskError(
            f"{place}: inputs have shape {inputs.shape}, targets {targets.shape}; they must agree"
        )
    rows = setting.count(split)
    if inputs.ndim != 2 or len(inputs) != rows or inputs.shape[1] not in (setting.length - 1, setting.length):
        raise TaskError(
            f"{place}: arrays have shape {inputs.shape}, but the directory's name says {rows} examples "
            f"of length {setting.length}"
        )
