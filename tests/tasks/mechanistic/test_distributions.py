"""The vectorised draws have the distributions of the plain loops, which follow the definitions.

Figures compared are one number for each example, so that they are independent, and a chi-square test holds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from benchmarks.generation_loops import LOOPS
from scipy.stats import chi2_contingency

from madstar.tasks.mechanistic import IGNORE, Examples, Setting, find_task, generate
from madstar.tasks.mechanistic.memorization import value_of_key

COUNT = 1500
CASES = {
    "recall": ("in-context-recall", {"vocabulary_size": 12, "length": 32}),
    "recall, one query": ("in-context-recall", {"vocabulary_size": 13, "length": 24, "multi_query": False}),
    "noisy": ("noisy-in-context-recall", {"vocabulary_size": 14, "length": 32, "noise_vocabulary": 6}),
    "noisy, much": (
        "noisy-in-context-recall",
        {"vocabulary_size": 14, "length": 24, "noise_vocabulary": 6, "noise_fraction": 0.8},
    ),
    "fuzzy": ("fuzzy-in-context-recall", {"vocabulary_size": 10, "length": 48}),
    "fuzzy, two and one": (
        "fuzzy-in-context-recall",
        {"vocabulary_size": 9, "length": 40, "key_motif": 2, "value_motif": 1, "multi_query": False},
    ),
    "fuzzy, tight": (
        "fuzzy-in-context-recall",
        {"vocabulary_size": 7, "length": 13, "key_motif": 2, "value_motif": 2},
    ),
    "fuzzy with noise": (
        "fuzzy-in-context-recall",
        {"vocabulary_size": 12, "length": 40, "key_motif": 2, "noise_vocabulary": 3, "noise_fraction": 0.3},
    ),
    "copying": ("selective-copying", {"vocabulary_size": 6, "length": 30, "tokens_to_copy": 5}),
    "compression": ("compression", {"vocabulary_size": 8, "length": 12}),
    "compression with noise": (
        "compression",
        {"vocabulary_size": 10, "length": 12, "noise_vocabulary": 3, "noise_fraction": 0.4},
    ),
    "memorization with noise": (
        "memorization",
        {"vocabulary_size": 20, "length": 12, "noise_vocabulary": 3, "noise_fraction": 0.3},
    ),
    "mqar": ("mqar", {"vocabulary_size": 16, "length": 32, "pairs": 3}),
    "mqar, filled": ("mqar", {"vocabulary_size": 16, "length": 20, "pairs": 3, "random_fill": True}),
}


def made(name: str, values: dict[str, int | float | bool]) -> Setting:
    counts = {"train_examples": COUNT, "test_examples": COUNT, "validation_examples": COUNT}
    return find_task(name).setting(**{**counts, **values})


def looped(setting: Setting, split: str, compatible: bool) -> Examples:
    """As many examples from the loop."""
    rng = np.random.default_rng(77)
    drawn = [LOOPS[setting.task](setting, split == "train", rng, compatible) for _ in range(COUNT)]
    return Examples(np.array([i for i, _ in drawn]), np.array([t for _, t in drawn]))


def gap(inputs: np.ndarray, position: int) -> int:
    """Tokens since the token at a position was there for the first time."""
    return position - int(np.flatnonzero(inputs == inputs[position])[0])


def last_gap(inputs: np.ndarray, targets: np.ndarray) -> int:
    """The distance over which the last probed token is to be recalled."""
    return gap(inputs, int(np.flatnonzero(targets != IGNORE)[-1]))


def mean_gap(inputs: np.ndarray, targets: np.ndarray) -> int:
    asked = np.flatnonzero(targets != IGNORE)
    return round(float(np.mean([gap(inputs, int(each)) for each in asked])))


FEATURES: dict[str, Callable[[np.ndarray, np.ndarray], int]] = {
    "probes": lambda i, t: int((t != IGNORE).sum()),
    "first probe": lambda i, t: int(np.argmax(t != IGNORE)),
    "last probe": lambda i, t: len(t) - int(np.argmax(t[::-1] != IGNORE)),
    "distinct tokens": lambda i, t: len(np.unique(i)),
    "first token": lambda i, t: int(i[0]),
    "token after a quarter": lambda i, t: int(i[len(i) // 4]),
    "token in the middle": lambda i, t: int(i[len(i) // 2]),
    "token before the last": lambda i, t: int(i[-2]),
    "last token": lambda i, t: int(i[-1]),
    "change in the middle": lambda i, t: int(np.sign(i[len(i) // 2] - i[len(i) // 2 - 1])),
    "target in the middle": lambda i, t: int(t[len(t) // 2]),
    "target after three quarters": lambda i, t: int(t[3 * len(t) // 4]),
    "last answer": lambda i, t: int(t[t != IGNORE][-1]),
    "most frequent token": lambda i, t: int(np.bincount(i).max()),
    "times of the first token": lambda i, t: int((i == i[0]).sum()),
    "last recall distance": last_gap,
    "mean recall distance": mean_gap,
    "sum of tokens": lambda i, t: int(i.sum()) // 16,
    "place of the largest token": lambda i, t: int(np.argmax(i)),
}


def chance_of(some: list[int], others: list[int]) -> float:
    """The p-value of two samples coming from one distribution; rare values are pooled."""
    values, codes = np.unique([*some, *others], return_inverse=True)
    table = np.stack(
        [np.bincount(part, minlength=len(values)) for part in (codes[: len(some)], codes[len(some) :])]
    )
    often = table.sum(axis=0) >= 20
    pooled = np.concatenate([table[:, often], table[:, ~often].sum(axis=1, keepdims=True)], axis=1)
    pooled = pooled[:, pooled.sum(axis=0) > 0]
    return 1.0 if pooled.shape[1] < 2 else float(chi2_contingency(pooled, correction=False).pvalue)


def disagreements(some: Examples, others: Examples) -> dict[str, float]:
    """Figures whose distributions differ beyond chance, with the p-value."""
    chances = {
        name: chance_of(*([figure(i, t) for i, t in zip(*each, strict=True)] for each in (some, others)))
        for name, figure in FEATURES.items()
    }
    return {name: chance for name, chance in chances.items() if chance < 1e-4}


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("case", CASES)
def test_the_distribution_is_that_of_the_loop(case: str, split: str) -> None:
    setting = made(*CASES[case])
    compatible = setting.task == "memorization"  # whose sound training deals keys
    assert not disagreements(generate(setting, split, 3, compatible), looped(setting, split, compatible))


@pytest.mark.parametrize("case", ["fuzzy, tight", "copying", "compression with noise"])
def test_the_compatible_distribution_is_that_of_the_compatible_loop_and_another(case: str) -> None:
    setting = made(*CASES[case])
    ours = generate(setting, "test", 3, compatible=True)
    assert not disagreements(ours, looped(setting, "test", compatible=True))
    assert disagreements(ours, looped(setting, "test", compatible=False))


def test_each_position_holds_content_as_often_as_in_the_loop() -> None:
    setting = made(*CASES["copying"])
    blank = setting.vocabulary_size - 2
    ours, loop = (
        each.inputs != blank for each in (generate(setting, "test", 1), looped(setting, "test", False))
    )
    spread = np.sqrt(2 * np.maximum(loop.mean(0) * (1 - loop.mean(0)), 1e-3) / COUNT)
    assert (abs(ours.mean(0) - loop.mean(0)) < 4.5 * spread).all()


def test_recall_draws_the_last_key_from_distinct_ones() -> None:
    """A key presented five times is as likely as one presented once: the last gap tells them apart."""
    setting = made("in-context-recall", {"vocabulary_size": 6, "length": 8})
    inputs, _ = generate(setting, "test", 0)
    pairs = inputs[:, 0:6:2]
    twice = [(row, last) for row, last in zip(pairs, inputs[:, 6], strict=True) if len(set(row)) == 2]
    rare = [int((row == last).sum()) == 1 for row, last in twice]
    assert abs(np.mean(rare) - 0.5) < 4.5 * 0.5 / np.sqrt(len(rare))


def test_mqar_places_follow_the_power_law() -> None:
    setting = made("mqar", {"vocabulary_size": 64, "length": 66, "pairs": 1, "power": 0.01})
    targets = generate(setting, "test", 0).targets
    place = (np.argmax(targets != IGNORE, axis=1) - 2) // 2
    weight = np.arange(1, 33) ** (0.01 - 1)
    expected = COUNT * weight / weight.sum()
    assert ((np.bincount(place, minlength=32) - expected) ** 2 / expected).sum() < 70  # 31 degrees: p < 1e-4


def test_dealt_keys_come_equally_often() -> None:
    setting = made("memorization", {"vocabulary_size": 100, "length": 10, "train_examples": 33})
    keys = generate(setting, "train", 0).inputs[:, 0::2]
    times = np.bincount(keys.ravel(), minlength=len(value_of_key(setting)))
    assert set(times.tolist()) == {3, 4}
    assert len(set(generate(setting, "test", 0).inputs[0, 0::2])) > 1
