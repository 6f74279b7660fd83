import math
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from madstar.archive import Archive
from madstar.errors import ArchiveError, ConfigurationError
from madstar.search import SearchSettings, make_settings
from madstar.studies.attainment import Box, Record
from madstar.studies.comparison import compare, ranked
from madstar.studies.study import CLOCK, WORKERS, Difference, Study
from madstar.studies.treatments import TREATMENT, check_comparable, common_fields, told

from .written import RUNGS, write


def difference(study: Study, metric: str) -> Difference:
    found = [d for d in study.differences if d.metric == metric]
    assert len(found) == 1
    return found[0]


def three_seeds(home: Path) -> Study:
    """nsga2 is better than random by 0.1, 0.2, 0.3 bits per byte; the cache is the same everywhere."""
    runs = []
    for seed, gain in enumerate((0.1, 0.2, 0.3)):
        runs.append(write(home, f"n{seed}", [(4.0, 100.0), (3.0 - gain, 100.0)], seed=seed))
        runs.append(write(home, f"r{seed}", [(4.0, 100.0), (3.0, 100.0)], seed=seed, strategy="random"))
    return compare(runs)


def test_differences_are_paired_by_seed(tmp_path: Path) -> None:
    study = three_seeds(tmp_path)
    assert [t.label for t in study.treatments] == ["nsga2", "random"]
    assert (study.paired, study.seeds) == (True, (0, 1, 2))
    found = difference(study, "quality")
    assert (found.one, found.other) == ("nsga2", "random")
    bounds = stats.ttest_1samp([-0.1, -0.2, -0.3], 0).confidence_interval(0.95)
    assert found.interval.mean == pytest.approx(-0.2)
    assert (found.interval.low, found.interval.high) == (
        pytest.approx(bounds.low),
        pytest.approx(bounds.high),
    )
    assert found.verdict == "tie"  # 4.30 * 0.0577 = 0.248 > 0.2
    assert study.summaries["nsga2"]["quality"].mean == pytest.approx(2.8)
    assert study.summaries["random"]["quality"].error == 0
    assert study.ranks["quality"] == {"nsga2": 1.0, "random": 2.0}


def test_a_sure_difference_is_called_one(tmp_path: Path) -> None:
    runs = []
    for seed, (one, other) in enumerate([(2.0, 3.0), (4.01, 5.0), (5.99, 7.01)]):
        runs.append(write(tmp_path, f"n{seed}", [(one, 100.0)], seed=seed))
        runs.append(write(tmp_path, f"r{seed}", [(other, 100.0)], seed=seed, strategy="random"))
    # Surely better only seed by seed: between texts the qualities differ more than between strategies.
    study = compare(runs)
    assert difference(study, "quality").verdict == "better"
    assert difference(study, "hypervolume").verdict == "better"
    backwards = compare(runs[::-1])
    assert [t.label for t in backwards.treatments] == ["random", "nsga2"]
    assert difference(backwards, "quality").verdict == "worse"


def test_hypervolume_is_a_share_of_a_box_that_a_seed_shares(tmp_path: Path) -> None:
    # Quality from 2 to 4 and cache from 100 to 300, so the reference point is (4.2, 320).
    one = write(tmp_path, "one", [(2.0, 300.0), (3.0, 100.0)], references=[(4.0, 200.0)])
    other = write(tmp_path, "other", [(3.0, 200.0)], strategy="random")
    study = compare([one, other])
    area = 2.2 * 220
    shares = {each.run: each.figures["hypervolume"] for each in study.attained}
    assert shares["one"] == pytest.approx((2.2 * 20 + 1.2 * 200) / area)
    assert shares["other"] == pytest.approx(1.2 * 120 / area)
    # One seed: described, but a tie.
    found = difference(study, "hypervolume")
    assert found.interval.mean == pytest.approx(shares["one"] - shares["other"])
    assert math.isnan(found.interval.low)
    assert found.verdict == "tie"
    assert any("one seed" in note for note in study.notes)


def test_a_box_around_a_single_point() -> None:
    box = Box.around([(2.0, 0.0)])
    assert box.share([(2.0, 0.0)]) == pytest.approx(1.0)
    assert box.share([]) == 0.0


