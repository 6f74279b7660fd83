"""What the predictor's benchmark fits and asks: classes that are held out stand in nothing that is fitted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from benchmarks.learning_predictor import Measurements, classes_of, tau

from benchmarks import learning_predictor

GENOMES = ("94232-91111", "15.2.2.4.1-91111", "94121-15.2.2.4.1", "17.3.2.4.1-91131", "91121-17.1.1.1.1")


def measurements() -> Measurements:
    found = {
        f"genome:{text}?width=64&heads=4": SimpleNamespace(entry=text, value=float(n))
        for n, text in enumerate(GENOMES)
    }
    stored: Any = SimpleNamespace(graph=None, hash="made")
    return Measurements(stored, "quality after 50 steps", found)


def test_the_classes_of_an_entry_are_those_of_its_layers():
    assert classes_of("genome:15.2.2.4.1-91111?width=64") == classes_of("genome:91131-15.1.1.1.1?width=8")
    assert len(classes_of("genome:91111-91111?width=64")) == 1


def test_a_class_that_is_asked_was_never_fitted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(learning_predictor, "_TRANSFER", 2)
    monkeypatch.setattr(learning_predictor, "_FEWEST_ASKED", 2)
    rounds = []

    def keep(
        self: Measurements, process: Any, train: list[Any], asked: list[Any], seed: int, held: str
    ) -> None:
        rounds.append((held, [e.entry for e in train], [e.entry for e in asked]))

    monkeypatch.setattr(Measurements, "_all", keep)
    measurements().transfer()
    assert len(rounds) == 2  # the classes 15 and 17; 9 leaves too few to fit to
    for held, train, asked in rounds:
        assert len(train) == 2 == len(asked)
        assert all(held in classes_of(text) for text in asked)
        assert not any(held in classes_of(text) for text in train)


def test_a_ranking_of_equals_ranks_nothing():
    assert tau([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) == 0
    assert tau([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == 1
