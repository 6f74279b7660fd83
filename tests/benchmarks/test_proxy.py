"""Does MAD predict anything: the study's figures on made-up rows, and racing rules on made-up curves."""

from __future__ import annotations

import argparse
import itertools
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.proxy import BLOCKED, STRIPED, UNIFORM, add_row, architectures, is_there, main, read_rows
from benchmarks.proxy_analysis import (
    analyse,
    by_share,
    chosen_set,
    correlation,
    findings,
    spearman,
    striped_differences,
    task_seconds,
    task_sets,
    text_error,
    text_figure,
    text_runs,
)
from benchmarks.proxy_tables import markdown
from benchmarks.rank_correlation import draw_weights
from scipy.stats import kendalltau, spearmanr

from benchmarks import quick_protocol, racing
from madstar.liv import LanguageModel
from madstar.tasks.mechanistic import protocol_settings

KNOWN = [asdict(each) for each in architectures()]
NAMES = [each["name"] for each in KNOWN]


def mad(name: str, tasks: dict[str, float], budget: str = "quick", error: float = 0.01) -> dict[str, Any]:
    found = {task: {"score": score, "error": error} for task, score in tasks.items()}
    row = {"kind": "mad", "architecture": name, "budget": budget, "dim": 64, "tasks": found, "error": error}
    return {**row, "score": sum(tasks.values()) / len(tasks), "seeds": 2}


def spent(name: str, task: str, seconds: float, point: str = "a") -> dict[str, Any]:
    about = {"kind": "spent", "architecture": name, "budget": "quick", "task": task, "point": point}
    return {**about, "setting": task, "cpu_seconds": seconds}


def text(name: str, bits: float | None, seed: int = 0, rate: float = 5e-3, width: int = 64) -> dict[str, Any]:
    row = {"kind": "text", "architecture": name, "width": width, "seed": seed, "steps": 400, "rate": rate}
    return {**row, "bits_per_byte": bits, "parameters": 1000 + len(name)}


def made_up() -> list[dict[str, Any]]:
    """Recall tells all of text and is cheap, compression tells the opposite, and copying nothing."""
    rows = []
    for place, name in enumerate(NAMES):
        scores = {"recall": place / 100, "compression": 0.9 - place / 50, "copying": 0.5 + (place % 2) / 10}
        rows.append(mad(name, scores))
        rows += [spent(name, "recall", 1.0), spent(name, "recall", 1.0, "b")]
        rows += [spent(name, "compression", 6.0), spent(name, "copying", 12.0)]
        rows += [text(name, 3.0 - place / 50 + seed / 1000, seed) for seed in range(2)]
    return rows


# The architectures ---------------------------------------------------------------------------


def test_architectures_can_be_built_and_are_classed_as_they_are() -> None:
    assert len(KNOWN) >= 18
    assert len(set(NAMES)) == len({each.layers for each in architectures()}) == len(KNOWN)
    for each in architectures():
        LanguageModel(16, 16, each.layers, dim=64)
        mixers = [layer for layer in each.layers if layer in {"mh-attention", each.mixer, "rwkv6-time-mixer"}]
        assert each.share == sum(layer == "mh-attention" for layer in mixers) / len(mixers)
        takes_turns = all("mixer" not in b and b in {"swiglu"} for b in each.layers[1::2])
        if each.order == UNIFORM:
            assert len(set(mixers)) == 1
        else:
            assert len(set(mixers)) == 2
            assert takes_turns == (each.order == STRIPED) != (each.order == BLOCKED)
    for share in (0.0, 0.25, 0.5, 1.0):
        assert any(each.share == share and len(each.layers) == 8 for each in architectures())


# Correlations --------------------------------------------------------------------------------


def test_spearman_is_that_of_the_architectures_drawn() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 5, 9).astype(float), rng.normal(size=9)
    weights = draw_weights(9, 20, rng)
    found = spearman(x, y, weights)
    for value, times in zip([found.value, *found.draws], weights.astype(int), strict=True):
        drawn = np.repeat(np.arange(9), times)
        assert value == pytest.approx(spearmanr(x[drawn], y[drawn]).statistic)


def test_correlation_leaves_out_what_one_of_the_two_lacks() -> None:
    one = {name: float(place) for place, name in enumerate("abcdef")}
    other = {name: -value for name, value in one.items() if name != "c"}
    found = correlation(one, other, "abcdefg", draws=20)
    assert found is not None
    assert (found["architectures"], found["kendall"][0], found["spearman"][0]) == (5, -1.0, pytest.approx(-1))
    assert correlation(one, {"a": 1.0, "b": 2.0, "c": 3.0}, "abcdef", draws=20) is None


