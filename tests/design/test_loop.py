"""The loop over rounds, how it ends, and how it goes on after any end."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from madstar.design.log import LOG, read_log
from madstar.errors import ArchiveError, ConfigurationError

from .conftest import HERE, Light, rows_of, some_limits


def test_rounds_are_proposed_trained_recorded_and_learned_from(light: Light) -> None:
    found = light.begin(rounds=3, patience=0)
    run, candidates, evaluations = rows_of(light.home)
    assert (run.kind, run.status, found.reason) == ("design", "finished", "rounds")
    assert [each["round"] for each in found.rounds] == [1, 2, 3]
    assert [each["trained"] for each in found.rounds] == [4, 4, 4]
    assert [row.generation for row in candidates] == [1] * 4 + [2] * 4 + [3] * 4
    searched = [row for row in evaluations if row.stage == "search"]
    assert sorted(row.candidate for row in searched) == list(range(12))
    # Both kinds, guided and not, from when there is a predictor.
    assert {row.genome.startswith("graph:") for row in candidates} == {True, False}
    assert {row.operator.endswith("guided") for row in candidates if row.generation > 1} == {True, False}
    assert not any(row.operator.endswith("guided") for row in candidates if row.generation == 1)
    # What was predicted before training stands beside what came of it.
    record = json.loads((found.directory / "rounds" / "0002.json").read_text())
    assert all(each["predicted"] is not None and each["score"] is not None for each in record["proposals"])
    assert record["agreement"]["n"] == 4
    assert record["data"]["measured"] == 4
    assert record["models"]["predictor"]["round"] == 2
    assert set(record["seconds"]) >= {"learning", "proposing", "training", "round"}
    scores = [row.values["bits_per_byte"] for row in searched]
    firsts = [min(scores[4 * n : 4 * n + 4]) for n in range(3)]
    assert record["best"] == firsts[1]
    assert record["gain"] == pytest.approx(firsts[0] - firsts[1])
    assert found.best is not None
    assert found.best["score"] == min(scores)
    tests = [row for row in evaluations if row.stage == "validation"]
    assert [row.candidate for row in tests] == [found.best["index"]]
    assert found.test == tests[0].values["test_bits_per_byte"]
    assert [path.name for path in (found.directory / "weights").iterdir()] == [
        f"{tests[0].candidate}.safetensors"
    ]


def test_everything_is_a_line_of_the_log(light: Light) -> None:
    found = light.begin()
    lines = list(read_log(found.directory / LOG))
    events = [line["event"] for line in lines]
    assert events[0] == "began"
    assert events[-1] == "ended"
    assert events.count("proposal") == 8
    assert events.count("round") == 2
    assert {line["what"] for line in lines if line["event"] == "fitted"} == {"generator", "predictor"}
    text = (found.directory / LOG).read_text()
    assert text.count("\n") == len(lines)


def test_without_retraining_the_first_models_stay(light: Light) -> None:
    found = light.begin(rounds=3, patience=0, retrain=False)
    fitted = [
        (line["what"], line["round"]) for line in read_log(found.directory / LOG) if line["event"] == "fitted"
    ]
    assert fitted == [("generator", 1), ("predictor", 2)]


def test_it_ends_when_rounds_bring_no_gain(light: Light) -> None:
    best = min(light.pool["genomes"], key=lambda each: _score(each["key"]))
    light.pool["genomes"].remove(best)
    light.pool["genomes"].insert(0, best)
    light.patch.setenv("MADSTAR_TEST_POOL", str(_written(light, light.home.parent / "pool.json")))
    found = light.begin(rounds=9, patience=2, graphs=0)
    assert found.reason == "patience"
    assert len(found.rounds) == 3


def _score(key: str) -> float:
    sys.path.insert(0, HERE)
    try:
        import design_handlers
    finally:
        sys.path.remove(HERE)
    return design_handlers.fake(key)


def _written(light: Light, path: Path) -> Path:
    path.write_text(json.dumps(light.pool))
    return path


def test_it_ends_when_its_time_is_over_and_goes_on_with_more(light: Light) -> None:
    light.patch.setenv("MADSTAR_TEST_SECONDS", "0.6")
    began = time.monotonic()
    found = light.begin(some_limits(seconds=6), rounds=50, patience=0)
    assert found.reason == "time"
    assert time.monotonic() - began < 12
    assert found.trained < 50 * 4
    run, _, _ = rows_of(light.home)
    assert run.seconds <= 7
    light.patch.setenv("MADSTAR_TEST_SECONDS", "0")
    again = light.resume(minutes=1, rounds=len(found.rounds) + 1)
    assert again.reason == "rounds"
    assert len(again.rounds) == len(found.rounds) + 1


def test_a_file_stop_ends_it_and_keeps_it_from_going_on(light: Light) -> None:
    light.patch.setenv("MADSTAR_TEST_SECONDS", "0.3")

    def told(news: Any) -> None:
        if news.part == "training" and news.done >= 1:
            (light.home / "a" / "STOP").touch()

    found = light.begin(name="a", told=told)
    assert found.reason == "stop"
    assert 1 <= found.trained < 8
    with pytest.raises(ArchiveError, match="remove it to go on"):
        light.resume("a")
    (light.home / "a" / "STOP").unlink()
    assert light.resume("a").reason == "rounds"
    _, candidates, evaluations = rows_of(light.home)
    assert len(candidates) == len([row for row in evaluations if row.stage == "search"]) == 8


def test_approval_stops_after_each_round_where_nobody_can_be_asked(light: Light) -> None:
    first = light.begin(rounds=3, approve=True)
    assert (first.reason, len(first.rounds), first.test) == ("approval", 1, None)
    second = light.resume()
    assert (second.reason, len(second.rounds)) == ("approval", 2)
    third = light.resume()
    assert (third.reason, len(third.rounds)) == ("rounds", 3)
    assert third.test is not None


@pytest.mark.parametrize(
    ("answers", "reason", "rounds"), [([True, False], "declined", 2), ([True], "rounds", 2)]
)
def test_approval_asks_between_rounds(light: Light, answers: list[bool], reason: str, rounds: int) -> None:
    waiting = list(answers)
    shown: list[int] = []

    def approve(record: dict[str, Any]) -> bool:
        shown.append(record["round"])
        return waiting.pop(0)

    run = light.begin(rounds=3 if reason == "declined" else 2, approve=True, ask=approve)
    assert (run.reason, len(run.rounds)) == (reason, rounds)
    assert shown == list(range(1, len(answers) + 1))


def test_the_number_of_trainings_is_a_limit(light: Light) -> None:
    found = light.begin(some_limits(candidates=6), rounds=5)
    assert found.reason == "candidates"
    assert found.trained == 6


def test_what_is_too_large_is_refused_before_it_is_built(light: Light) -> None:
    least = min(each for each in _parameters(light))
    found = light.begin(some_limits(parameters=least + 1), rounds=1)
    record = json.loads((found.directory / "rounds" / "0001.json").read_text())
    refused = [each for each in record["proposals"] if each["status"] == "infeasible"]
    assert refused
    assert all("parameters, at most" in each["reason"] for each in refused)
    _, _, evaluations = rows_of(light.home)
    assert not {each["index"] for each in refused} & {row.candidate for row in evaluations}


def _parameters(light: Light) -> list[int]:
    from madstar.design.candidates import of_dict, parameters_of

    settings = light.settings()
    sizes = settings.sizes(256)
    return [parameters_of(of_dict(each), sizes, settings.pairs, 32) for each in light.pool["genomes"][:4]]


def test_a_run_that_is_worked_on_is_refused(light: Light) -> None:
    seen: list[str] = []

    def told(news: Any) -> None:
        if not seen:
            with pytest.raises(ArchiveError, match="is being worked on"):
                light.resume("a")
            seen.append("refused")

    light.begin(name="a", told=told, rounds=1)
    assert seen


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rounds": 0}, "rounds"),
        ({"candidates": 1}, "candidates"),
        ({"free": 1.5}, "free"),
        ({"width": 18}, "heads"),
        ({"generator": "/nowhere"}, "there is no folder"),
        ({"generator": "/tmp", "dataset": "/tmp"}, "one of them"),
        ({"heads": 2}, "repeat"),
    ],
)
def test_settings_that_cannot_be_are_refused(light: Light, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        light.settings(**changes)


def test_what_was_measured_is_a_source_to_learn_from(light: Light) -> None:
    from madstar.learning.corpus.measured import read_archives

    found = light.begin(rounds=1)
    candidates = read_archives([light.home])
    record = json.loads((found.directory / "rounds" / "0001.json").read_text())
    assert sorted(each.figures[0].value for each in candidates) == sorted(
        each["score"] for each in record["proposals"]
    )
    blocks = [each for each in candidates if each.source == "layer"]
    assert len(blocks) == sum(each["kind"] == "graph" for each in record["proposals"]) > 0
    assert blocks[0].trace().main.inputs[0].dtype == "int64"
