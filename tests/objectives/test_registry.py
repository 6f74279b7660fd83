"""Objectives of the user's own, and of other packages."""

import importlib
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import madstar.plugins as shared
from madstar.errors import ObjectiveError
from madstar.objectives import (
    MEASURED,
    STATIC,
    TRAINED,
    Measurement,
    Subject,
    find_objective,
    reference,
    registry,
)

from .conftest import subject

UserFile = Callable[..., Path]


def depth_of(seen: Subject) -> int:
    """How deep it is."""
    return seen.genome.depth


def test_a_function_in_a_file(user_file: UserFile) -> None:
    path = user_file(
        '''
        def depth(subject):
            """Layers.

            One a LIV.
            """
            return subject.genome.depth

        def plain(subject):
            return float(subject.length)
        '''
    )
    objective = find_objective(f"{path}:depth")
    assert objective.name == f"{path}:depth"
    assert (objective.direction, objective.kind, objective.unit) == ("min", TRAINED, "")
    assert objective.meaning == "Layers."
    assert objective.measure(subject()) == Measurement(2.0, 0.0)
    plain = find_objective(f"{path}:plain")
    assert plain.meaning == "the user's own"
    assert plain.measure(subject()) == Measurement(48.0)


def test_a_relative_path(user_file: UserFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(user_file("def one(subject): return 1", "here/mine.py").parent.parent)
    assert find_objective("here/mine.py:one").measure(subject()).value == 1
    assert find_objective("./here/mine.py:one").measure(subject()).value == 1


def test_a_function_in_a_module(user_file: UserFile, monkeypatch: pytest.MonkeyPatch) -> None:
    path = user_file("def one(subject): return 1", "measures_of_mine/inner.py")
    (path.parent / "__init__.py").touch()
    monkeypatch.syspath_prepend(path.parent.parent)
    assert find_objective("measures_of_mine.inner:one").measure(subject()) == Measurement(1.0)
    assert find_objective("measures_of_mine.inner:one").name == "measures_of_mine.inner:one"


def test_attributes_say_more(user_file: UserFile) -> None:
    path = user_file(
        """
        def depth(subject):
            return subject.genome.depth
        depth.direction, depth.unit, depth.kind = "max", "layers", "static"

        def timed(subject):
            return 1
        timed.kind = "measured"
        """
    )
    objective = find_objective(f"{path}:depth")
    assert (objective.direction, objective.unit, objective.kind) == ("max", "layers", STATIC)
    assert objective.cost(3.0) == -3.0
    assert find_objective(f"{path}:timed").kind == MEASURED


@pytest.mark.parametrize(
    ("attribute", "said"),
    [
        ("direction = 'up'", "direction is 'up', but must be min or max"),
        ("kind = 'cheap'", "kind is 'cheap', but must be one of static, measured, trained"),
    ],
)
def test_wrong_attributes(user_file: UserFile, attribute: str, said: str) -> None:
    path = user_file(f"def f(subject): return 1\nf.{attribute}\n")
    with pytest.raises(ObjectiveError) as caught:
        find_objective(f"{path}:f")
    assert str(caught.value) == f"objective '{path}:f': {said}"


def measured(value: Any) -> Measurement:
    return registry.from_function(lambda seen: value, "mine").measure(subject())


def test_what_may_be_returned() -> None:
    assert measured(Measurement(1.5, 0.2)) == Measurement(1.5, 0.2)
    for value in (3, 3.0, np.float32(3), np.int64(3), torch.tensor(3.0), torch.tensor([3]), True + 2):
        found = measured(value)
        assert found == Measurement(3.0, 0.0)
        assert isinstance(found.value, float)
    assert np.isnan(measured(float("nan")).value)


@pytest.mark.parametrize(
    "rubbish",
    [
        None,
        "many",
        [1.0],
        {"value": 1},
        object(),
        (1.0, 2.0),
        torch.zeros(2, 2),
        np.zeros((3, 2)),
        "a\nb",
        1j,
    ],
    ids=lambda value: type(value).__name__,
)
def test_rubbish_is_refused_in_one_line(rubbish: Any) -> None:
    with pytest.raises(ObjectiveError) as caught:
        measured(rubbish)
    assert str(caught.value).startswith("objective 'mine' returned ")
    assert str(caught.value).endswith(": return a number")
    assert "\n" not in str(caught.value)


def test_an_endless_answer_is_cut_short() -> None:
    with pytest.raises(ObjectiveError) as caught:
        measured(["x" * 1000] * 1000)
    assert len(str(caught.value)) < 300


def test_a_function_that_raises_is_heard(user_file: UserFile) -> None:
    path = user_file("def f(subject): raise KeyError('speed')")
    with pytest.raises(ObjectiveError, match="failed with KeyError: 'speed'"):
        find_objective(f"{path}:f").measure(subject())


@pytest.mark.parametrize("error", ["MemoryError()", "RuntimeError('cannot allocate memory')"])
def test_running_out_of_memory_is_not_the_functions_fault(user_file: UserFile, error: str) -> None:
    path = user_file(f"def f(subject): raise {error}")
    with pytest.raises((MemoryError, RuntimeError)):
        find_objective(f"{path}:f").measure(subject())


def test_meanings_of_any_docstring() -> None:
    for said, meaning in (
        (None, "the user's own"),
        ("", "the user's own"),
        ("  \n ", "the user's own"),
        ("\n A.\n B.", "A."),
    ):

        def function(seen: Subject) -> float:
            return 0.0

        function.__doc__ = said
        assert registry.from_function(function, "mine").meaning == meaning


FAILING = {
    "missing.py:f": "there is no file missing.py",
    "no_such_package_here:f": "loading no_such_package_here failed with ModuleNotFoundError: No module named",
    ":f": "write path/to/file.py:Name or package.module:Name",
    "math:speed": "math has no 'speed'",
    "math:": "write path/to/file.py:Name or package.module:Name",
    "math:pi": "math has no function 'pi'",
}


@pytest.mark.parametrize("name", FAILING)
def test_what_cannot_be_found(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ObjectiveError) as caught:
        find_objective(name)
    assert FAILING[name] in str(caught.value)
    assert str(caught.value).startswith(f"objective '{name}': ")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import no_such_package_here", "ModuleNotFoundError: No module named 'no_such_package_here'"),
        ("raise RuntimeError('first\\nsecond')", "RuntimeError: first second"),
        ("def f(:", "SyntaxError: "),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_file_that_raises(user_file: UserFile, source: str, said: str) -> None:
    path = user_file(source)
    loaded = set(sys.modules)
    with pytest.raises(ObjectiveError) as caught:
        find_objective(f"{path}:f")
    assert str(caught.value).startswith(f"objective '{path}:f': loading {path} failed with {said}")
    assert "\n" not in str(caught.value)
    assert set(sys.modules) == loaded


def test_a_file_may_hold_data_classes(user_file: UserFile) -> None:
    path = user_file(
        """
        from __future__ import annotations
        from dataclasses import dataclass

        @dataclass
        class Weights:
            a: float = 2.0

        def f(subject):
            return Weights().a
        """
    )
    assert find_objective(f"{path}:f").measure(subject()).value == 2.0


def test_files_of_one_name_stay_apart(user_file: UserFile) -> None:
    paths = [user_file(f"def f(subject): return {n}\n", f"{n}/mine.py") for n in (1, 2)]
    found = [find_objective(f"{path}:f") for path in paths]
    assert [objective.measure(subject()).value for objective in found] == [1, 2]


def test_a_file_is_read_anew(user_file: UserFile) -> None:
    path = user_file("def f(subject): return 1\n")
    assert find_objective(f"{path}:f").measure(subject()).value == 1
    user_file("def f(subject): return 1 + 1\n")
    assert find_objective(f"{path}:f").measure(subject()).value == 2


def test_a_reference_is_found_again(user_file: UserFile, monkeypatch: pytest.MonkeyPatch) -> None:
    path = user_file("def layers(subject): return subject.genome.depth", "module_of_mine.py")
    monkeypatch.syspath_prepend(path.parent)
    name = reference(importlib.import_module("module_of_mine").layers)
    assert name == f"{path.resolve()}:layers"
    found = find_objective(name)
    assert found.measure(subject()) == Measurement(2.0)
    # What was loaded by its file has a reference too.
    (loaded,) = [sys.modules[module] for module in sys.modules if module.startswith("madstar_own_module_of")]
    assert reference(loaded.layers) == name


def test_a_reference_names_the_file() -> None:
    assert reference(depth_of) == f"{Path(__file__).resolve()}:depth_of"


class Holder:
    def method(self, seen: Subject) -> float:
        return 0.0

    def __call__(self, seen: Subject) -> float:
        return 0.0


def closure() -> Callable[[Subject], float]:
    def inner(seen: Subject) -> float:
        return 0.0

    return inner


@pytest.mark.parametrize(
    "function",
    [lambda seen: 0.0, closure(), Holder().method, Holder(), partial(depth_of), len],
    ids=["lambda", "closure", "method", "object", "partial", "built-in"],
)
def test_what_worker_processes_cannot_find(function: Callable[[Subject], Any]) -> None:
    with pytest.raises(ObjectiveError) as caught:
        reference(function)
    assert "cannot be found by worker processes: define it with def at the top of a file" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def plugins(user_file: UserFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package's objectives."""
    path = user_file(
        """
        def depth(subject):
            return subject.genome.depth
        depth.kind = "static"
        number = 3
        """,
        "another_package.py",
    )
    monkeypatch.syspath_prepend(path.parent)
    points = [
        EntryPoint("depth", "another_package:depth", "madstar.objectives"),
        EntryPoint("quality", "another_package:depth", "madstar.objectives"),
        EntryPoint("gone", "no_such_package_here:f", "madstar.objectives"),
        EntryPoint("absent", "another_package:absent", "madstar.objectives"),
        EntryPoint("number", "another_package:number", "madstar.objectives"),
    ]

    def entry_points(*, group: str) -> list[EntryPoint]:
        assert group == "madstar.objectives"
        return points

    monkeypatch.setattr(shared, "entry_points", entry_points)


@pytest.mark.usefixtures("plugins")
def test_other_packages_objectives() -> None:
    objective = find_objective("depth")
    assert (objective.name, objective.kind) == ("depth", STATIC)
    assert objective.measure(subject()) == Measurement(2.0)
    # None takes a built-in name.
    assert find_objective("quality").measure(subject()).value == 2.5
    with pytest.raises(ObjectiveError, match=r"'depht' \(did you mean depth\?\): choose from .*, depth"):
        find_objective("depht")


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "gone",
            "objective 'gone': loading no_such_package_here:f failed with ModuleNotFoundError: No module",
        ),
        ("absent", "objective 'absent': loading another_package:absent failed with AttributeError: "),
        ("number", "objective 'number': what its package offers is no function"),
        ("depth@12", "objective 'depth@12': depth takes no length; write depth"),
    ],
)
def test_other_packages_that_fail(name: str, said: str) -> None:
    with pytest.raises(ObjectiveError) as caught:
        find_objective(name)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)
