"""The predictor against slow formulas, on made-up architectures whose scores are known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau

from madstar.errors import DataError, OutputError
from madstar.learning.datasets.examples import Measured
from madstar.learning.predictor import Description, Figure, fit, load, save
from madstar.learning.predictor import process as gp

QUALITY = Figure("quality", "100 steps")
MAD = Figure("mad", "quick")
OPERATIONS = ("linear", "attention", "convolution", "recurrence", "norm")


def architectures(count: int, seed: int) -> tuple[dict[str, Description], dict[str, float]]:
    """Counts of operations, and a score that is neither linear in them nor without interaction."""
    rng = np.random.default_rng(seed)
    described, truth = {}, {}
    for number in range(count):
        counts = rng.integers(0, 6, len(OPERATIONS))
        size = float(np.log(1000 + 400 * counts.sum() + rng.integers(0, 500)))
        name = f"{seed}-{number}"
        described[name] = Description(
            {
                "size": {"parameters": size},
                "operations": {op: float(np.log1p(c)) for op, c in zip(OPERATIONS, counts, strict=True) if c},
            }
        )
        attention, convolution = np.log1p(counts[1]), np.log1p(counts[2])
        truth[name] = float(
            3 - 0.4 * attention - 0.3 * attention * convolution - 0.2 * size + 0.1 * counts[3]
        )
    return described, truth


def measured(truth: dict[str, float], figure: Figure, noise: float, seed: int = 0) -> list[Measured]:
    rng = np.random.default_rng(seed)
    return [
        Measured(name, figure.task, figure.budget, value + noise * rng.standard_normal(), None, 1)
        for name, value in truth.items()
    ]


def learned(count: int = 80, noise: float = 0.02, seed: int = 1):
    described, truth = architectures(count, seed)
    return fit(described, measured(truth, QUALITY, noise), rng=np.random.default_rng(0)), described, truth


def test_it_ranks_architectures_that_it_has_not_seen():
    predictor, _, _ = learned()
    others, truth = architectures(80, 2)
    found = predictor.predict(list(others.values()), QUALITY)
    tau = kendalltau([p.value for p in found], list(truth.values()))[0]
    sizes = [-d.groups["size"]["parameters"] for d in others.values()]
    assert tau > 0.85
    assert tau > kendalltau(sizes, list(truth.values()))[0] + 0.2


def test_intervals_hold_as_often_as_they_say():
    held = {0.5: [], 0.9: []}
    for seed in range(4):
        described, truth = architectures(60, 10 + seed)
        predictor = fit(described, measured(truth, QUALITY, 0.1, seed), rng=np.random.default_rng(0))
        others, other_truth = architectures(100, 30 + seed)
        again = measured(other_truth, QUALITY, 0.1, 50 + seed)
        for level, found in held.items():
            predicted = predictor.predict(list(others.values()), QUALITY, level)
            found += [p.low <= m.value <= p.high for p, m in zip(predicted, again, strict=True)]
    # Of 400 measurements: three standard errors about the level, and what few graphs leave uncertain.
    for level, found in held.items():
        assert abs(np.mean(found) - level) < 0.09, level


def test_an_amount_is_positive_and_its_errors_are_shares_of_it():
    """Seconds over two orders of magnitude, each measured with an error of a fifth."""
    figure, rng = Figure("decode@1024 on this", ""), np.random.default_rng(5)
    described, truth = architectures(80, 5)
    others, other_truth = architectures(150, 6)

    def seconds(score: float) -> float:
        return 1e-3 * float(np.exp(2 * score + 0.2 * rng.standard_normal()))

    rows = [Measured(name, figure.task, "", seconds(score), None, 1) for name, score in truth.items()]
    rows.append(Measured(next(iter(truth)), figure.task, "", 0.0, None, 1))  # no time at all: left out
    predictor = fit(described, rows, rng=np.random.default_rng(0))
    found = predictor.predict(list(others.values()), figure)
    assert all(0 < p.low < p.value < p.high for p in found)
    again = [seconds(score) for score in other_truth.values()]
    assert 0.82 < np.mean([p.low <= value <= p.high for p, value in zip(found, again, strict=True)]) < 0.98
    ratios = np.log([p.value for p in found]) - np.log(again)
    assert np.median(np.abs(ratios)) < 0.4
    spans = [p.high / p.low for p in found]
    assert max(spans) / min(spans) < 2 * (max(again) / min(again)) ** 0.25  # not as many seconds everywhere


def test_uncertainty_is_larger_far_from_what_was_measured():
    predictor, described, _ = learned()
    near = predictor.predict([next(iter(described.values()))], QUALITY)[0]
    far = Description({"size": {"parameters": 14.0}, "operations": {"attention": 4.0, "recurrence": 5.0}})
    strange = predictor.predict([far], QUALITY)[0]
    assert strange.deviation > 2 * near.deviation
    assert strange.high - strange.low > near.high - near.low


def test_a_figure_measured_a_few_times_leans_on_one_that_goes_with_it():
    described, truth = architectures(80, 3)
    mad = {name: 0.9 - 0.2 * value for name, value in truth.items()}
    few = dict(list(mad.items())[:8])
    others, other_truth = architectures(60, 4)
    scores = [0.9 - 0.2 * value for value in other_truth.values()]
    alone = fit(described, measured(few, MAD, 0.005), rng=np.random.default_rng(0))
    together = fit(
        described,
        measured(truth, QUALITY, 0.02) + measured(few, MAD, 0.005),
        rng=np.random.default_rng(0),
    )

    def error(predictor):
        found = predictor.predict(list(others.values()), MAD)
        return np.mean([abs(p.value - s) for p, s in zip(found, scores, strict=True)])

    assert error(together) < 0.6 * error(alone)


def test_means_of_repeated_measurements_count_by_their_seeds():
    described, truth = architectures(20, 5)
    once = measured(truth, QUALITY, 0.0)
    name = once[0].entry
    twice = [*once, replace(once[0], value=once[0].value + 3.0, seeds=2)]
    meant = [replace(once[0], value=once[0].value + 2.0), *once[1:]]
    a = fit(described, twice, rng=np.random.default_rng(0)).predict([described[name]], QUALITY)
    b = fit(described, meant, rng=np.random.default_rng(0)).predict([described[name]], QUALITY)
    assert a[0].value == pytest.approx(b[0].value)


# Slow formulas ---------------------------------------------------------------------------------


def covariance(process, rows_a, rows_b, figures_a, figures_b):
    """The covariance of the module's text, number by number."""
    scales = process.scales
    result = np.zeros((len(rows_a), len(rows_b)))
    for i, (row_a, t) in enumerate(zip(rows_a, figures_a, strict=True)):
        for j, (row_b, u) in enumerate(zip(rows_b, figures_b, strict=True)):
            total = 0.0
            for number, (group, matrix) in enumerate(process.matrices.items()):
                distance = np.mean((matrix[row_a] - matrix[row_b]) ** 2)
                length = np.exp(float(scales.length[number]))
                total += np.exp(2 * float(scales.amplitude[number])) * np.exp(-distance / (2 * length**2))
                if group == gp.LINEAR:
                    product = np.mean(matrix[row_a] * matrix[row_b])
                    total += np.exp(2 * float(scales.linear)) * product
            between = float(scales.loading[t] * scales.loading[u])
            if t == u:
                between += np.exp(2 * float(scales.own[t]))
            result[i, j] = total * between
    return result


