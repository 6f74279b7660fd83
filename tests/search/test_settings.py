from __future__ import annotations

import pytest

from madstar.errors import ConfigurationError, MadstarError, ObjectiveError
from madstar.search import SearchSettings, make_settings


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"minutes": 0}, "0 minutes"),
        ({"minutes": -1}, "more than 0"),
        ({}, "without an end"),
        ({"minutes": 1, "rungs": ("200", "100")}, "do not rise"),
        ({"minutes": 1, "rungs": ("100", "30s")}, "mix units"),
        ({"minutes": 1, "rungs": ()}, "no rungs"),
        ({"minutes": 1, "rungs": ("x",)}, "budget 'x'"),
        ({"generations": 3}, "generational"),
        ({"minutes": 1, "mode": "generational", "strategy": "random"}, "nsga2"),
        ({"minutes": 1, "elitism": 20}, "elitism 20"),
        ({"minutes": 1, "objectives": ()}, "no objectives"),
        ({"minutes": 1, "objectives": ("cache", "cache@4096")}, "twice"),
        ({"minutes": 1, "width": 60, "heads": 8}, "not divisible"),
        ({"minutes": 1, "width": 12}, "even number"),
        ({"minutes": 1, "heads": 2}, "class 3"),
        ({"minutes": 1, "classes": (35,)}, "1-17"),
        ({"minutes": 1, "min_depth": 9}, "depth 9:8"),
        ({"minutes": 1, "levels": ("cell",)}, "levels"),
        ({"minutes": 1, "strategy": "annealing"}, "strategy"),
        ({"minutes": 1, "workers": 0}, "workers"),
        ({"minutes": 1, "colour": 3}, "colour"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(wrong: dict, says: str) -> None:
    with pytest.raises(MadstarError) as caught:
        make_settings(**wrong)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ConfigurationError)


@pytest.mark.parametrize("name", ["speed", "quality@10", "cache@x"])
def test_a_wrong_objective_keeps_its_own_error(name: str) -> None:
    with pytest.raises(ObjectiveError, match=name):
        make_settings(minutes=1, objectives=(name,))


def test_settings_survive_json() -> None:
    settings = make_settings(
        minutes=3, constraints=("params<=1M",), rungs=("1k tokens", "1M tokens"), classes=(1, 9)
    )
    assert SearchSettings(**settings.model_dump(mode="json")) == settings
