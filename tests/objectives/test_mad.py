"""The MAD objective: a function of the genome alone, better with training, and honest about divergence."""

from dataclasses import replace
from math import hypot
from statistics import fmean

import pytest

from madstar.objectives import find_objective, mad
from madstar.tasks.mechanistic import PROTOCOL_TASKS, find_task

from .conftest import subject

GENOME = "71111-91111"
SMALL = ("in-context-recall", "compression")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer examples and shorter sequences than users get."""
    for name, value in {"_EXAMPLES": 256, "_SCORED": 64, "_BATCH": 16}.items():
        monkeypatch.setattr(mad, name, value)
    short = {task: {"length": 16, "vocabulary_size": 16} for task in SMALL}
    monkeypatch.setattr(mad, "SETTINGS", short)
    monkeypatch.setattr(mad, "TASKS", SMALL)


def test_the_settings_can_be_generated_and_every_task_has_one() -> None:
    assert set(mad.SETTINGS) == set(PROTOCOL_TASKS)
    assert set(mad.TASKS) < set(mad.SETTINGS)
    for task in mad.SETTINGS:
        chosen = mad.setting(task)
        assert find_task(task).checked(chosen) == chosen


@pytest.mark.usefixtures("small")
def test_the_score_is_the_mean_of_its_tasks() -> None:
    parts = [find_objective(f"{task}@12").measure(subject(GENOME)) for task in SMALL]
    whole = find_objective("mad@12").measure(subject(GENOME))
    assert whole.value == pytest.approx(fmean(part.value for part in parts))
    assert whole.error == pytest.approx(hypot(*(part.error for part in parts)) / 2)


@pytest.mark.usefixtures("small")
def test_it_is_a_function_of_the_genome_and_of_the_steps() -> None:
    first = find_objective("mad@12").measure(subject(GENOME))
    assert first == find_objective("mad@12").measure(subject(GENOME))
    assert 0 < first.value < 1
    assert first.error > 0
    assert find_objective("mad@60").measure(subject(GENOME)).value > first.value


@pytest.mark.usefixtures("small")
def test_a_training_that_diverges_scores_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mad, "_RATE", 1e6)
    broken = subject(GENOME)
    broken.sizes = replace(broken.sizes, embedding_std=1e18)
    assert find_objective("mad@12").measure(broken) == (0.0, 0.0)


def test_names() -> None:
    assert find_objective("mad").name == "mad"
    assert find_objective("mad@400").name == "mad@400"
    assert find_objective("compression@400").name == "compression@400"
    assert find_objective("mad").direction == find_objective("compression").direction == "max"
