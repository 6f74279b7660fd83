"""Tasks by name: the built-in ones, other packages' (entry points), and the user's own.

A user's own is written `path/to/file.py:Name` or `package.module:Name`, where Name is a subclass of
`Task`, or a function `(setting, split, count, rng) -> (inputs, targets)`; its attributes `summary`,
`backbone`, `fields`, `varied`, `settings` and `chance` may say what a subclass says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from madstar.errors import TaskError, in_one_line
from madstar.plugins import absolute, entry_point, entry_point_names, is_reference, load_attribute, nearest

from .compression import Compression
from .fuzzy_in_context_recall import FuzzyInContextRecall
from .in_context_recall import InContextRecall
from .memorization import Memorization
from .mqar import MultiQueryAssociativeRecall
from .noisy_in_context_recall import NoisyInContextRecall
from .selective_copying import SelectiveCopying
from .setting import Setting
from .task import AUTO_ENCODER, LANGUAGE_MODEL, Examples, Task

ENTRY_POINTS = "madstar.tasks"

_BUILT_IN: dict[str, type[Task]] = {
    task.name: task
    for task in (
        InContextRecall,
        FuzzyInContextRecall,
        NoisyInContextRecall,
        SelectiveCopying,
        Compression,
        Memorization,
        MultiQueryAssociativeRecall,
    )
}
TASKS = tuple(_BUILT_IN)
"""The built-in tasks."""

PROTOCOL_TASKS = tuple(name for name in TASKS if name != MultiQueryAssociativeRecall.name)
"""The six tasks of the MAD protocol, in the order of their scores."""


def known_tasks() -> tuple[str, ...]:
    """The names of built-in tasks and of those that other packages offer."""
    return (*TASKS, *(name for name in entry_point_names(ENTRY_POINTS) if name not in TASKS))


def find_task(name: str) -> Task:
    """The task of that name.

    Raises TaskError for an unknown one (with the nearest known), or one that cannot be loaded or is
    neither a subclass of Task nor a function. Loading a user's task runs the user's file.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    if is_reference(name):
        return _task(load_attribute(name, "task", TaskError), absolute(name))
    found = entry_point(ENTRY_POINTS, name, "task", TaskError)
    if found is not None:
        return _task(found, name)
    known = known_tasks()
    raise TaskError(
        f"unknown task {name!r}{nearest(name, known)}: choose from {', '.join(known)}, "
        "or name your own as file.py:Name"
    )


def check_setting(setting: Setting) -> Setting:
    """The setting, if its task can generate it. Raises TaskError, one line, otherwise."""
    return find_task(setting.task).checked(setting)


def _task(found: object, name: str) -> Task:
    """An instance under the name that it was asked by, which its settings carry."""
    if isinstance(found, type) and issubclass(found, Task):
        kind: type[Task] = type(found.__name__, (found,), {"name": name, "__doc__": found.__doc__})
        try:
            task = kind()
        except Exception as error:
            raise TaskError(f"task '{name}' cannot be made: {in_one_line(error)}") from error
    elif callable(found) and not isinstance(found, type):
        task = _from_function(found, name)
    else:
        raise TaskError(f"task '{name}' is {found!r:.80}; give a subclass of Task or a function")
    if task.backbone not in (LANGUAGE_MODEL, AUTO_ENCODER):
        raise TaskError(
            f"task '{name}': backbone is {task.backbone!r}; write {LANGUAGE_MODEL} or {AUTO_ENCODER}"
        )
    return task


def _from_function(function: Callable[..., Any], own_name: str) -> Task:
    said = (function.__doc__ or "").strip().splitlines() or ["the user's own"]

    class FunctionTask(Task):
        """A user's function as a task."""

        name = own_name
        summary = getattr(function, "summary", said[0])
        source = "the user's own"
        backbone = getattr(function, "backbone", LANGUAGE_MODEL)
        fields = getattr(function, "fields", {})
        varied = tuple(getattr(function, "varied", ()))
        settings = getattr(function, "settings", None)

        def draw(
            self, setting: Setting, split: str, count: int, rng: np.random.Generator, compatible: bool
        ) -> Examples:
            inputs, targets = function(setting, split, count, rng)
            return Examples(inputs, targets)

        def chance(self, setting: Setting) -> float:
            given = getattr(function, "chance", None)
            return super().chance(setting) if given is None else float(given(setting))

    return FunctionTask()
