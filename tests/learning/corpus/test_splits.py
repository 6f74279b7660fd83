"""Splits: nothing large of a test graph is trained on, whatever the graphs; the same for a seed."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madstar.errors import DataError
from madstar.learning.corpus.collecting import REAL
from madstar.learning.corpus.splits import FORCED, PARTS, SPLITS, Member, shared_blocks, split

_blocks = st.frozensets(st.sampled_from([f"b{i}" for i in range(12)]), max_size=2)


@st.composite
def members(draw: st.DrawFn) -> list[Member]:
    """Entries whose families need not be right: the splits must not rely on them for blocks."""
    return [
        Member(
            f"k{number}",
            draw(st.sampled_from(["transformers", "timm", "genome", "edit", "layer"])),
            f"f{draw(st.integers(0, 9))}",
            f"s{draw(st.integers(0, 4))}",
            draw(_blocks),
            draw(_blocks),
            draw(st.sampled_from([10, 400, 700, 2000])),
        )
        for number in range(draw(st.integers(0, 40)))
    ]


@given(members(), st.sampled_from(SPLITS), st.integers(0, 3))
@settings(max_examples=100)
def test_no_block_of_a_test_graph_is_trained_on(made: list[Member], name: str, seed: int) -> None:
    try:
        parts = split(made, name, seed)
    except DataError:
        return
    keys = [key for part in PARTS for key in parts[part]]
    assert len(keys) == len(set(keys))
    assert split(made, name, seed) == parts
    if name != "random":
        assert shared_blocks(made, parts, bare=name == "strict") == 0
    source = {m.key: m.source for m in made}
    if name in ("family", "strict"):
        assert all(source[key] in REAL for key in (*parts["test"], *parts["valid"]))
    if name == "generated":
        assert all(source[key] not in REAL for key in parts["test"])
        assert any(source[key] in REAL for key in parts["train"]) or parts["train"]
    if name == "size":
        size = {m.key: m.unfolded for m in made}
        assert all(size[key] <= 500 for key in parts["train"])
        assert all(size[key] > 1000 for key in parts["test"])


def apart(count: int) -> list[Member]:
    """Families of falling size that share nothing."""
    made = []
    for number in range(count):
        for copy in range(max(1, 12 - number)):
            block = frozenset({f"b{number}"})
            made.append(Member(f"k{number}.{copy}", "timm", f"f{number}", f"f{number}", block, block, 100))
    return made


def test_families_stay_whole_and_the_largest_are_trained_on() -> None:
    made = apart(40)
    family = {m.key: m.family for m in made}
    tests = set()
    for seed in range(4):
        parts = split(made, "family", seed)
        held = {part: {family[key] for key in parts[part]} for part in PARTS}
        assert not held["test"] & (held["train"] | held["valid"])
        assert not held["train"] & held["valid"]
        assert {f"f{i}" for i in range(FORCED)} <= held["train"]
        shares = {part: len(parts[part]) / len(made) for part in PARTS}
        assert shares["test"] == pytest.approx(0.25, abs=0.03)
        assert shares["valid"] == pytest.approx(0.15, abs=0.03)
        tests.add(frozenset(held["test"]))
    assert len(tests) == 4


def test_a_split_at_random_holds_all() -> None:
    made = apart(30)
    parts = split(made, "random", 1)
    assert Counter(key for part in PARTS for key in parts[part]) == Counter(m.key for m in made)


def test_what_cannot_be_split_is_told() -> None:
    with pytest.raises(DataError, match=r"no split 'famly'; the splits are random, family"):
        split(apart(3), "famly")
    with pytest.raises(DataError, match="leaves nothing in"):
        split(apart(1), "generated")
