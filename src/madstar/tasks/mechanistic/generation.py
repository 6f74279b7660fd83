"""The examples of a setting: a function of the setting, the split and the seed, and nothing else."""

from __future__ import annotations

import hashlib

import numpy as np

from madstar.errors import TaskError, in_one_line

from .registry import find_task
from .setting import Setting
from .task import IGNORE, SPLITS, Examples, Task


def generate(setting: Setting, split: str, seed: int, compatible: bool = False) -> Examples:
    """All examples of a split ("train", "valid" or "test"), int64 arrays of shape (examples, length).

    Splits, settings and seeds are independent streams. `compatible` reproduces the defects of mad-lab
    that change scores. Raises TaskError for a setting that cannot be generated, an unknown split, a
    negative seed, and for a user's task that gives something else than examples.
    """
    task = find_task(setting.task)
    task.checked(setting)
    if split not in SPLITS:
        raise TaskError(f"unknown split {split!r}: choose from {', '.join(SPLITS)}")
    rng = generator(setting, split, seed)
    count = setting.count(split)
    try:
        examples = task.draw(setting, split, count, rng, compatible)
    except TaskError:
        raise
    except MemoryError as error:
        raise TaskError(
            f"{setting.task} ({setting.name}): {count} examples of length {setting.length} do not fit into "
            "memory; give fewer or shorter ones"
        ) from error
    except Exception as error:
        raise TaskError(
            f"task '{setting.task}' failed to generate {setting.name}: {in_one_line(error)}"
        ) from error
    return _sound(task, setting, count, examples)


def generator(setting: Setting, split: str, seed: int) -> np.random.Generator:
    """The stream of a split: its seed is (seed, a hash of the setting's key and the split)."""
    if seed < 0:
        raise TaskError(f"seed is {seed}; give a whole number of at least 0")
    digest = hashlib.sha256(f"{setting.task}|{setting.key}|{split}".encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest[:16], dtype="<u4").tolist()])


def shared_examples(some: Examples, others: Examples) -> int:
    """How many of `some` have inputs that also occur among `others`."""
    seen = {row.tobytes() for row in np.ascontiguousarray(others.inputs, dtype=np.int64)}
    return sum(row.tobytes() in seen for row in np.ascontiguousarray(some.inputs, dtype=np.int64))


def check_tokens(examples: Examples, vocabulary_size: int, where: str) -> None:
    """Raise TaskError for inputs outside the vocabulary, or targets outside it that are not IGNORE."""
    inputs, targets = examples
    if inputs.size and (inputs.min() < 0 or inputs.max() >= vocabulary_size):
        raise TaskError(
            f"{where}: inputs hold tokens from {inputs.min()} to {inputs.max()}, "
            f"but the vocabulary is 0 to {vocabulary_size - 1}"
        )
    wrong = ((targets < 0) & (targets != IGNORE)) | (targets >= vocabulary_size)
    if wrong.any():
        raise TaskError(
            f"{where}: targets hold {targets[wrong].flat[0]}, which is neither a token "
            f"(0 to {vocabulary_size - 1}) nor {IGNORE} for positions that are not asked"
        )


def _sound(task: Task, setting: Setting, count: int, examples: Examples) -> Examples:
    shape = (count, setting.length)
    if not isinstance(examples, tuple) or len(examples) != 2:
        raise TaskError(f"task '{task.name}' gave {type(examples).__name__}; give a pair (inputs, targets)")
    arrays = []
    for name, array in zip(("inputs", "targets"), examples, strict=True):
        array = np.asarray(array)
        if array.dtype.kind not in "iu" or array.shape != shape:
            raise TaskError(
                f"task '{task.name}' gave {name} of shape {array.shape} and type {array.dtype}; "
                f"give whole numbers of shape {shape}"
            )
        arrays.append(np.ascontiguousarray(array, dtype=np.int64))
    sound = Examples(*arrays)
    check_tokens(sound, setting.vocabulary_size, f"task '{task.name}'")
    return sound
