"""A setting: one task at one difficulty, as plain data with a stable key."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from madstar.errors import TaskError
from madstar.plugins import nearest

Value = int | float | bool
BASELINE = "baseline"
_COUNTS = ("vocabulary_size", "length", "train_examples", "test_examples", "validation_examples")


@dataclass(frozen=True)
class Setting:
    """One task at one difficulty.

    vocabulary_size: tokens are 0 .. vocabulary_size - 1, special and noise tokens included.
    length: tokens in a sequence. *_examples: sequences in each split.
    extras: the task's own fields, sorted by name; `setting["tokens_to_copy"]` reads one.
    name: what differs from the baseline it was made from. Not part of equality, hash or key.

    Whether the values suit the task is checked by `check_setting`, which all that generate call.
    Raises TaskError for counts that are no positive whole numbers and for extras that are no numbers.
    """

    task: str
    vocabulary_size: int
    length: int
    train_examples: int
    test_examples: int = 1280
    validation_examples: int = 1280
    extras: tuple[tuple[str, Value], ...] = ()
    name: str = field(default=BASELINE, compare=False)

    def __post_init__(self) -> None:
        for name in _COUNTS:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise TaskError(f"{self.task}: {name} is {value!r}; give a whole number of at least 1")
        for name, value in self.extras:
            if not isinstance(value, (bool, int, float)) or not math.isfinite(value):
                raise TaskError(f"{self.task}: {name} is {value!r}; give a number, true or false")
        names = [name for name, _ in self.extras]
        if len(set(names)) < len(names) or set(names) & {*_COUNTS, "task", "name", "extras"}:
            raise TaskError(f"{self.task}: a field is given twice; name each once")
        object.__setattr__(self, "extras", tuple(sorted((str(n), v) for n, v in self.extras)))

    def __getitem__(self, name: str) -> Value:
        """The value of a field, common or the task's own. Raises TaskError for one it does not have."""
        if name in _COUNTS:
            value: Value = getattr(self, name)
            return value
        own = dict(self.extras)
        if name not in own:
            hint = nearest(name, own)
            raise TaskError(f"{self.task}: this setting has no {name}{hint}; give it a value")
        return own[name]

    def whole(self, name: str) -> int:
        """A field that counts something."""
        return int(self[name])

    @property
    def key(self) -> str:
        """16 hexadecimal digits that stand for all fields but the name, on every machine."""
        values = {k: _canonical(v) for k, v in self.to_dict().items() if k != "name"}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]

    def count(self, split: str) -> int:
        """Examples in a split ("train", "valid" or "test")."""
        counts = {
            "train": self.train_examples,
            "valid": self.validation_examples,
            "test": self.test_examples,
        }
        return counts[split]

    def changed(self, **changes: Value) -> Setting:
        """This setting with other values, and a name that says which.

        Raises TaskError for a field that the setting does not have.
        """
        common: dict[str, Any] = {}
        own = dict(self.extras)
        for name, value in changes.items():
            if name in _COUNTS:
                common[name] = value
            elif name in own:
                own[name] = value
            else:
                hint = nearest(name, [*_COUNTS, *own])
                raise TaskError(
                    f"{self.task} has no field {name!r}{hint}: it has {', '.join([*_COUNTS, *own])}"
                )
        said = ",".join(f"{name}={_plain(value)}" for name, value in changes.items())
        name = said if self.name == BASELINE else f"{self.name},{said}"
        return dataclasses.replace(self, **common, extras=tuple(own.items()), name=name)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, the task's own fields beside the common ones."""
        common = {name: getattr(self, name) for name in ("task", *_COUNTS, "name")}
        return {**common, **dict(self.extras)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Setting:
        """The setting that `to_dict` gave. Raises TaskError where it lacks a field."""
        for name in ("task", "vocabulary_size", "length", "train_examples"):
            if name not in values:
                raise TaskError(f"a setting lacks {name}; give it")
        common = {name: values[name] for name in ("task", *_COUNTS, "name") if name in values}
        own = tuple((name, value) for name, value in values.items() if name not in common)
        return cls(**common, extras=own)


def _canonical(value: Value | str) -> Value | str:
    """Equal settings have one key: 0.0 is written as 0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _plain(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value}"