def two_figures():
    described, truth = architectures(14, 6)
    some = dict(list(truth.items())[3:11])
    return fit(
        described,
        measured(truth, QUALITY, 0.05) + measured({k: -v for k, v in some.items()}, MAD, 0.05),
        rng=np.random.default_rng(0),
    ).process


def test_predictions_are_those_of_the_plain_formula():
    process = two_figures()
    seen = process.observed
    noise = np.exp(2 * process.scales.noise.numpy())[seen.figures] + 1e-6
    K = covariance(process, seen.rows, seen.rows, seen.figures, seen.figures) + np.diag(noise)
    rows = np.arange(5)
    for figure in (0, 1):
        across = covariance(process, rows, seen.rows, [figure] * 5, seen.figures)
        mean, deviation = process.predict({g: m[:5] for g, m in process.matrices.items()}, figure)
        assert mean == pytest.approx(across @ np.linalg.solve(K, seen.values))
        prior = covariance(process, rows, rows, [figure] * 5, [figure] * 5)
        variance = np.diag(prior - across @ np.linalg.solve(K, across.T))
        assert deviation == pytest.approx(np.sqrt(variance), rel=1e-4)


def test_the_nearest_of_a_measured_graph_is_itself():
    predictor, described, _ = learned(30)
    name = list(described)[7]
    nearest = predictor.nearest(described[name], 4)
    same = [n for n, d in described.items() if d == described[name]]
    assert {n for n, alike in nearest if alike > 1 - 1e-9} == set(same[:4])
    assert [alike for _, alike in nearest] == sorted((alike for _, alike in nearest), reverse=True)