def test_a_repeated_candidate_counts_with_its_mean(tmp_path: Path) -> None:
    run = write(tmp_path, "run", [(2.0, 100.0), (2.1, 100.0)], repeats=[(0, 2.4, 100.0), (1, 2.1, 100.0)])
    [attained] = compare([run]).attained
    assert attained.best == "#1"
    assert attained.figures["quality"] == pytest.approx(2.1)
    assert attained.figures["evaluations"] == 6
    record = Record.read(run)
    qualities = [moment.quality for moment in record.trajectory(Box.around(record.points()))]
    assert qualities == pytest.approx([2.0, 2.0, 2.1, 2.1])


def test_test_text_and_size_are_of_the_candidate_that_validation_chose(tmp_path: Path) -> None:
    run = write(tmp_path, "run", [(2.5, 1.0), (2.0, 1.0)], tests=[2.1, 2.3], parameters=[7.0, 9.0])
    [attained] = compare([run]).attained
    assert attained.figures["test"] == pytest.approx(2.3)
    assert attained.figures["parameters"] == 9.0


def test_retrained_is_chosen_on_validation_text_among_the_fully_seeded(tmp_path: Path) -> None:
    points = [(2.0, 1.0), (2.1, 1.0), (2.2, 1.0)]
    rows = [(0, 1.8, 1.9), (0, 1.6, 1.7), (1, 1.75, 1.5), (1, 1.75, 1.5), (2, 1.0, 1.0)]
    one = write(tmp_path, "one", points, validations=[("40", [(1, 1.0, 1.0)]), ("80", rows)])
    other = write(tmp_path, "other", points, validations=[("80", [(1, 1.0, 1.95)])], strategy="random")
    study = compare([one, other])
    assert study.validation == "80"
    assert study.summaries["nsga2"]["retrained"].mean == pytest.approx(1.8)
    assert study.summaries["random"]["retrained"].mean == pytest.approx(1.95)
    # Retraining costs the search nothing.
    assert {each.figures["worker_seconds"] for each in study.attained} == {30.0}
    third = write(tmp_path, "third", points, validations=[("160", [(1, 1.0, 1.9)])], strategy="random")
    unlike = compare([one, third])
    assert unlike.validation is None
    assert any("different budgets" in note for note in unlike.notes)
    assert "retrained" not in [m.name for m in unlike.metrics]


def test_figures_at_equal_cost(tmp_path: Path) -> None:
    # Ten seconds a candidate: when the slow run ends after 20, the quick one has its first two.
    quick = write(tmp_path, "quick", [(3.0, 1.0), (2.5, 1.0), (2.0, 1.0)])
    slow = write(tmp_path, "slow", [(2.2, 1.0)], cost=20.0, strategy="random")
    study = compare([quick, slow])
    assert study.horizon == 20
    assert study.summaries["nsga2"]["quality"].mean == pytest.approx(2.0)
    assert study.summaries["nsga2"]["quality_at_cost"].mean == pytest.approx(2.5)
    assert study.summaries["random"]["quality_at_cost"].mean == pytest.approx(2.2)
    assert study.summaries["nsga2"]["training_seconds"].mean == pytest.approx(24)
    assert any(
        "Costs are not equal: nsga2 spent 30 worker seconds a run and random 20" in n for n in study.notes
    )


def test_curves_hold_the_last_figure(tmp_path: Path) -> None:
    study = three_seeds(tmp_path)
    for axis in (WORKERS, CLOCK):
        [curve] = [c for c in study.curves if (c.treatment, c.axis, c.metric) == ("nsga2", axis, "quality")]
        by_seconds = dict(curve.points)
        assert min(by_seconds) >= 10 > min(by_seconds) - 1
        assert max(by_seconds) == 20
        assert {i.mean for x, i in curve.points if x < 20} == {4.0}
        assert by_seconds[20.0].mean == pytest.approx(2.8)
        assert by_seconds[20.0].n == 3
        bounds = stats.t.interval(0.95, 2, loc=2.8, scale=stats.sem([2.9, 2.8, 2.7]))
        assert by_seconds[20.0].low == pytest.approx(bounds[0])


