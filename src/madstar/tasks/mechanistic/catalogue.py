"""The settings of each task, read from TOML: a baseline, changes of it, and what smaller budgets use.

task = "in-context-recall"
[baseline]              # all fields; those not given have the task's defaults
vocabulary_size = 16
length = 128
train_examples = 12800
[changes]               # each value alone, from the baseline
length = [256, 512]
[[together]]            # values changed together, one setting for each table
length = 512
vocabulary_size = 32
[levels]                # settings by name, for budgets that do not use all of them
quick = ["baseline", "length=256"]
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from madstar.errors import TaskError
from madstar.plugins import nearest

from .registry import PROTOCOL_TASKS, TASKS, find_task
from .setting import BASELINE, Setting
from .task import Task

_PARTS = ("task", BASELINE, "changes", "together", "levels")
_FOLDER = Path(__file__).parent / "settings"


@dataclass(frozen=True)
class Catalogue:
    """All settings of a task, the baseline first, and those that each level uses.

    A level may have settings of its own, smaller ones, which are not among all settings.
    """

    task: str
    settings: tuple[Setting, ...]
    levels: tuple[tuple[str, tuple[Setting, ...]], ...] = ()

    def level(self, name: str) -> tuple[Setting, ...]:
        """The settings of a level; all of them where the catalogue does not list that level."""
        return dict(self.levels).get(name, self.settings)

    def named(self, name: str) -> Setting:
        """The setting of that name. Raises TaskError for an unknown one, with the nearest known."""
        known = {each.name: each for each in self.settings}
        if name not in known:
            raise TaskError(
                f"{self.task} has no setting {name!r}{nearest(name, known)}: it has {', '.join(known)}"
            )
        return known[name]


def catalogue(task: str) -> Catalogue:
    """The published settings of a built-in task, or those that another's task brings along.

    A task that brings none has one setting: its default fields, vocabulary 16, length 128 and 12,800
    training examples.
    """
    if task in TASKS:
        return _built_in(task)
    found = find_task(task)
    if isinstance(found.settings, Mapping):
        return _read({"task": task, **found.settings}, f"task '{task}'", found)
    if found.settings is not None:
        return load_settings(found.settings, task)
    return Catalogue(task, (found.setting(vocabulary_size=16, length=128, train_examples=12_800),))


def task_settings(task: str, level: str | None = None) -> tuple[Setting, ...]:
    """The settings of a task, the baseline first; those of a level ("quick", "standard") if given."""
    found = catalogue(task)
    return found.settings if level is None else found.level(level)


def protocol_settings(level: str | None = None) -> tuple[Setting, ...]:
    """The 66 settings of the six tasks of MAD, or those that a level uses."""
    return tuple(each for task in PROTOCOL_TASKS for each in task_settings(task, level))


def load_settings(path: str | Path, task: str | None = None) -> Catalogue:
    """The settings in a user's own TOML file; `task` overrides the one that it names.

    Raises TaskError for a file that cannot be read, is not TOML, has unknown parts or fields (with the
    nearest known), or settings that cannot be generated.
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TaskError(f"settings {path}: cannot be read ({error.strerror or error})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TaskError(f"settings {path}: not TOML ({' '.join(str(error).split())})") from error
    if task is not None:
        values["task"] = task
    if not isinstance(values.get("task"), str):
        raise TaskError(f'settings {path}: no task; write task = "..." at the top')
    return _read(values, f"settings {path}", find_task(values["task"]))


@cache
def _built_in(task: str) -> Catalogue:
    return load_settings(_FOLDER / f"{task}.toml")


def _read(values: Mapping[str, Any], where: str, task: Task) -> Catalogue:
    for part in values:
        if part not in _PARTS:
            raise TaskError(
                f"{where}: unknown part {part!r}{nearest(part, _PARTS)}: it may have {', '.join(_PARTS)}"
            )
    given = _table(values.get(BASELINE), BASELINE, where)
    try:
        baseline = task.setting(**given)
        settings = [baseline, *_changed(baseline, values, where)]
        for setting in settings:
            task.checked(setting)
    except TaskError as error:
        raise error if str(error).startswith(where) else TaskError(f"{where}: {error}") from error
    names = [each.name for each in settings]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise TaskError(f"{where}: the setting {twice} is given twice; leave one out")
    return Catalogue(task.name, tuple(settings), _levels(values.get("levels", {}), settings, task, where))


def _changed(baseline: Setting, values: Mapping[str, Any], where: str) -> list[Setting]:
    settings = []
    for field, choices in _table(values.get("changes", {}), "changes", where).items():
        if not isinstance(choices, list):
            raise TaskError(f"{where}: changes of {field} is {choices!r}; write a list, [{choices!r}]")
        settings += [baseline.changed(**{field: choice}) for choice in choices]
    together = values.get("together", [])
    if not isinstance(together, Sequence) or isinstance(together, str):
        raise TaskError(f"{where}: together is {together!r}; write one [[together]] table for each setting")
    settings += [baseline.changed(**_table(each, "together", where)) for each in together]
    return settings


def _levels(
    values: object, settings: Sequence[Setting], task: Task, where: str
) -> tuple[tuple[str, tuple[Setting, ...]], ...]:
    known = {each.name: each for each in settings}
    levels = []
    for level, chosen in _table(values, "levels", where).items():
        if not isinstance(chosen, list) or not chosen:
            raise TaskError(f"{where}: level {level} is {chosen!r}; write a list of settings")
        found = []
        for one in chosen:
            if isinstance(one, Mapping):
                found.append(task.checked(settings[0].changed(**_table(one, f"levels.{level}", where))))
            elif one in known:
                found.append(known[one])
            else:
                raise TaskError(
                    f"{where}: level {level} names {one!r}, which is no setting"
                    f"{nearest(str(one), known)}: choose from {', '.join(known)}"
                )
        levels.append((level, tuple(found)))
    return tuple(levels)


def _table(values: object, part: str, where: str) -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        raise TaskError(f"{where}: no table [{part}]; write one with the fields' values")
    if "name" in values or "task" in values:
        raise TaskError(f"{where}: [{part}] names a task or a setting; write fields only")
    return values
