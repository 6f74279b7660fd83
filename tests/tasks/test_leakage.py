import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from madstar.tasks import leakage
from madstar.tasks.leakage import check_leakage, stands_in


def slowly(train: np.ndarray, held: np.ndarray, starts: np.ndarray, length: int) -> list[bool]:
    known = {tuple(train[i : i + length].tolist()) for i in range(len(train) - length + 1)}
    return [tuple(held[i : i + length].tolist()) in known for i in starts]


@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=120),
    st.lists(st.integers(0, 2), min_size=12, max_size=60),
    st.integers(1, 12),
    st.integers(1, 40),
)
def test_exactly_the_windows_that_stand_in_training_are_found(train, held, length, chunk):
    train_tokens, held_tokens = np.array(train, dtype=np.uint8), np.array(held, dtype=np.uint8)
    starts = np.arange(len(held) - length + 1)
    expected = slowly(train_tokens, held_tokens, starts, length)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leakage, "_CHUNK", chunk)
        patch.setattr(leakage, "_BATCH_TOKENS", 7)
        assert stands_in(train_tokens, held_tokens, starts, length, 3).tolist() == expected


def test_colliding_hashes_change_no_answer(monkeypatch):
    rng = np.random.default_rng(3)
    train, held = rng.integers(0, 4, 300).astype(np.uint16), rng.integers(0, 4, 60).astype(np.uint16)
    starts = np.arange(60 - 5)
    for keep in (0, 1, 3):  # every hash equal, then two hashes, then four

        def few(self, tokens, starts, *, keep=keep):
            windows = tokens[starts[:, None] + np.arange(self.length)].astype(np.uint64)
            return windows.sum(axis=1, dtype=np.uint64) & np.uint64(keep)

        def few_everywhere(self, tokens, few=few):
            yield 0, few(self, tokens, np.arange(len(tokens) - self.length + 1))

        monkeypatch.setattr(leakage._Hashing, "at", few)
        monkeypatch.setattr(leakage._Hashing, "every_position", few_everywhere)
        assert stands_in(train, held, starts, 5, 4).tolist() == slowly(train, held, starts, 5)


def test_planted_windows_are_found_at_any_alignment_and_chunk_edge():
    rng = np.random.default_rng(5)
    length = 64
    train = rng.integers(0, 256, 300_000).astype(np.uint8)
    held = rng.integers(0, 256, 100 * (length + 1)).astype(np.uint8)
    step = leakage._CHUNK - length + 1
    places = [0, 777, step - 30, 2 * step, 3 * step - 1, 4 * step - length, len(train) - length]
    planted = [3 * (length + 1) * window for window in range(len(places))]
    for number, (place, start) in enumerate(zip(places, planted, strict=True)):
        shift = number % 2  # the inputs of one window, the targets of the next
        train[place : place + length] = held[start + shift : start + shift + length]
    nearly = 50 * (length + 1)
    train[20_000 : 20_000 + length - 1] = held[nearly : nearly + length - 1]
    report = check_leakage(train, {"valid": held}, length, 256).splits["valid"]
    assert report.windows == 100
    assert list(report.excluded) == planted


def test_short_overlap_is_measured():
    rng = np.random.default_rng(7)
    train = rng.integers(0, 60_000, 50_000).astype("<u2")
    fresh = rng.integers(0, 60_000, 2000).astype("<u2")
    half = np.concatenate([fresh, train[:2031]])
    report = check_leakage(train, {"valid": fresh, "test": half}, 100, 60_000)
    assert report.splits["valid"].ngram_share == 0
    assert 0.45 < report.splits["test"].ngram_share < 0.55


def test_what_is_shorter_than_a_window_holds_none():
    tokens = np.arange(10, dtype=np.uint8)
    assert stands_in(tokens, np.arange(20, dtype=np.uint8), np.array([0, 1]), 11, 256).tolist() == [
        False,
        False,
    ]
    assert stands_in(tokens, tokens, np.array([], dtype=np.int64), 3, 256).tolist() == []
    assert stands_in(tokens, tokens, np.array([0]), 10, 256).tolist() == [True]
