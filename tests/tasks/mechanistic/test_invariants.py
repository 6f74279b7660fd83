"""What holds for every example of every setting, seen by reading the sequences as a person would."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examined
from hypothesis import strategies as st

from madstar.errors import TaskError
from madstar.tasks.mechanistic import (
    IGNORE,
    SPLITS,
    TASKS,
    Examples,
    Setting,
    Task,
    check_setting,
    find_task,
    generate,
    protocol_settings,
    shared_examples,
    task_settings,
)
from madstar.tasks.mechanistic.drawing import BLOCK_TOKENS, choose, distinct, first_occurrence
from madstar.tasks.mechanistic.memorization import value_of_key

COUNTS = {"train_examples": 6, "test_examples": 7, "validation_examples": 5}


@st.composite
def drawn_settings(draw: st.DrawFn, task: str) -> Setting:
    """Any setting that can be generated, small ones more often."""
    values: dict[str, Any] = {
        "vocabulary_size": draw(st.integers(2, 40)),
        "length": draw(st.integers(2, 60)),
    }
    choices = {
        "multi_query": st.booleans(),
        "noise_vocabulary": st.integers(0, 6),
        "noise_fraction": st.sampled_from([0.0, 0.3, 0.9]),
        "key_motif": st.integers(1, 4),
        "value_motif": st.integers(1, 4),
        "tokens_to_copy": st.integers(1, 20),
        "pairs": st.integers(1, 8),
        "power": st.sampled_from([0.0, 0.01, 1.0]),
        "random_fill": st.booleans(),
    }
    values |= {name: draw(choices[name]) for name in find_task(task).fields}
    try:
        return find_task(task).setting(**COUNTS, **values)
    except TaskError:
        return draw(st.just(find_task(task).setting(**COUNTS, vocabulary_size=40, length=60)))


def any_setting() -> st.SearchStrategy[Setting]:
    return st.sampled_from(TASKS).flatmap(drawn_settings)


def motifs(sequence: list[int], setting: Setting) -> list[tuple[int, str, tuple[int, ...]]]:
    """Runs of one kind in a recall sequence: where they begin, what they are, their tokens."""
    special = 0 if setting["multi_query"] else 1
    special += "key_motif" in dict(setting.extras)
    noise = setting.whole("noise_vocabulary")
    pairs = setting.vocabulary_size - special - noise
    runs: list[tuple[int, str, tuple[int, ...]]] = []
    for position, token in enumerate(sequence):
        kind = (
            "key"
            if token < pairs // 2
            else "value"
            if token < pairs
            else "noise"
            if token < pairs + noise
            else "special"
        )
        if runs and runs[-1][1] == kind and kind != "special":
            begin, _, tokens = runs[-1]
            runs[-1] = (begin, kind, (*tokens, token))
        else:
            runs.append((position, kind, (token,)))
    return runs


def expected_answers(sequence: list[int], setting: Setting) -> list[int]:
    """What a reader of a whole recall sequence (with its last answer) says is to be asked."""
    asked = [IGNORE] * len(sequence)
    value: dict[tuple[int, ...], tuple[int, ...]] = {}
    runs = motifs(sequence, setting)
    for number, (begin, kind, tokens) in enumerate(runs):
        if kind != "value":
            continue
        key = runs[number - 1]
        assert key[1] == "key", "a value follows its key"
        last = number == len(runs) - 1
        if key[2] in value:
            assert value[key[2]] == tokens, "a key keeps its value"
            if setting["multi_query"] or last:
                asked[begin : begin + len(tokens)] = tokens
        else:
            assert not last, "the last key has been presented before"
        value[key[2]] = tokens
    return asked[1:]


def whole_sequences(examples: Examples) -> list[list[int]]:
    """Inputs with the last answer, which recall tasks with one special token less hold already."""
    return [
        [*inputs, targets[-1]] if targets[-1] != IGNORE else list(inputs)
        for inputs, targets in zip(examples.inputs.tolist(), examples.targets.tolist(), strict=True)
    ]


@given(any_setting(), st.sampled_from(SPLITS), st.integers(0, 2**40), st.booleans())
@examined(max_examples=150)
def test_shapes_ranges_and_determinism(setting: Setting, split: str, seed: int, compatible: bool) -> None:
    inputs, targets = examples = generate(setting, split, seed, compatible)
    assert inputs.shape == targets.shape == (setting.count(split), setting.length)
    assert inputs.dtype == targets.dtype == np.int64
    assert inputs.min() >= 0
    assert inputs.max() < setting.vocabulary_size
    assert ((targets == IGNORE) | ((targets >= 0) & (targets < setting.vocabulary_size))).all()
    assert (targets != IGNORE).any(axis=1).all() or setting.task == "compression"
    again = generate(setting, split, seed, compatible)
    assert all(np.array_equal(*pair) for pair in zip(examples, again, strict=True))


@pytest.mark.parametrize("task", ["in-context-recall", "noisy-in-context-recall", "fuzzy-in-context-recall"])
@given(data=st.data(), seed=st.integers(0, 1000))
@examined(max_examples=120)
def test_recall_asks_exactly_what_was_presented(task: str, data: st.DataObject, seed: int) -> None:
    setting = data.draw(drawn_settings(task))
    if task == "fuzzy-in-context-recall" and setting["noise_fraction"] > 0:
        setting = setting.changed(noise_fraction=0.0)  # noise between a value and its answer is no run
    examples = generate(setting, "test", seed)
    for sequence, targets in zip(whole_sequences(examples), examples.targets.tolist(), strict=True):
        assert [*expected_answers(sequence, setting), IGNORE][: setting.length] == targets


@pytest.mark.parametrize("task", ["in-context-recall", "noisy-in-context-recall", "fuzzy-in-context-recall"])
@given(data=st.data(), seed=st.integers(0, 1000))
@examined(max_examples=60)
def test_recall_trains_on_every_next_token(task: str, data: st.DataObject, seed: int) -> None:
    setting = data.draw(drawn_settings(task))
    inputs, targets = generate(setting, "train", seed)
    assert np.array_equal(targets[:, :-1], inputs[:, 1:])
    for sequence in whole_sequences(Examples(inputs, targets)):
        if not (task == "fuzzy-in-context-recall" and setting["noise_fraction"] > 0):
            expected_answers(sequence, setting)  # which asserts


@given(drawn_settings("selective-copying"), st.sampled_from(SPLITS), st.booleans())
@examined(max_examples=60)
def test_copying_asks_for_the_content_in_its_order(setting: Setting, split: str, compatible: bool) -> None:
    copied, blank = setting.whole("tokens_to_copy"), setting.vocabulary_size - 2
    ends_with_content = []
    for inputs, targets in zip(*generate(setting, split, 0, compatible), strict=True):
        before, marker, after = np.split(inputs, [setting.length - copied - 1, setting.length - copied])
        assert marker.tolist() == [blank + 1]
        assert (after == blank).all()
        assert targets[-copied:].tolist() == before[before < blank].tolist()
        assert (targets[:-copied] == IGNORE).all()
        ends_with_content.append(before[-1] < blank)
    if compatible:
        assert all(ends_with_content)


@given(drawn_settings("compression"), st.sampled_from(SPLITS), st.booleans())
@examined(max_examples=60)
def test_compression_asks_for_content_only(setting: Setting, split: str, compatible: bool) -> None:
    marker = setting.vocabulary_size - 1
    inputs, targets = generate(setting, split, 0, compatible)
    assert (inputs[:, -1] == marker).all()
    assert (inputs[:, :-1] < marker).all()
    noise = (inputs >= marker - setting.whole("noise_vocabulary")) & (inputs < marker)
    asked = np.ones_like(noise) if compatible else ~noise
    if split != "train" and not compatible:
        asked[:, -1] = False
    assert np.array_equal(targets, np.where(asked, inputs, IGNORE))


@given(drawn_settings("memorization"), st.sampled_from(SPLITS), st.integers(0, 100), st.booleans())
@examined(max_examples=60)
def test_memorization_asks_for_one_map(setting: Setting, split: str, seed: int, compatible: bool) -> None:
    values = value_of_key(setting)
    insert = setting.vocabulary_size - 1
    begin = insert - setting.whole("noise_vocabulary")
    assert len(set(values.tolist())) == len(values)
    assert values.min() >= len(values)
    assert values.max() < begin
    inputs, targets = generate(setting, split, seed, compatible)
    for row, asked in zip(inputs.reshape(-1, 2), targets.reshape(-1, 2), strict=True):
        if row[1] == insert:
            assert asked.tolist() == [IGNORE, values[row[0]]]
        else:
            assert ((row >= begin) & (row < insert)).all()
            assert (asked == IGNORE).all()
    assert (inputs == insert).any(axis=1).all()


@given(drawn_settings("mqar"), st.sampled_from(SPLITS))
@examined(max_examples=60)
def test_mqar_asks_once_for_each_pair(setting: Setting, split: str) -> None:
    pairs, half = setting.whole("pairs"), setting.vocabulary_size // 2
    for inputs, targets in zip(*generate(setting, split, 0), strict=True):
        keys, values = inputs[0 : 2 * pairs : 2], inputs[1 : 2 * pairs : 2]
        assert ((keys >= 1) & (keys < half)).all()
        assert (values >= half).all()
        assert len(set(keys)) == len(set(values)) == pairs
        asked = np.flatnonzero(targets != IGNORE)
        assert dict(zip(inputs[asked], targets[asked], strict=True)) == dict(zip(keys, values, strict=True))
        assert len(asked) == pairs
        assert (asked >= 2 * pairs).all()
        assert (asked % 2 == 0).all()


@pytest.mark.parametrize("task", TASKS)
def test_splits_settings_and_seeds_are_streams_of_their_own(task: str) -> None:
    baseline = task_settings(task)[0].changed(train_examples=20, test_examples=20, validation_examples=20)
    other = baseline.changed(vocabulary_size=baseline.vocabulary_size + 1)
    drawn = [generate(baseline, split, seed).inputs.tobytes() for split in SPLITS for seed in (0, 1)] + [
        generate(other, "train", 0).inputs.tobytes()
    ]
    assert len(set(drawn)) == 7


@pytest.mark.parametrize("task", [task for task in TASKS if task != "mqar"])
def test_no_test_example_of_the_protocol_is_trained_on(task: str) -> None:
    baseline = task_settings(task)[0]
    train = generate(baseline, "train", 0)
    assert shared_examples(generate(baseline, "test", 0), train) == 0
    assert shared_examples(generate(baseline, "valid", 0), train) == 0
    assert shared_examples(train, train) == len(train.inputs)


def test_generation_does_not_touch_the_global_generator() -> None:
    before = np.random.get_state()[1].tolist()  # type: ignore[index]
    for setting in protocol_settings():
        generate(setting.changed(train_examples=2), "train", 0)
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index]


def test_blocks_are_of_one_stream() -> None:
    setting = find_task("in-context-recall").setting(
        vocabulary_size=64, length=1024, train_examples=2 * BLOCK_TOKENS // 1024 + 3
    )
    inputs = generate(setting, "train", 0).inputs
    assert len(np.unique(inputs[:, :64], axis=0)) == len(inputs)


@pytest.mark.parametrize("setting", protocol_settings(), ids=lambda s: f"{s.task} {s.name}")
def test_chance_is_what_uniform_guessing_reaches(setting: Setting) -> None:
    small = setting.changed(test_examples=16)
    targets = generate(small, "test", 0).targets
    asked = targets[targets != IGNORE]
    chance = find_task(setting.task).chance(setting)
    answers = np.arange(setting.vocabulary_size)
    possible = round(1 / chance)
    assert 0 < chance <= 0.25
    assert asked.max() - asked.min() < possible
    assert possible <= len(answers)


def test_the_ceiling_of_memorization_is_the_share_of_keys_presented() -> None:
    task = find_task("memorization")
    for setting in task_settings("memorization"):
        keys = len(value_of_key(setting))
        for compatible in (False, True):
            shown = {k for seed in range(4) for k in [*_shown(setting, seed, compatible)]}
            share = np.mean([len(_shown(setting, seed, compatible)) / keys for seed in range(4)])
            assert len(shown) <= keys
            assert abs(task.ceiling(setting, compatible) - share) < 0.02
    assert task.ceiling(task_settings("memorization")[-1], compatible=True) == pytest.approx(0.632, abs=0.01)
    assert find_task("compression").ceiling(task_settings("compression")[0]) == 1.0


def _shown(setting: Setting, seed: int, compatible: bool) -> set[int]:
    return set(generate(setting, "train", seed, compatible).inputs[:, 0::2].ravel().tolist())


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("in-context-recall", {"length": 127}, "give an even length"),
    ("in-context-recall", {"length": 2}, "give at least 4"),
    ("in-context-recall", {"vocabulary_size": 1}, "give at least 2"),
    ("in-context-recall", {"vocabulary_size": 2, "multi_query": False}, "give at least 3"),
    ("in-context-recall", {"noise_fraction": 0.2}, "noise without a noise vocabulary"),
    ("in-context-recall", {"train_examples": 0}, "at least 1"),
    ("in-context-recall", {"length": 12.0}, "a whole number"),
    ("in-context-recall", {"length": True}, "a whole number"),
    ("in-context-recall", {"multi_query": 1}, "give true or false"),
    ("in-context-recall", {"tokens_to_copy": 4}, "has no field 'tokens_to_copy'"),
    ("noisy-in-context-recall", {"noise_fraction": 1.0}, "from 0 to below 1"),
    ("noisy-in-context-recall", {"noise_fraction": -0.1}, "from 0 to below 1"),
    ("noisy-in-context-recall", {"noise_fraction": float("nan")}, "give a number"),
    ("noisy-in-context-recall", {"noise_vocabulary": -1}, "give 0 or more"),
    ("noisy-in-context-recall", {"vocabulary_size": 17}, "give at least 18"),
    ("fuzzy-in-context-recall", {"length": 17}, "give a length of at least 18"),
    ("fuzzy-in-context-recall", {"vocabulary_size": 6}, "give at least 7"),
    ("fuzzy-in-context-recall", {"key_motif": 0}, "at least 1 each"),
    ("fuzzy-in-context-recall", {"vocabulary_size": 2000, "key_motif": 7}, "smaller key_motif"),
    ("fuzzy-in-context-recall", {"key_motiv": 2}, "did you mean key_motif"),
    ("selective-copying", {"length": 33}, "at least 34"),
    ("selective-copying", {"tokens_to_copy": 0}, "at least 1"),
    ("selective-copying", {"vocabulary_size": 2}, "at least 3"),
    ("compression", {"length": 1}, "at least 2"),
    ("compression", {"noise_fraction": 0.1}, "noise without a noise vocabulary"),
    ("memorization", {"length": 31}, "even length"),
    ("memorization", {"vocabulary_size": 2}, "at least 3"),
    ("mqar", {"pairs": 33}, "at least 132"),
    ("mqar", {"pairs": 0}, "at least 1"),
    ("mqar", {"vocabulary_size": 9}, "at least 10"),
    ("mqar", {"power": -1.0}, "0 to 8"),
]


@pytest.mark.parametrize(("task", "values", "said"), BAD)
def test_settings_that_cannot_be_generated_are_refused_in_one_line(
    task: str, values: dict[str, Any], said: str
) -> None:
    with pytest.raises(TaskError, match=said) as caught:
        find_task(task).setting(**{"vocabulary_size": 16, "length": 128, "train_examples": 8, **values})
    assert "\n" not in str(caught.value)


def test_the_least_settings_can_be_generated() -> None:
    for task, values in (
        ("in-context-recall", {"vocabulary_size": 2, "length": 4}),
        ("fuzzy-in-context-recall", {"vocabulary_size": 7, "length": 18}),
        ("noisy-in-context-recall", {"vocabulary_size": 18, "length": 4, "noise_fraction": 0.99}),
        ("selective-copying", {"vocabulary_size": 3, "length": 34}),
        ("compression", {"vocabulary_size": 2, "length": 2}),
        ("memorization", {"vocabulary_size": 3, "length": 2}),
        ("mqar", {"vocabulary_size": 10, "length": 16}),
    ):
        generate(find_task(task).setting(train_examples=3, **values), "train", 0)


def test_generate_refuses_what_it_does_not_know() -> None:
    setting = task_settings("compression")[0]
    with pytest.raises(TaskError, match="unknown split 'dev'"):
        generate(setting, "dev", 0)
    with pytest.raises(TaskError, match="seed is -1"):
        generate(setting, "test", -1)
    with pytest.raises(TaskError, match="has no multi_query"):
        check_setting(Setting("in-context-recall", 16, 128, 10))
    with pytest.raises(TaskError, match="do not fit into memory"):
        generate(setting.changed(test_examples=2**50), "test", 0)


def test_the_draws() -> None:
    rng = np.random.default_rng(0)
    ids = rng.integers(-3, 4, size=(50, 20))
    expected = [[row.index(each) for each in row] for row in ids.tolist()]
    assert first_occurrence(ids).tolist() == expected
    allowed = np.array([[False, True, False, True], [True, False, False, False]] * 2000)
    chosen = choose(rng, allowed)
    assert set(chosen[0::2].tolist()) == {1, 3}
    assert abs((chosen[0::2] == 1).mean() - 0.5) < 0.05
    assert (chosen[1::2] == 0).all()
    rows = distinct(rng, 24_000, 3, 4)
    orders, times = np.unique(rows, axis=0, return_counts=True)
    assert len(orders) == 24
    assert ((times - 1000) ** 2 / 1000).sum() < 60  # 23 degrees: p < 1e-4
    assert Task().chance(task_settings("compression")[0]) == 1 / 16
