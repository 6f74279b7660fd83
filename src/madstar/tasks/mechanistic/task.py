"""The contract of a task: what its settings are made of, and its examples drawn with a generator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from madstar.errors import TaskError
from madstar.plugins import nearest

from .setting import Setting, Value

IGNORE = -100
"""Stands in targets where nothing is asked."""

SPLITS = ("train", "valid", "test")
LANGUAGE_MODEL = "language-model"
AUTO_ENCODER = "auto-encoder"

Tokens = npt.NDArray[np.int64]


class Examples(NamedTuple):
    """Sequences and what is asked at each of their positions: two arrays of shape (examples, length).

    A target stands at the position whose output is to predict it: the next token for language models,
    the same position for auto-encoders and where a task marks the place of an answer. `IGNORE` where
    nothing is asked.
    """

    inputs: Tokens
    targets: Tokens


class Task:
    """One task. A subclass says what it is in class attributes and draws examples in `draw`.

    fields: the task's own fields with their default values, which also give their types.
    varied: the fields that the published settings vary.
    settings: where the settings stand: None for a built-in task's TOML file; another package's task or
    a user's own gives the path of one, or a mapping of the same form.
    """

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    source: ClassVar[str] = ""
    backbone: ClassVar[str] = LANGUAGE_MODEL
    fields: ClassVar[Mapping[str, Value]] = {}
    varied: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[str | Mapping[str, Any] | None] = None

    def setting(self, **values: Any) -> Setting:
        """A checked setting; the task's own fields have their defaults where they are not given."""
        return self.checked(Setting.from_dict({"task": self.name, **self.fields, **values}))

    def checked(self, setting: Setting) -> Setting:
        """The setting, if this task can generate it. Raises TaskError, one line, otherwise."""
        for name, value in setting.extras:
            if name not in self.fields:
                known = ", ".join(self.fields) or "none of its own"
                raise TaskError(
                    f"{self.name} has no field {name!r}{nearest(name, self.fields)}: it has {known}"
                )
            _check_type(self.name, name, value, self.fields[name])
        for name in self.fields:
            setting[name]  # raises where it is missing
        self.check(setting)
        return setting

    def check(self, setting: Setting) -> None:
        """Raise TaskError for values that do not go together. The types of fields are checked before."""

    def draw(
        self, setting: Setting, split: str, count: int, rng: np.random.Generator, compatible: bool
    ) -> Examples:
        """`count` examples of a checked setting; all randomness comes from `rng`.

        In split "train" the targets are what is trained on, else only what is probed. `compatible` asks
        for the defects of mad-lab that change scores.
        """
        raise NotImplementedError

    def chance(self, setting: Setting) -> float:
        """Accuracy of guessing uniformly among the tokens that can be an answer, between 0 and 1."""
        return 1.0 / setting.vocabulary_size

    def ceiling(self, setting: Setting, compatible: bool = False) -> float:
        """Expected accuracy on the test split of a model that learned all that the training split says."""
        return 1.0


def refuse(setting: Setting, reason: str) -> TaskError:
    """The error for a setting that cannot be generated."""
    return TaskError(f"{setting.task} ({setting.name}): {reason}")


def check_even_length(setting: Setting, least: int) -> None:
    """Raise TaskError unless the sequence is whole pairs of tokens and long enough."""
    if setting.length % 2:
        raise refuse(
            setting,
            f"length is {setting.length}, but sequences are pairs of tokens; give an even length",
        )
    if setting.length < least:
        raise refuse(setting, f"length is {setting.length}; give at least {least}")


def check_noise(setting: Setting) -> None:
    """Raise TaskError unless the noise fraction is in [0, 1) and has tokens to be drawn from."""
    fraction, tokens = setting["noise_fraction"], setting["noise_vocabulary"]
    if not 0 <= fraction < 1:
        raise refuse(setting, f"noise_fraction is {fraction}; give a number from 0 to below 1")
    if tokens < 0:
        raise refuse(setting, f"noise_vocabulary is {tokens}; give 0 or more tokens")
    if fraction > 0 and tokens == 0:
        raise refuse(setting, "noise without a noise vocabulary; give noise_vocabulary at least 1")


def check_vocabulary(setting: Setting, needed: int, why: str) -> None:
    """Raise TaskError for a vocabulary below what the task's tokens need."""
    if setting.vocabulary_size < needed:
        raise refuse(
            setting,
            f"vocabulary_size is {setting.vocabulary_size}, but {why}; give at least {needed}",
        )


def _check_type(task: str, name: str, value: Value, default: Value) -> None:
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise TaskError(f"{task}: {name} is {value!r}; give true or false")
    elif isinstance(value, bool) or (isinstance(default, int) and not isinstance(value, int)):
        kind = "a whole number" if isinstance(default, int) else "a number"
        raise TaskError(f"{task}: {name} is {value!r}; give {kind}")