def slow_left_out(
    sets: list[tuple[str, ...]], values: dict[tuple[str, ...], np.ndarray], target: np.ndarray
) -> float:
    """The same with scipy and loops over pairs."""
    signs = []
    for pair in itertools.combinations(range(len(target)), 2):
        others = [k for k in range(len(target)) if k not in pair]
        taus = {s: kendalltau(values[s][others], target[others]).statistic for s in sets}
        chosen = max(sets, key=lambda s: (round(taus[s], 9), -len(s), -sets.index(s)))
        one, two = pair
        signs.append(np.sign(values[chosen][one] - values[chosen][two]) * np.sign(target[one] - target[two]))
    return float(np.mean(signs))


@pytest.mark.parametrize("seed", range(2))
def test_left_out_tau_against_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.normal(size=9)
    sets = [s for n in (1, 2, 3) for s in itertools.combinations("xyz", n)]
    by_task = {task: target * 0.5 + rng.normal(size=9) for task in "xyz"}
    values = {s: np.mean([by_task[t] for t in s], axis=0) for s in sets}
    best, left_out, often = chosen_set(sets, values, target)
    assert left_out == pytest.approx(slow_left_out(sets, values, target))
    assert best == max(sets, key=lambda s: kendalltau(values[s], target).statistic)
    assert 0 <= often <= 1


def test_a_set_fitted_to_noise_is_worth_nothing_on_what_was_left_out() -> None:
    rng = np.random.default_rng(3)
    fitted, left_out = [], []
    for _ in range(40):
        target = rng.normal(size=12)
        values = {(str(n),): rng.normal(size=12) for n in range(20)}
        best, own, _ = chosen_set(list(values), values, target)
        fitted.append(kendalltau(values[best], target).statistic)
        left_out.append(own)
    assert np.mean(fitted) > 0.3
    assert abs(np.mean(left_out)) < 0.1


# Rows ----------------------------------------------------------------------------------------


def test_text_takes_the_best_rate_whose_seeds_all_ended() -> None:
    rows = [text("a", 2.0), text("a", 2.2, 1), text("a", 1.0, rate=1e-2), text("a", None, 1, rate=1e-2)]
    rows += [text("a", 2.5, rate=1e-3), text("b", None), text("a", 0.5, width=128)]
    assert text_runs(rows, 64) == {"a": [2.0, 2.2]}
    assert text_figure(rows, 64) == {"a": pytest.approx(-2.1)}
    assert math.isnan(text_error({"a": [2.0]}))


def test_the_error_on_text_is_that_of_most_architectures() -> None:
    drawn = np.random.default_rng(0).normal(2.0, 0.2, (2000, 2))
    runs = {str(number): list(scores) for number, scores in enumerate(drawn)}
    assert text_error(runs) == pytest.approx(0.2 / math.sqrt(2), rel=0.1)
    assert text_error(runs | {"unstable": [2.0, 6.0]}) == pytest.approx(text_error(runs), rel=0.01)


def test_seconds_of_a_task_are_of_one_whole_benchmark() -> None:
    """Two trainings make a task; an architecture that has not ended does not count."""
    rows = [mad("a", {"recall": 0.5}), mad("b", {"recall": 0.5})]
    rows += [spent("a", "recall", 1.0), spent("a", "recall", 2.0, "b"), spent("b", "recall", 5.0)]
    assert task_seconds([*rows, spent("c", "recall", 100.0)], "quick") == {"recall": 4.0}


def test_the_cheap_task_that_tells_is_chosen() -> None:
    found = task_sets(KNOWN, made_up(), "quick", 64)
    assert {tuple(each["tasks"]) for each in found} == {("recall",)}
    assert all(each["tau"] == each["left_out"] == each["chosen"] == 1 for each in found)
    assert found[0]["cpu_seconds"] == 2.0


def test_everything_of_made_up_rows() -> None:
    result = analyse(KNOWN, made_up(), draws=50)
    assert result["counts"]["mad"] == {"quick": len(KNOWN)}
    assert result["counts"]["text"] == {"64": len(KNOWN)}
    by_task = {row["task"]: row["kendall"][0] for row in result["tasks"]}
    assert (by_task["recall"], by_task["compression"]) == (1, -1)
    seeds = [row for row in result["correlations"] if row["one"] == "text 64, seed 0"]
    assert seeds[0]["kendall"] == [1, 1, 1]
    json.dumps(result)
    told = markdown(result)
    assert f"{len(KNOWN)} scored at quick" in told
    assert "recall" in told


def test_a_task_agrees_with_itself_at_the_larger_budget_or_not() -> None:
    rows = made_up()
    assert analyse(KNOWN, rows, draws=20)["agreement"] == []
    for place, name in enumerate(NAMES[:16]):
        rows.append(mad(name, {"recall": place / 50, "compression": place / 50}, budget="standard"))
    found = {row["task"]: row for row in analyse(KNOWN, rows, draws=20)["agreement"]}
    assert {task: (row["architectures"], row["kendall"][0]) for task, row in found.items()} == {
        "recall": (16, 1),
        "compression": (16, -1),
    }
    assert "| recall | standard | 16 | +1.00 [+1.00, +1.00] |" in markdown(analyse(KNOWN, rows, draws=20))


