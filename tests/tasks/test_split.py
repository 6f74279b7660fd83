import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from madstar.tasks.readers import Fragment
from madstar.tasks.split import (
    HELD_OUT_WINDOWS,
    MINIMUM_WINDOWS,
    PIECE_BYTES,
    assign,
    cut,
    held_out_target,
    piece_bytes,
)

TEXT = st.text(st.sampled_from("ab \né☕𝄞"), max_size=200)


def fragments(documents: list[str], size: int) -> list[Fragment]:
    found = []
    for text in documents:
        raw = text.encode()
        found += [Fragment(raw[i : i + size], last=False) for i in range(0, len(raw), size)]
        found.append(Fragment(b"", last=True))
    return found


@given(st.lists(TEXT, max_size=6), st.integers(4, 60), st.integers(1, 300))
def test_pieces_are_short_whole_and_independent_of_fragments(documents, limit, size):
    pieces = list(cut(fragments(documents, size), limit))
    assert pieces == list(cut(fragments(documents, 10_000), limit))
    assert all(0 < len(piece.text) <= limit for piece in pieces)
    joined, current = [], ""
    for text, continues in pieces:
        current += text.decode()  # every piece is UTF-8 by itself
        if not continues:
            joined.append(current)
            current = ""
    assert joined == [text for text in documents if text]


def test_pieces_end_at_lines_or_else_at_spaces():
    lines = "".join(f"line {i}\n" for i in range(100))
    assert all(piece.text.endswith(b"\n") for piece in cut(fragments([lines], 7), 50))
    words = "word " * 100
    assert all(piece.text.endswith(b" ") for piece in cut(fragments([words], 7), 52))


@given(st.integers(0, 10**9) | st.none(), st.integers(1, 5000))
def test_a_piece_fits_a_held_out_share(total, length):
    limit = piece_bytes(total, length)
    assert 2 * (length + 1) <= limit <= max(PIECE_BYTES, 2 * (length + 1))
    if total is not None:
        assert 2 * limit <= held_out_target(total, length)


def test_the_split_is_90_5_5():
    rng = np.random.default_rng(1)
    keys = rng.integers(0, 1 << 64, size=2000, dtype=np.uint64)
    tokens = rng.integers(100, 5000, size=2000)
    splits = assign(keys, tokens, held_out_target(int(tokens.sum()), 64))
    shares = np.bincount(splits, weights=tokens) / tokens.sum()
    np.testing.assert_allclose(shares, [0.9, 0.05, 0.05], atol=0.002)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 400)), min_size=1, max_size=80),
    st.integers(1, 500),
    st.randoms(use_true_random=False),
)
def test_equal_keys_go_together_whatever_the_order(units, target, random):
    by_key = dict(units)
    keys = np.array([key for key, _ in units], dtype=np.uint64)
    tokens = np.array([by_key[key] for key, _ in units])
    splits = assign(keys, tokens, target)
    of_key = {}
    for key, split in zip(keys.tolist(), splits.tolist(), strict=True):
        assert of_key.setdefault(key, split) == split
    order = list(range(len(units)))
    random.shuffle(order)
    assert assign(keys[order], tokens[order], target).tolist() == splits[order].tolist()
    for held in (1, 2):
        assert tokens[splits == held].sum() <= 1.5 * target


def test_a_text_copied_many_times_is_trained_on():
    keys = np.array([0] * 1000 + list(range(1, 200)), dtype=np.uint64)
    splits = assign(keys, np.full(len(keys), 10), target=100)
    assert splits[0] == 0
    assert (np.bincount(splits)[1:] == 10).all()


@pytest.mark.parametrize("length", [1, 2, 16, 256, 4096])
def test_the_shortest_text_leaves_enough_of_every_split(length):
    total = MINIMUM_WINDOWS * (length + 1)
    limit = piece_bytes(total, length)
    for seed in range(20):
        sizes = np.full(-(-total // limit), limit)
        keys = np.random.default_rng(seed).integers(0, 1 << 64, size=len(sizes), dtype=np.uint64)
        counts = np.bincount(assign(keys, sizes, held_out_target(total, length)), weights=sizes, minlength=3)
        assert (counts >= 0.8 * HELD_OUT_WINDOWS * (length + 1)).all()
