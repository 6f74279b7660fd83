"""Strategies from elsewhere: by entry point, from a file, and what is said where they cannot be had."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from madstar import plugins
from madstar.errors import ConfigurationError
from madstar.genome.variation import VariationRates
from madstar.search import make_settings
from madstar.search.strategies import (
    NSGA2,
    RandomSearch,
    Strategy,
    Surroundings,
    check_strategy,
    make_strategy,
    strategy_names,
)

from .landscape import SPACE

OWN = """
from madstar.search.strategies import RandomSearch

class Mine(RandomSearch):
    def __init__(self, around):
        super().__init__(around.space, around.seed)
        self.around = around

def broken(around):
    raise RuntimeError("no luck")

def unfinished(around):
    return object()

number = 3
"""


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package with two strategies, one of which has a name that is taken."""
    module = ModuleType("another_package")
    exec(OWN, vars(module))
    monkeypatch.setitem(sys.modules, "another_package", module)
    points = [
        EntryPoint("mine", "another_package:Mine", "madstar.strategies"),
        EntryPoint("nsga2", "another_package:Mine", "madstar.strategies"),
        EntryPoint("gone", "no_such_package_here:Mine", "madstar.strategies"),
        EntryPoint("number", "another_package:number", "madstar.strategies"),
    ]

    def entry_points(*, group: str) -> list[EntryPoint]:
        return points if group == "madstar.strategies" else []

    monkeypatch.setattr(plugins, "entry_points", entry_points)


def make(name: str) -> Strategy:
    return make_strategy(
        name, SPACE, 5, rates=VariationRates(), top_rung=2, objectives=("quality",), unguided=0.3
    )


@pytest.mark.usefixtures("package")
def test_another_packages_strategy_is_made_with_its_surroundings() -> None:
    assert strategy_names()[-1] == "number"
    assert {"mine", "guided", "nsga2"} <= set(strategy_names())
    strategy = make("mine")
    around: Surroundings = strategy.around  # type: ignore[attr-defined]
    assert (around.space, around.seed, around.top_rung, around.unguided) == (SPACE, 5, 2, 0.3)
    assert strategy.propose(3) == RandomSearch(SPACE, 5).propose(3)
    assert make_settings(minutes=1, strategy="mine").strategy == "mine"


@pytest.mark.usefixtures("package")
def test_none_takes_a_built_in_name() -> None:
    assert isinstance(make("nsga2"), NSGA2)
    assert strategy_names().count("nsga2") == 1


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gone", "strategy 'gone': loading no_such_package_here:Mine failed"),
        ("number", "no class or function"),
        ("mien", r"\(did you mean mine\?\): choose one of nsga2, .*guided, .*mine"),
    ],
)
def test_what_cannot_be_had_is_said(name: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        make_settings(minutes=1, strategy=name)


def test_a_file_of_ones_own_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    settings = make_settings(minutes=1, strategy="own.py:Mine")
    monkeypatch.chdir("/")
    assert settings.strategy == f"{tmp_path / 'own.py'}:Mine"
    assert make(settings.strategy).propose(0) == RandomSearch(SPACE, 5).propose(0)
    with pytest.raises(ConfigurationError, match="has no 'Mnie'"):
        check_strategy(f"{tmp_path / 'own.py'}:Mnie")
    with pytest.raises(ConfigurationError, match="making it failed with RuntimeError: no luck"):
        make(f"{tmp_path / 'own.py'}:broken")
    with pytest.raises(ConfigurationError, match="gives a object without propose, observe, replay"):
        make(f"{tmp_path / 'own.py'}:unfinished")


def test_search_knows_nothing_of_learning_until_it_is_asked_for() -> None:
    """A search by another strategy loads no room above it."""
    import subprocess

    code = (
        "import sys; from madstar.search.strategies import check_strategy, strategy_names; "
        "check_strategy('screened'); names = strategy_names(); "
        "assert not any(m.startswith('madstar.learning') for m in sys.modules); "
        "check_strategy('guided'); assert 'madstar.learning.guided' in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
