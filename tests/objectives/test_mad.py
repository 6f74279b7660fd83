"""The MAD objective: a function of the genome alone, better with training, and honest about divergence."""

from dataclasses import replace

import pytest

from madstar.objectives import find_objective, mad
from madstar.tasks.mechanistic import find_task

from .conftest import subject

GENOME = "71111-91111"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer examples and shorter sequences than users get."""
    for name, value in {"_LENGTH": 16, "_EXAMPLES": 256, "_SCORED": 64, "_BATCH": 16}.items():
        monkeypatch.setattr(mad, name, value)
    monkeypatch.setattr(mad, "TASKS", ("in-context-recall", "compression"))


def test_the_settings_can_be_generated() -> None:
    for task in mad.TASKS:
        chosen = mad.setting(task)
        assert find_task(task).checked(chosen) == chosen


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
    assert find_objective("mad").direction == "max"
