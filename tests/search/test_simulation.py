"""The whole coordinator on pretended evaluations: promotion, finalists, deadlines, in seconds."""

from __future__ import annotations

import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madstar.genome import Genome
from madstar.search import make_settings
from madstar.search.simulation import Clock, Pretended, PretendedPool, simulate
from madstar.search.strategies import strategy_names
from madstar.search.summary import mean_errors, mean_values
from madstar.tasks import TextTask, prepare_text
from madstar.training import Budget
from madstar.workers import Job

from .strategies.landscape import LITTLE

RUNGS = ("50", "100", "200", "400")


def landscape(payload: dict[str, Any]) -> Pretended:
    """Convolutions first and attention last are good; attention shows it late; seeds scatter."""
    kinds = [liv.operator.token_mixing for liv in Genome.parse(payload["genome"]).livs]
    steps = Budget.parse(RUNGS[payload["rung"]]).amount
    lateness = 0.8 * kinds.count(2) / len(kinds) * (50 / steps)
    good = 0.1 * (kinds[0] == 3) + 0.2 * (kinds[-1] == 2) + 0.05 * kinds.count(3) - 0.04 * kinds.count(1)
    noise = np.random.default_rng([zlib.crc32(payload["genome"].encode()), int(steps), payload["seed"]])
    score = 2.5 - good + 2 * (50 / steps) + lateness + 0.02 * noise.standard_normal()
    fresh = payload["rung"] == 0 or payload["stage"] != "search"
    done = 0 if fresh else 0.8 * Budget.parse(RUNGS[payload["rung"] - 1]).amount
    values = {"quality": score, "bits_per_byte": score, "perplexity": 2**score}
    values |= {name: pair[0] for name, pair in payload["known"].items()}
    value = {"status": "ok", "values": values, "errors": {"quality": 0.03}, "steps": int(steps)}
    timings = {"train": (steps - done) * 0.1, "resumed": float(not fresh)}
    return Pretended((steps - done) * 0.1 + 1, value | {"timings": timings})


@pytest.fixture(scope="module")
def task(text: Path, tmp_path_factory: pytest.TempPathFactory) -> TextTask:
    return prepare_text(str(text), directory=tmp_path_factory.mktemp("task"), length=32)


def settings(**values: Any) -> Any:
    base: dict[str, Any] = {"objectives": ("quality",), "rungs": RUNGS, "workers": 2, "candidates": 30}
    # A quick strategy, where it is the coordinator that is looked at.
    base |= {"baselines": False, "width": 16, "min_depth": 4, "max_depth": 4, "strategy": "nsga2"}
    return make_settings(**{**base, **values})


def test_a_pretended_pool_ends_jobs_in_time_and_no_two_on_one_worker() -> None:
    clock = Clock(own_time=False)
    pool = PretendedPool(lambda payload: Pretended(payload["t"], {}), clock, "x:y", 2)
    pool.submit(Job("long", {"t": 5.0}))
    pool.submit(Job("short", {"t": 2.0}))
    assert pool.idle == 0
    (first,) = pool.wait(0.5)
    assert (first.id, clock()) == ("short", 2.0)
    pool.submit(Job("next", {"t": 1.0}))
    assert [pool.wait()[0].id, pool.wait()[0].id] == ["next", "long"]
    assert clock() == 5.0
    assert pool.wait(0.5) == []
    assert clock() == 5.5