def test_equal_fits_are_equal_and_survive_the_disk(tmp_path):
    predictor, described, _ = learned(30)
    again, _, _ = learned(30)
    save(predictor, tmp_path / "p")
    read = load(tmp_path / "p")
    asked = list(described.values())
    assert read.predict(asked, QUALITY) == predictor.predict(asked, QUALITY) == again.predict(asked, QUALITY)
    assert read.entries == predictor.entries
    assert read.nearest(asked[0]) == predictor.nearest(asked[0])


# What is refused -------------------------------------------------------------------------------


def test_too_little_says_what_to_run():
    described, truth = architectures(4, 7)
    with pytest.raises(DataError, match="madstar search"):
        fit(described, measured(truth, QUALITY, 0.0), rng=np.random.default_rng(0))
    with pytest.raises(DataError, match="madstar search"):
        fit({}, [], rng=np.random.default_rng(0))


def test_architectures_that_are_all_alike_are_refused():
    described, truth = architectures(8, 8)
    same = dict.fromkeys(described, next(iter(described.values())))
    with pytest.raises(DataError, match="alike"):
        fit(same, measured(truth, QUALITY, 0.1), rng=np.random.default_rng(0))


def test_an_unknown_figure_and_an_impossible_level_are_refused():
    predictor, described, _ = learned(20)
    asked = list(described.values())[:1]
    with pytest.raises(DataError, match="quality after 100 steps"):
        predictor.predict(asked, MAD)
    with pytest.raises(DataError, match="between 0 and 1"):
        predictor.predict(asked, QUALITY, 1.0)


def test_folders_that_hold_no_predictor_are_refused_in_one_line(tmp_path):
    predictor, _, _ = learned(20)
    save(predictor, folder := tmp_path / "p")
    words, numbers = folder / "predictor.json", folder / "predictor.safetensors"
    good_words, good_numbers = words.read_text(), numbers.read_bytes()
    document = json.loads(good_words)
    bad = [
        json.dumps(document | {"schema": "madstar.predictor/99"}),
        json.dumps(document | {"entries": document["entries"][:-1]}),
        json.dumps(document | {"calibrations": []}),
        json.dumps(document | {"columns": {}}),
        json.dumps({k: v for k, v in document.items() if k != "figures"}),
        "[]",
        "{",
        "",
    ]
    for text in bad:
        words.write_text(text)
        with pytest.raises(DataError) as raised:
            load(folder)
        assert "\n" not in str(raised.value)
    words.write_text(good_words)
    for data in (b"", good_numbers[:100], good_numbers[:-8], b"\xff" * 64):
        numbers.write_bytes(data)
        with pytest.raises(DataError):
            load(folder)
    with pytest.raises(DataError):
        load(tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        save(predictor, tmp_path / "file" / "p")