@pytest.mark.parametrize("keep", [0, 1, 7, 60])
def test_whatever_rows_there_are(keep: int) -> None:
    rows = made_up()[:keep]
    result = analyse(KNOWN, [*rows, *rows], draws=20)
    assert sum(result["counts"]["mad"].values()) == sum(row["kind"] == "mad" for row in rows)
    lines = markdown(result).splitlines()
    heads = [place for place, line in enumerate(lines) if line.startswith("|---")]
    assert all(lines[place + 1].startswith("|") for place in heads)
    assert bool(heads) == bool(keep)


def test_a_line_cut_off_is_passed_over(tmp_path: Path) -> None:
    add_row(tmp_path / "part-0-of-2.jsonl", {"kind": "mad", "dim": 64})
    (tmp_path / "part-1-of-2.jsonl").write_text('{"kind": "text", "width": 64}\n{"kind": "te')
    rows = read_rows(tmp_path)
    assert [row["kind"] for row in rows] == ["mad", "text"]
    assert is_there(rows, kind="mad", dim=64)
    assert not is_there(rows, kind="mad", dim=32)


def test_analyse_reads_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for row in [*made_up(), mad("8 x mamba", {"recall": 1.0}) | {"dim": 32}]:
        add_row(tmp_path / "part-0-of-1.jsonl", row)
    main(["analyse", "--results", str(tmp_path), "--draws", "20", "--name", ""])
    assert f"{len(KNOWN)} scored at quick, {len(KNOWN)} on text at width 64" in capsys.readouterr().out


# Findings ------------------------------------------------------------------------------------


def test_striped_against_its_own_family_only() -> None:
    figure = dict.fromkeys(NAMES, 0.5) | {"mamba + attention": 0.7, "mamba": 0.69}
    found = striped_differences(KNOWN, "MAD", figure, dict.fromkeys(NAMES, 0.01))
    own = {row["other"]: row for row in found if row["striped"] == "mamba + attention"}
    assert set(own) == {"mamba", "mh-attention", "mamba + attention, mixers first"}
    assert own["mamba"]["verdict"] == "tie"
    assert own["mh-attention"]["verdict"] == "better"
    assert own["mh-attention"]["error"] == pytest.approx(math.hypot(0.01, 0.01))
    assert own["mamba + attention, mixers first"]["against"] == BLOCKED


def test_scores_of_one_seed_have_no_error_and_so_no_verdict() -> None:
    rows = [mad(name, {"recall": 0.1 + len(name) / 100}) | {"seeds": 1} for name in NAMES]
    found = findings(KNOWN, rows)
    assert {row["verdict"] for row in found["striped"]} == {"unknown"}
    assert {row["less_quarter"]["verdict"] for row in found["share"]} == {"unknown"}
    several = findings(KNOWN, [row | {"seeds": 2} for row in rows])
    assert "better" in {row["verdict"] for row in several["striped"]}


def test_shares_against_a_quarter() -> None:
    figure = dict.fromkeys(NAMES, 0.5) | {"8 x mamba": 0.2, "8 x mh-attention": 0.8}
    found = by_share(KNOWN, "MAD", figure, dict.fromkeys(NAMES, 0.01))
    own = {row["share"]: row["less_quarter"]["verdict"] for row in found if row["mixer"] == "mamba"}
    assert own == {0.0: "worse", 0.25: "tie", 0.5: "tie", 1.0: "better"}
    unknown = by_share(KNOWN, "text", figure, dict.fromkeys(NAMES, math.nan))
    assert {row["less_quarter"]["verdict"] for row in unknown} == {"unknown"}


# Racing --------------------------------------------------------------------------------------


def run_of(point: str, accuracies: list[float], **more: Any) -> racing.Run:
    """A training of four looks at 100, 200, 300, 400 steps; its test accuracy is its last one."""
    looks = zip((100.0, 200.0, 300.0, 400.0), accuracies, strict=False)
    solved = next((a for a in accuracies if a >= 0.999), None)
    fields = {
        "architecture": "x",
        "task": "t",
        "setting": "s",
        "point": point,
        "dim": 64,
        "total": 400,
        "chance": 0.1,
        "curve": tuple((step, a, 0.01, 2.0 - a) for step, a in looks),
        "valid": accuracies[-1],
        "test": accuracies[-1],
        "solved_test": solved,
        "diverged": False,
        "cpu_seconds": 1.0,
    }
    return racing.Run(**{**fields, **more})


RUNGS = (1 / 4, 1 / 2, 1)