@pytest.mark.parametrize("strategy", strategy_names())
def test_runs_repeat_and_finalists_get_their_share(
    strategy: str, task: TextTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("madstar.learning.guided.strategy.Guidance", lambda: LITTLE)
    chosen = settings(strategy=strategy, workers=1, candidates=20)
    first = simulate(chosen, task, landscape, tmp_path, "a", own_time=False).summary()
    again = simulate(chosen, task, landscape, tmp_path, "b", own_time=False).summary()
    told = [[(r.candidate, r.rung, r.stage, r.seed, r.values) for r in s.evaluations] for s in (first, again)]
    assert told[0] == told[1]
    by_stage = Counter(row.stage for row in first.evaluations)
    assert by_stage["repeat"] >= 1
    steps = Counter()
    for row in first.evaluations:
        done = 0.8 * Budget.parse(RUNGS[row.rung - 1]).amount if row.timings["resumed"] else 0
        steps[row.stage] += row.steps - done
    share = steps["repeat"] / (steps["repeat"] + steps["search"])
    # A round is begun while less than the share is spent, and has at most eight trainings.
    assert 0.15 <= share < 0.15 + 8 * 400 / sum(steps.values())


def test_repeats_have_seeds_of_their_own_and_figures_become_means(task: TextTask, tmp_path: Path) -> None:
    summary = simulate(settings(reevaluate=0.4), task, landscape, tmp_path, "run", own_time=False).summary()
    finalist = max(summary.entries, key=lambda entry: entry.seeds)
    assert finalist.seeds >= 3
    rows = [r for r in summary.evaluations if r.candidate == finalist.index and r.rung == 3]
    assert len({row.seed for row in rows}) == len(rows) == finalist.seeds
    mean = np.mean([row.values["quality"] for row in rows])
    assert finalist.values["quality"] == pytest.approx(mean)
    scatter = np.std([row.values["quality"] for row in rows], ddof=1) / len(rows) ** 0.5
    assert finalist.errors["quality"] == pytest.approx((0.03**2 + scatter**2) ** 0.5)
    assert mean_values(rows)["quality"] == pytest.approx(mean)
    assert mean_errors(rows[:1])["quality"] == pytest.approx(0.03)


def test_without_a_share_nobody_is_repeated(task: TextTask, tmp_path: Path) -> None:
    summary = simulate(settings(reevaluate=0.0), task, landscape, tmp_path, "run", own_time=False).summary()
    assert {row.stage for row in summary.evaluations} == {"search"}


@pytest.mark.parametrize("minutes", [8.0, 20.0])
def test_a_deadline_is_kept_and_the_end_is_the_finalists(
    minutes: float, task: TextTask, tmp_path: Path
) -> None:
    chosen = settings(candidates=None, minutes=minutes)
    summary = simulate(chosen, task, landscape, tmp_path, "run", own_time=False).summary()
    ends = [row.finished_at for row in summary.evaluations]
    assert max(ends) <= 60 * minutes + 15
    assert max(ends) > 60 * minutes * 0.8
    repeats = [row for row in summary.evaluations if row.stage == "repeat"]
    assert repeats
    assert min(row.started_at for row in repeats) > 60 * minutes * 0.6
    assert summary.rung == 3


def test_a_budget_in_steps_is_kept_whatever_the_clock_says(task: TextTask, tmp_path: Path) -> None:
    chosen = settings(candidates=None, steps=6000)
    summary = simulate(chosen, task, landscape, tmp_path, "fast", own_time=False).summary()

    def slow(payload: dict[str, Any]) -> Pretended:
        answer = landscape(payload)
        return Pretended(7 * answer.seconds, answer.value)

    slower = simulate(chosen, task, slow, tmp_path, "slow", own_time=False).summary()
    spent = Counter()
    for row in summary.evaluations:
        done = 0.8 * Budget.parse(RUNGS[row.rung - 1]).amount if row.timings["resumed"] else 0
        spent[row.stage] += row.steps - done
    assert 5000 < sum(spent.values()) <= 6000
    assert 400 <= spent["repeat"] <= 0.15 * 6000 + 470
    told = [[(r.candidate, r.rung, r.stage, r.values) for r in s.evaluations] for s in (summary, slower)]
    assert told[0] == told[1]


def test_a_promoted_candidate_was_never_a_clear_loser(task: TextTask, tmp_path: Path) -> None:
    summary = simulate(settings(), task, landscape, tmp_path, "run", own_time=False).summary()
    at = {rung: {} for rung in range(4)}
    for row in summary.evaluations:
        if row.stage == "search":
            at[row.rung][row.candidate] = row.values["quality"]
    best = min(at[0].values())
    for rung in range(3):
        promoted = [at[rung][candidate] for candidate in at[rung + 1]]
        dropped = [score for candidate, score in at[rung].items() if candidate not in at[rung + 1]]
        assert np.mean(promoted) < np.mean(dropped)
    # Far beyond the noise at 50 steps and what the rungs may still change.
    assert all(at[0][candidate] < best + 1.0 for candidate in at[1])


def test_a_space_with_one_architecture_ends_by_itself(task: TextTask, tmp_path: Path) -> None:
    one = {"classes": (9,), "levels": ("backbone",), "sharing": 0.0, "min_depth": 1, "max_depth": 1}
    chosen = settings(**one, mutation=0.0, candidates=50, strategy="random", workers=1)
    summary = simulate(chosen, task, landscape, tmp_path, "run", own_time=False).summary()
    assert summary.run.status == "finished"
    assert [c.status for c in summary.candidates].count("pending") == 1
    assert {c.status for c in summary.candidates} == {"pending", "duplicate"}


def test_rejected_offspring_are_kept_as_rows(task: TextTask, tmp_path: Path) -> None:
    chosen = settings(invalid="reject", sharing=0.5, groups=2, population=3, elitism=1, candidates=5)
    summary = simulate(chosen, task, landscape, tmp_path, "run", own_time=False).summary()
    rejected = [c for c in summary.candidates if c.status == "rejected"]
    assert rejected
    assert all(c.repaired_genes and c.validity == "rejected" for c in rejected)
    assert summary.validity.rejected == len(rejected)


def test_an_interrupted_round_of_finalists_goes_on(task: TextTask, tmp_path: Path) -> None:
    """Stopped anywhere and resumed, the run ends with the rows of one that was not."""
    chosen = settings(mode="generational", candidates=None, generations=3, population=8, reevaluate=0.2)
    chosen = make_settings(**{**chosen.model_dump(), "promote": 0.5})
    whole = simulate(chosen, task, landscape, tmp_path, "whole", own_time=False)
    expected = _rows(whole)
    repeats = sum(1 for row in expected if row[2] == "repeat")
    assert repeats >= 2
    for stop in {len(expected) - repeats + 1, len(expected) - 1, len(expected) // 2}:
        calls = 0

        def stopping(payload: dict[str, Any], stop: int = stop) -> Pretended:
            nonlocal calls
            calls += 1
            if calls > stop:
                raise KeyboardInterrupt
            return landscape(payload)

        name = f"stopped-{stop}"
        with pytest.raises(KeyboardInterrupt):
            simulate(chosen, task, stopping, tmp_path, name, own_time=False)
        resumed = simulate(chosen, task, landscape, tmp_path, name, own_time=False)
        assert _rows(resumed) == expected


def _rows(run: Any) -> list[tuple]:
    return sorted(
        (r.candidate, r.rung, r.stage, r.seed, r.values["quality"]) for r in run.summary().evaluations
    )
