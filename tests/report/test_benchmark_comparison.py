"""Benchmarks side by side: what counts as a difference, and what is left out."""

import math
import random
from pathlib import Path

import pytest

from madstar.errors import ArchiveError, ConfigurationError
from madstar.protocol.compare import Compared, ComparedLine, compare, find_benchmarks

from .benchmark_runs import ERROR, plan, steady, write

MAMBA = ("mamba", "swiglu")


def test_a_run_is_best_only_where_no_other_can_be_as_good() -> None:
    """Against a loop over all pairs, for random scores."""
    rng = random.Random(0)
    seen = set()
    for _ in range(300):
        scores = tuple(
            Compared(math.nan if rng.random() < 0.1 else rng.random(), rng.choice([0.0, 0.05, 0.2, math.nan]))
            for _ in range(rng.randint(2, 4))
        )
        best = None
        for one in range(len(scores)):
            rivals = [s for place, s in enumerate(scores) if place != one and not math.isnan(s.value)]
            beaten = [
                scores[one].value - s.value > 2 * math.sqrt(scores[one].error ** 2 + s.error**2)
                for s in rivals
            ]
            if rivals and all(beaten) and not math.isnan(scores[one].value):
                best = one
        seen.add(best)
        line = ComparedLine("task", ("baseline",), scores)
        assert line.best == best
        if best is not None:
            assert line.top == (best,)
    assert {None, 0, 1} <= seen


def test_only_settings_that_all_have_scored_count(tmp_path: Path) -> None:
    def top(setting: object) -> float | None:
        return None if getattr(setting, "vocabulary_size", 0) == 64 else 0.9

    one = write(tmp_path, plan(), top=top)
    other = write(tmp_path, plan(MAMBA, tasks=("in-context-recall",)), top=lambda setting: 0.5)
    found = compare([one, other])
    recall, memorization = found.tasks
    assert recall.settings == ("baseline", "train_examples=3200")
    assert memorization.settings == ()
    assert math.isnan(memorization.scores[0].value)
    kept = [s for s in one.tasks[0].settings if s.setting.name in recall.settings]
    assert recall.scores[0].value == pytest.approx(sum(s.value for s in kept) / 2)
    assert recall.scores[0].error == pytest.approx(ERROR / math.sqrt(2))
    assert found.overall.scores == recall.scores
    assert recall.best == 0
    assert "vocabulary_size=64" in found.notes[0]
    assert any("failed in 1 setting" in note for note in found.notes)
    assert found.to_dict()["overall"]["best"] == 0


def test_equal_runs_tie(tmp_path: Path) -> None:
    runs = [write(tmp_path, plan(layers)) for layers in (("mamba", "mlp"), MAMBA)]
    found = compare(runs)
    assert {line.best for line in (*found.tasks, found.overall)} == {None}
    assert {each.verdict for each in found.overall.differences} == {"tie"}
    assert found.overall.top == (0, 1)


def test_more_seeds_are_no_other_budget(tmp_path: Path) -> None:
    found = compare([write(tmp_path, plan(seeds=2)), write(tmp_path, plan(MAMBA))])
    assert [each["seeds"] for each in found.to_dict()["runs"]] == [2, 1]


def test_other_protocols_budgets_and_runs_are_refused(tmp_path: Path) -> None:
    one = write(tmp_path, plan())
    with pytest.raises(ConfigurationError, match="protocol is sound in the first and mad-lab in the second"):
        compare([one, write(tmp_path, plan(protocol="mad-lab"))])
    with pytest.raises(ConfigurationError, match="budget is quick in the first and standard in the second"):
        compare([one, write(tmp_path, plan(budget="standard", tasks=("memorization",)))])
    with pytest.raises(ConfigurationError, match="no setting"):
        compare([one, write(tmp_path, plan(MAMBA, tasks=("compression",)))])
    with pytest.raises(ConfigurationError, match="two or more"):
        compare([one])


def test_names_by_any_part(tmp_path: Path) -> None:
    first = write(tmp_path, plan(), name="alpha-1", most=1).run.name
    second = write(tmp_path, plan(MAMBA), name="alpha-10", most=1, top=steady).run.name
    assert find_benchmarks(["alpha-1", "10", "latest", "1"], tmp_path) == (first, second, second, first)
    with pytest.raises(ArchiveError, match="several"):
        find_benchmarks(["alpha"], tmp_path)
    with pytest.raises(ArchiveError, match="beta"):
        find_benchmarks(["beta"], tmp_path)