def test_nothing_is_saved_or_lost_without_a_rule() -> None:
    found = racing.judge("none", [run_of("a", [0.2, 0.4, 0.5, 0.6]), run_of("b", [1.0] * 4)], RUNGS)
    assert (found.spent, found.full, found.lost, found.dropped, found.solved) == (800, 800, 0, False, False)


def test_halving_drops_a_late_riser() -> None:
    runs = [run_of("a", [0.3, 0.4, 0.5, 0.5]), run_of("late", [0.1, 0.2, 0.6, 0.9])]
    found = racing.judge("halving", runs, RUNGS)
    assert (found.spent, found.full) == (500, 800)
    assert found.lost == pytest.approx(0.4)
    assert found.dropped


def test_the_rule_stops_a_clear_loser_at_half() -> None:
    runs = [run_of("a", [0.5, 0.8, 0.9, 0.95]), run_of("flat", [0.1, 0.1, 0.1, 0.1])]
    found = racing.judge("the rule", runs, RUNGS)
    assert (found.spent, found.lost, found.dropped) == (600, 0, False)


def test_a_solved_setting_ends_all_points() -> None:
    runs = [run_of("a", [0.5, 0.6, 1.0, 1.0], solved_test=0.98), run_of("b", [0.4, 0.6, 0.7, 0.8])]
    for rule in ("the rule", "solved only"):
        found = racing.judge(rule, runs, RUNGS)
        assert (found.spent, found.solved) == (600, True)
        assert found.lost == pytest.approx(0.02)


def test_who_was_dropped_before_solves_nothing() -> None:
    runs = [run_of("a", [0.5, 0.6, 0.6, 0.6]), run_of("late", [0.1, 0.2, 1.0, 1.0])]
    found = racing.judge("halving", runs, RUNGS)
    assert (found.solved, found.dropped, found.spent) == (False, True, 500)
    assert found.lost == pytest.approx(0.4)


def test_diverged_points_cost_what_they_took() -> None:
    runs = [run_of("a", [0.5, 0.6, 0.6, 0.6]), run_of("b", [0.5], diverged=True, valid=math.nan)]
    found = racing.judge("solved only", runs, RUNGS)
    assert (found.spent, found.full, found.lost) == (500, 500, 0)
    nothing = racing.judge("the rule", [run_of("b", [0.5], diverged=True)], RUNGS)
    assert (nothing.spent, nothing.full) == (100, 100)


def test_races_that_lack_a_point_are_left_out() -> None:
    rows = [asdict(run_of("a", [0.5, 0.6, 0.6, 0.6])), asdict(run_of("b", [0.4, 0.5, 0.5, 0.5]))]
    rows.append(asdict(run_of("a", [0.5, 0.6, 0.6, 0.6], setting="other")))
    read_back = json.loads(json.dumps(rows))
    lines = racing.summary(racing.outcomes(read_back, RUNGS, 2))
    assert {line["races"] for line in lines} == {1}
    assert [line["rule"] for line in lines if line["task"] == "all"] == list(racing.RULES)
    assert "| halving | all | 1 | 0 |" in racing.markdown(lines)


def test_a_training_is_carried_to_its_end() -> None:
    given = argparse.Namespace(sweep="quick", tasks=["memorization"], architectures=1, dim=32)
    mixer, plan, setting, point = racing.planned(given)[0]
    found = racing.carried_to_the_end(mixer, plan, setting, point, total=18)
    assert [step for step, *_ in found.curve] == racing.looks(18)
    assert racing.looks(400) == list(range(25, 401, 25))
    assert 0 <= found.test <= 1
    assert not found.diverged


# The quick budget's cost ---------------------------------------------------------------------


def test_projection_of_a_setting() -> None:
    """Six points, 200 epochs, 100 steps and 10 batches evaluated each."""
    seconds = quick_protocol.setting_seconds(protocol_settings()[0], {"step": 2.0, "evaluated": 1.0})
    assert seconds == 6 * 200 * (100 * 2 + 10 * 1)


def test_solved_settings_are_free_in_the_lower_projection() -> None:
    solved = {"t": quick_protocol.solved_share([{"reason": "solved"}, {"reason": "beaten"}])}
    assert quick_protocol.unless_solved({"t": 10.0, "u": 4.0}, solved) == 9.0


def test_every_setting_is_projected(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []

    def pretended(shape: Any, *_: Any) -> dict[str, float]:
        shapes.append(shape)
        return {"step": 1.0, "evaluated": 0.0}

    monkeypatch.setattr(quick_protocol, "loop_seconds", pretended)
    settings = protocol_settings()[:3]
    by_task, measured = quick_protocol.projected(["swiglu"], settings, 2, 1)
    assert sum(by_task.values()) == 3 * 6 * 200 * 100
    assert len(measured) == len(set(shapes)) == len(shapes)