def test_breaks_are_no_time_on_the_clock(tmp_path: Path) -> None:
    run = write(tmp_path, "run", [(2.0, 1.0)])
    with Archive.open(tmp_path / "archive.sqlite") as archive:
        row = archive.run("run")
        archive.add_candidate(row.id, index=1, genome="x", architecture="1", operator="random")
        values = {"quality": 1.5, "bits_per_byte": 1.5, "cache@4096": 1.0}
        # On the second worker while the first is busy, and then a day later.
        for rung, (begun, ended) in enumerate([(1002.0, 1012.0), (90000.0, 90003.0)]):
            archive.add_evaluation(
                row.id,
                candidate=1,
                rung=rung,
                **{"steps": 1, "tokens": 1, "seed": 0, "status": "ok", "values": values},
                timings={"train": 1.0, "build": 0.5, "resumed": 1.0},
                started_at=begun,
                finished_at=ended,
            )
    record = Record.read(run)
    assert record.spent == (pytest.approx(10 + 2 * 1.5), pytest.approx(12 + 3))


def test_unlike_seeds_are_compared_unpaired(tmp_path: Path) -> None:
    runs = [write(tmp_path, f"n{s}", [(2.0 + 0.1 * s, 1.0)], seed=s) for s in range(3)]
    runs += [write(tmp_path, f"r{s}", [(3.0 + 0.1 * s, 1.0)], seed=s, strategy="random") for s in range(4, 6)]
    study = compare(runs)
    assert not study.paired
    assert any("do not have the same seeds" in note for note in study.notes)
    found = difference(study, "quality").interval
    bounds = stats.ttest_ind([2.0, 2.1, 2.2], [3.4, 3.5], equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(bounds.low), pytest.approx(bounds.high))
    # One box for all: quality from 2 to 3.5, reference 3.65.
    shares = {each.run: each.figures["hypervolume"] for each in study.attained}
    assert shares["n1"] == pytest.approx((3.65 - 2.1) / (3.65 - 2.0))


def test_runs_of_one_seed_count_as_one(tmp_path: Path) -> None:
    runs = [
        write(tmp_path, f"{name}{seed}", [(quality, 1.0)], seed=seed)
        for name, seed, quality in [("a", 0, 2.0), ("b", 0, 3.0), ("a", 1, 4.0)]
    ]
    study = compare(runs)
    assert study.summaries["nsga2"]["quality"].n == 2
    assert study.summaries["nsga2"]["quality"].mean == pytest.approx(3.25)
    assert study.differences == ()
    assert any("compares nothing" in note for note in study.notes)
    assert any("averaged" in note for note in study.notes)


def test_how_much_goes_with_size(tmp_path: Path) -> None:
    # In both runs a doubling of the parameters brings 0.5 bits per byte; the bests differ by one doubling.
    cap = {"constraints": ("parameters<=4000",)}
    one = write(tmp_path, "one", [(3.0, 1.0), (2.0, 1.0)], parameters=[1000.0, 4000.0], **cap)
    other = write(
        tmp_path, "other", [(3.1, 1.0), (2.6, 1.0)], parameters=[1000.0, 2000.0], strategy="random", **cap
    )
    study = compare([one, other])
    assert study.cap == 4000
    found = difference(study, "quality")
    assert found.interval.mean == pytest.approx(-0.6)
    assert found.by_size == pytest.approx(-0.5)
    assert study.summaries["nsga2"]["parameters"].mean == 4000


# What may not be compared ------------------------------------------------------------------------

OTHER: dict[str, Any] = {
    "data": "other",
    "tokenizer": "byte",
    "field": "body",
    "objectives": ("quality", "cache", "parameters"),
    "constraints": ("parameters<=5M",),
    "min_depth": 4,
    "max_depth": 12,
    "width": 128,
    "heads": 8,
    "window": 32,
    "tied": True,
    "classes": (7, 9, 1),
    "levels": ("backbone",),
    "groups": 2,
    "sharing": 0.5,
    "invalid": "reject",
    "training.length": 128,
    "training.learning_rate": 0.01,
    "rungs": ("10 steps", "30 steps"),
    "minutes": 2.0,
    "candidates": 100,
    "workers": 3,
    "baselines": False,
    "time_limit": 5.0,
    "memory_limit": 10**9,
}


@pytest.mark.parametrize("field", OTHER)
def test_a_field_that_differs_is_named(field: str) -> None:
    name, _, inner = field.partition(".")
    value = {inner: OTHER[field]} if inner else OTHER[field]
    settings = [make_settings(minutes=1.0), make_settings(**{"minutes": 1.0, "seed": 1, name: value})]
    with pytest.raises(ConfigurationError) as caught:
        check_comparable(["first", "second"], settings, [{}, {}])
    message = str(caught.value)
    assert "\n" not in message
    assert f"runs first and second differ in more than their treatment: {field} is " in message
    assert told(OTHER[field]) in message


