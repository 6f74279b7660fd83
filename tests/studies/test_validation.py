"""Validation: what is trained again, and what its rows say, against figures worked out here by hand."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from madstar.archive import Archive, EvaluationRow
from madstar.archive.lock import RunLock
from madstar.errors import ArchiveError, ConfigurationError, DataError
from madstar.search import Run
from madstar.search.evaluation import TEST, validated_weights_path
from madstar.search.run import ARCHIVE_NAME
from madstar.search.trials import SilentTrials, Trial
from madstar.studies import validation
from madstar.studies.retrained import Retrained, Validation
from madstar.studies.validation import larger_budget, read_validation, validate

from .searched import BASELINES, add_row, write_search

MEMBERS, BASELINE_INDICES = (0, 1), (5, 6)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(3)
    words = ["".join(rng.choice(list("abcdefgh"), size=4)) for _ in range(200)]
    lines = [" ".join(rng.choice(words, size=8)) for _ in range(900)]
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(".\n".join(lines))
    return path


@pytest.fixture
def run(text: Path, tmp_path: Path) -> Run:
    return write_search(tmp_path / "home", text)


def rows(run: Run) -> tuple[EvaluationRow, ...]:
    with Archive.open(run.home / ARCHIVE_NAME, create=False) as archive:
        return archive.evaluations(archive.run(run.name).id)


def validations(run: Run) -> list[dict[str, Any]]:
    with Archive.open(run.home / ARCHIVE_NAME, create=False) as archive:
        return archive.run(run.name).config.get("validations", [])


# Trained for real ---------------------------------------------------------------------------


class Interrupting(SilentTrials):
    def __init__(self, after: int) -> None:
        self.after = after

    def ended(self, trial: Trial, row: EvaluationRow) -> None:
        self.after -= 1
        if not self.after:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def validated(text: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Validation, Validation]:
    """A run that was validated with two seeds and an interrupt, read after the interrupt and at the end."""
    run = write_search(tmp_path_factory.mktemp("validated") / "home", text)
    with pytest.raises(KeyboardInterrupt):
        validate(run, budget="6", seeds=2, watcher=Interrupting(5))
    interrupted = read_validation(run)
    return run, interrupted, validate(run, budget="6", seeds=2)


def test_front_and_baselines_are_trained_seed_by_seed(
    validated: tuple[Run, Validation, Validation],
) -> None:
    run, interrupted, done = validated
    new = [row for row in rows(run) if row.stage == "validation"]
    everyone = [*MEMBERS, *BASELINE_INDICES]
    assert [(row.candidate, row.seed) for row in new] == [(i, s) for s in (1000, 1001) for i in everyone]
    assert {(row.rung, row.steps, row.status) for row in new} == {(0, 6, "ok")}
    assert validations(run) == [{"budget": "6 steps", "seeds": 2, "candidates": everyone}]
    assert (interrupted.done, interrupted.wanted, interrupted.complete) == (5, 8, False)
    assert (done.done, done.wanted, done.complete, done.failed) == (8, 8, True, 0)
    assert all(validated_weights_path(run.checkpoints, index, 0).is_file() for index in everyone)


def test_a_validation_leaves_the_search_as_it_was(
    validated: tuple[Run, Validation, Validation], text: Path, tmp_path: Path
) -> None:
    untouched, summary = write_search(tmp_path, text).summary(), validated[0].summary()
    assert [e.index for e in summary.front] == [e.index for e in untouched.front] == [0, 1]
    assert summary.rung == 1
    assert summary.hypervolumes == untouched.hypervolumes
    assert [e.values for e in summary.baselines] == [e.values for e in untouched.baselines]
    assert (summary.run.status, summary.run.seconds) == ("finished", 0)


def test_the_figures_are_those_of_the_rows(validated: tuple[Run, Validation, Validation]) -> None:
    run, _, done = validated
    test = {(r.candidate, r.seed): r.values[TEST] for r in rows(run) if r.stage == "validation"}
    for each in done.architectures:
        pair = [test[each.index, 1000], test[each.index, 1001]]
        assert each.test.mean == pytest.approx(sum(pair) / 2)
        assert each.test.error == pytest.approx(abs(pair[0] - pair[1]) / 2)
        assert [row.seed for row in each.rows] == [1000, 1001]
        assert each.test.mean != each.valid.mean
    for member in MEMBERS:
        for baseline in BASELINE_INDICES:
            compared = done.comparison(member, baseline)
            gaps = [test[member, seed] - test[baseline, seed] for seed in (1000, 1001)]
            assert compared.difference.mean == pytest.approx(statistics.fmean(gaps))
            half = stats.t.ppf(0.975, 1) * statistics.stdev(gaps) / math.sqrt(2)
            assert compared.difference.high == pytest.approx(statistics.fmean(gaps) + half)
            assert compared.difference.n == 2
    for each in done.members:
        assert each.means["quality"] == each.test.mean
        assert each.means["cache@64"] == each.figures["cache@64"]


# Worked out by hand -------------------------------------------------------------------------


def written(run: Run, test: dict[int, list[float]], *, seeds: int = 3, cache: dict[int, float]) -> Validation:
    """A validation whose trainings gave these bits per byte on test text, nan where they diverged."""
    with Archive.open(run.home / ARCHIVE_NAME, create=False) as archive:
        row = archive.run(run.name)
        one = {"budget": "16 steps", "seeds": seeds, "candidates": list(test)}
        archive.update_run(row.id, config={**row.config, "validations": [one]})
        for index, values in test.items():
            for seed, value in enumerate(values, start=1000):
                figures = {"bits_per_byte": value + 0.5, "quality": value + 0.5, TEST: value}
                fields: dict[str, Any] = {"stage": "validation", "seed": seed}
                if math.isnan(value):
                    figures, fields["status"] = {}, "diverged"
                else:
                    figures["cache@64"] = cache[index]
                add_row(archive, row.id, index, 0, figures, **fields)
    return read_validation(run)


CACHES = {0: 800.0, 1: 200.0, 5: 1000.0, 6: 200.0}


def by_index(found: Validation) -> dict[int, Retrained]:
    return {each.index: each for each in found.architectures}


def test_verdicts_are_paired_by_seed(run: Run) -> None:
    # Seeds differ by much more than architectures do: unpaired all would be ties.
    test = {
        0: [2.00, 3.00, 4.00],
        1: [2.21, 3.20, 4.19],
        5: [2.10, 3.11, 4.09],  # 0 is better by 0.10, 0.11, 0.09; 1 is worse by 0.11, 0.09, 0.10
        6: [2.50, 2.90, 4.10],  # 0 is better by 0.50, -0.10, 0.10: a tie
    }
    found = written(run, test, cache=CACHES)
    assert found.comparison(0, 5).verdict == "better"
    assert found.comparison(1, 5).verdict == "worse"
    assert found.comparison(0, 6).verdict == "tie"
    difference = found.comparison(0, 5).difference
    assert difference.mean == pytest.approx(-0.10)
    assert difference.error == pytest.approx(0.01 / math.sqrt(3))
    # Student's t with 2 degrees of freedom: 4.3027.
    assert difference.low == pytest.approx(-0.10 - 4.3027 * 0.01 / math.sqrt(3), abs=1e-5)
    assert found.comparison(0, 5).beyond_two_errors
    assert not found.comparison(1, 5).beyond_two_errors
    assert not found.comparison(0, 6).beyond_two_errors
    assert found.better_than_all == ()
    document = found.to_dict()
    told = {(c["member"], c["baseline"]): c["no_worse"] for c in document["comparisons"]}
    assert (told[0, 5], told[1, 5], told[0, 6]) == (True, False, True)


def test_better_than_all_needs_every_baseline(run: Run) -> None:
    test = {0: [2.0, 3.0, 4.0], 1: [9.0] * 3, 5: [2.2, 3.2, 4.2], 6: [2.5, 3.5, 4.51]}
    assert written(run, test, cache=CACHES).better_than_all == (0,)


def test_the_front_after_retraining_is_that_of_the_means(run: Run) -> None:
    # Of the members 1 is now as good as 0 with less cache, and baseline 6 better still with the same.
    test = {0: [3.0, 3.0, 3.0], 1: [2.9, 3.0, 3.1], 5: [2.8, 2.9, 3.0], 6: [2.0, 2.0, 2.0]}
    found = by_index(written(run, test, cache=CACHES))
    assert found[1].means["quality"] == pytest.approx(3.0)
    assert {index: each.stays for index, each in found.items()} == {0: False, 1: True, 5: False, 6: False}
    assert found[0].dominated_by in ((1, 6), (6,))  # 1 dominates if rounding leaves the means equal
    assert found[1].dominated_by == (6,)
    assert found[5].dominated_by == (6,)
    assert found[6].dominated_by == ()
    assert list(found)[:2] in ([0, 1], [1, 0])  # members come before baselines, the best first
    assert list(found)[2:] == [6, 5]


def test_shares_are_of_the_baselines_static_figures(run: Run) -> None:
    found = written(run, {0: [3.0] * 3, 1: [3.0] * 3, 5: [3.0] * 3, 6: [3.0] * 3}, cache=CACHES)
    figures = {each.index: each.figures for each in found.architectures}
    shares = found.comparison(0, 5).shares
    assert shares["parameters"] == figures[0]["parameters"] / figures[5]["parameters"]
    assert shares["cache@64"] == figures[0]["cache@64"] / figures[5]["cache@64"] != 1


def test_a_failed_training_is_no_figure_and_pairs_with_nothing(run: Run) -> None:
    nan = math.nan
    test = {0: [2.0, nan, 3.0], 1: [nan] * 3, 5: [2.1, 2.0, 3.2], 6: [2.2, 2.3, nan]}
    found = written(run, test, cache=CACHES)
    assert (found.done, found.failed, found.complete) == (12, 5, True)
    members = by_index(found)
    assert members[0].test.mean == pytest.approx(2.5)
    assert (members[0].test.n, members[0].stays, members[0].dominated_by) == (2, True, (6,))
    assert (members[1].means, members[1].stays, math.isnan(members[1].test.mean)) == ({}, False, True)
    assert found.comparison(0, 5).difference.mean == pytest.approx((-0.1 - 0.2) / 2)
    assert (found.comparison(0, 6).difference.n, found.comparison(0, 6).verdict) == (1, "tie")
    assert found.comparison(1, 5).difference.n == 0
    assert [each.index for each in found.architectures] == [0, 1, 6, 5]
    told = {(c["member"], c["baseline"]): c["no_worse"] for c in found.to_dict()["comparisons"]}
    assert (told[0, 6], told[1, 5]) == (False, False)  # one pair shows nothing


def test_hit_rates_count_the_final_population_at_the_top_rung(run: Run) -> None:
    found = written(run, {0: [3.0], 5: [3.0], 6: [3.0]}, seeds=1, cache=CACHES)
    # At the top: 0 (3.0, 800), 1 (4.0, 200), 2 (3.5, 900); baselines 5 (3.2, 1000), 6 (3.9, 100).
    rates = {rate.baseline: rate for rate in found.hit_rates}
    assert set(rates) == set(BASELINE_INDICES)
    assert {rate.population for rate in rates.values()} == {3}
    assert (rates[5].dominating, rates[5].better) == (1, {"quality": 1, "cache@64": 3})
    assert (rates[6].dominating, rates[6].better) == (0, {"quality": 2, "cache@64": 0})
    assert rates[5].share == pytest.approx(1 / 3)


# What is asked for --------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[Trial]]:
    """What would have been trained, call by call; nothing is."""
    calls: list[list[Trial]] = []

    def note(archive: Any, row: Any, trials: list[Trial], **rest: Any) -> None:
        calls.append(list(trials))

    monkeypatch.setattr(validation, "run_trials", note)
    return calls


def test_without_a_budget_it_is_four_times_the_largest_rung(run: Run, asked: list[list[Trial]]) -> None:
    validate(run)
    assert {trial.budget for trial in asked[0]} == {"16 steps"}
    assert {trial.seed for trial in asked[0]} == {1000, 1001, 1002}
    assert {trial.label for trial in asked[0]} == {"#0", "#1", *BASELINES}
    tokens = run.settings.model_copy(update={"rungs": ("500 tokens", "1500 tokens")})
    assert larger_budget(tokens, None) == "6000 tokens"


def test_the_seeds_are_not_the_searchs(text: Path, tmp_path: Path, asked: list[list[Trial]]) -> None:
    validate(write_search(tmp_path, text, seed=7), seeds=2)
    assert {trial.seed for trial in asked[0]} == {1007, 1008}


def test_the_same_budget_again_extends_and_another_begins(run: Run, asked: list[list[Trial]]) -> None:
    for budget, seeds in ((None, 2), ("16", 4), ("1024 tokens", 2), ("20 steps", 2), ("16 steps", 2)):
        validate(run, budget=budget, seeds=seeds)
    assert [(one["budget"], one["seeds"]) for one in validations(run)] == [
        ("16 steps", 4),
        ("1024 tokens", 2),
        ("20 steps", 2),
    ]
    assert [len(trials) for trials in asked] == [8, 16, 8, 8, 16]
    assert [trials[0].rung for trials in asked] == [0, 0, 1, 2, 0]
    assert asked[1][: len(asked[0])] == asked[0]
    assert (read_validation(run).number, read_validation(run, 0).seeds) == (2, 4)
    assert read_validation(run, -3).number == 0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"seeds": 1}, "1 seeds for a validation: give at least 2, for one shows no spread"),
        (
            {"budget": "4"},
            "budget 4 steps is not larger than the run's largest of 4 steps: give more, such as 16",
        ),
        ({"budget": "200 tokens"}, "budget 200 tokens is not larger"),
        ({"budget": "60s"}, "budget 60 seconds cannot be compared with .*of 4 steps: give it in steps"),
        ({"budget": "lots"}, "budget 'lots': write it as"),
        ({"workers": 0}, "0 workers: give at least 1"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    run: Run, asked: list[list[Trial]], given: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        validate(run, **given)
    assert (asked, validations(run)) == ([], [])


def test_a_run_without_a_front_is_refused(text: Path, tmp_path: Path, asked: list[list[Trial]]) -> None:
    run = write_search(tmp_path, text, front=False)
    with pytest.raises(ArchiveError, match=r"by-hand has no front .*madstar search --resume by-hand"):
        validate(run)
    assert (asked, validations(run)) == ([], [])


def test_a_run_that_another_works_on_is_refused(run: Run, asked: list[list[Trial]]) -> None:
    with RunLock(run.directory, run.name), pytest.raises(ArchiveError, match="is being worked on"):
        validate(run)
    assert (asked, validations(run)) == ([], [])


def test_data_that_are_gone_or_others_are_refused(run: Run, asked: list[list[Trial]]) -> None:
    with Archive.open(run.home / ARCHIVE_NAME, create=False) as archive:
        row = archive.run(run.name)
        task = {**row.config["task"], "fingerprint": "another"}
        archive.update_run(row.id, config={**row.config, "task": task})
    with pytest.raises(ArchiveError, match="the data of run by-hand have changed"):
        validate(run)
    for path in run.task_directory.iterdir():
        path.unlink()
    with pytest.raises(DataError, match="madstar search --resume by-hand prepares them again"):
        validate(run)
    assert asked == []


def test_a_validation_that_is_not_there_is_refused(run: Run, asked: list[list[Trial]]) -> None:
    with pytest.raises(ArchiveError, match="has not been validated: madstar validate by-hand does it"):
        read_validation(run)
    validate(run)
    with pytest.raises(ArchiveError, match=r"has no validation 1: it has 1"):
        read_validation(run, 1)