def test_runs_that_may_not_be_compared_are_refused(tmp_path: Path) -> None:
    one, other = write(tmp_path, "one", [(2.0, 1.0)]), write(tmp_path, "other", [(2.0, 1.0)], width=64)
    with pytest.raises(ConfigurationError, match="width is 32 in one and 64 in other"):
        compare([one, other])


def test_every_setting_is_in_the_treatment_or_must_be_equal() -> None:
    settings = make_settings(candidates=5)
    fields = {field.partition(".")[0] for field in common_fields(settings)}
    assert fields | set(TREATMENT) | {"seed", "workers"} >= set(SearchSettings.model_fields)
    assert {"seed", "strategy", "workers"}.isdisjoint(fields)
    assert "workers" in common_fields(make_settings(minutes=1.0))
    generations = make_settings(generations=2, mode="generational")
    assert "population" in common_fields(generations)
    assert set(common_fields(settings)) >= set(OTHER) - {"workers"}


def test_what_may_differ(tmp_path: Path) -> None:
    plain = write(tmp_path, "plain", [(2.0, 1.0)])
    varied = {"population": 8, "elitism": 1, "crossover": 0.5, "mutation": 0.2, "below": 0.1}
    other = write(tmp_path, "other", [(2.0, 1.0)], cuts="gene", promote=0.5, **varied)
    study = compare([plain, other])
    label = study.treatments[1].label
    assert label.startswith("nsga2, population 8, elitism 1, crossover 0.5")
    assert "cuts gene" in label
    assert dict(study.treatments[0].settings)["population"] == 16


def test_what_random_search_has_no_use_for_makes_no_other_treatment(tmp_path: Path) -> None:
    runs = [
        write(tmp_path, "a", [(2.0, 1.0)], strategy="random"),
        write(tmp_path, "b", [(2.0, 1.0)], strategy="random", population=8, seed=1),
        write(tmp_path, "c", [(2.0, 1.0)], population=8),
        write(tmp_path, "d", [(2.0, 1.0)], population=9),
    ]
    assert [t.label for t in compare(runs).treatments] == [
        "random",
        "nsga2, population 8",
        "nsga2, population 9",
    ]


def test_a_text_that_has_changed_is_other_data(tmp_path: Path) -> None:
    one = write(tmp_path, "first", [(2.0, 1.0)])
    other = write(tmp_path, "second", [(2.0, 1.0)], fingerprint="other", strategy="random")
    with pytest.raises(ConfigurationError, match="the text of data is text-0 in first and other-0 in second"):
        compare([one, other])


def test_a_run_without_a_front(tmp_path: Path) -> None:
    one, empty = write(tmp_path, "one", [(2.0, 1.0)]), write(tmp_path, "empty", [], references=[(1.0, 1.0)])
    with pytest.raises(ArchiveError, match=rf"run empty has no front: .* \({RUNGS[-1]} steps\)"):
        compare([one, empty])


def test_no_runs_and_a_run_twice(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no runs to compare"):
        compare([])
    run = write(tmp_path, "one", [(2.0, 1.0)])
    with pytest.raises(ConfigurationError, match="run one is named twice"):
        compare([run, run])


def test_an_unfinished_run_is_noted(tmp_path: Path) -> None:
    study = compare([write(tmp_path, "one", [(2.0, 1.0)], status="interrupted")])
    assert any("Run one is interrupted" in note for note in study.notes)


def test_ranks_of_equals() -> None:
    assert ranked([2.0, 1.0, 2.0, 3.0]) == [2.5, 1.0, 2.5, 4.0]


def test_the_document_says_all(tmp_path: Path) -> None:
    document = three_seeds(tmp_path).to_dict()
    assert document["seeds"] == [0, 1, 2]
    assert document["equal"]["width"] == "32"
    assert [t["label"] for t in document["treatments"]] == ["nsga2", "random"]
    assert document["treatments"][0]["figures"]["quality"]["n"] == 3
    assert document["treatments"][0]["ranks"]["quality"] == 1.0
    assert {d["verdict"] for d in document["differences"] if d["metric"] == "quality"} == {"tie"}
    assert len(document["runs"]) == 6
    assert document["notes"][0] == "No search was seeded with motifs."
