"""Families against all pairs compared, and what fingerprints see and do not see."""

from dataclasses import replace
from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.graph.graphs import bert, llama
from tests.graph.random_graphs import graphs, renamed

from madstar.graph.folding import fold
from madstar.graph.model import Graph, Node
from madstar.learning.corpus.families import families
from madstar.learning.corpus.fingerprints import LEAST_BLOCK, fingerprint, likeness

from .made_museum import made_model


def slow(
    blocks: list[set[str]], words: list[set[int]], links: list[tuple[int, int]], like: float
) -> list[int]:
    group = list(range(len(blocks)))
    pairs = set(links) | {
        (i, j)
        for i, j in combinations(range(len(blocks)), 2)
        if blocks[i] & blocks[j]
        or (words[i] | words[j] and len(words[i] & words[j]) / len(words[i] | words[j]) >= like)
    }
    changed = True
    while changed:
        changed = False
        for i, j in pairs:
            least = min(group[i], group[j])
            if (group[i], group[j]) != (least, least):
                group[i] = group[j] = least
                changed = True
    return group


_sets = st.lists(
    st.tuples(st.sets(st.sampled_from("abcdef"), max_size=1), st.sets(st.integers(0, 14), max_size=9)),
    max_size=12,
)


@given(_sets, st.sampled_from([0.3, 0.5, 0.6, 1.0]), st.data())
@settings(max_examples=150)
def test_families_are_those_that_all_pairs_give(made, like: float, data) -> None:
    blocks, words = [b for b, _ in made], [w for _, w in made]
    numbers = st.integers(0, max(0, len(made) - 1))
    links = data.draw(st.lists(st.tuples(numbers, numbers), max_size=2)) if made else []
    sorted_words = [np.array(sorted(w), dtype=np.uint64) for w in words]
    assert families(blocks, sorted_words, links, like) == slow(blocks, words, links, like)


@given(graphs())
@settings(max_examples=12)
def test_names_do_not_count(graph: Graph) -> None:
    one, other = fingerprint(graph), fingerprint(renamed(graph, 3))
    assert (one.blocks, one.bare, one.counts) == (other.blocks, other.bare, other.counts)
    assert (one.words == other.words).all()


def test_sizes_do_not_count() -> None:
    one, other = fingerprint(made_model(1)), fingerprint(made_model(1, width=24))
    assert one.blocks == other.blocks
    one, other = fingerprint(fold(bert(3, 24))), fingerprint(fold(bert(3, 48)))
    assert one.blocks != other.blocks  # norms have their width as an attribute
    assert one.bare == other.bare
    assert likeness(one.words, other.words) == 1.0


def test_attributes_count_in_blocks_and_not_in_bare_ones() -> None:
    before = made_model(1)
    one, other = fingerprint(before), fingerprint(_with_attribute(before))
    assert one.bare == other.bare
    assert one.blocks
    assert not set(one.blocks) & set(other.blocks)


def test_small_blocks_are_no_kinship() -> None:
    one, other = fingerprint(made_model(1, nodes=LEAST_BLOCK - 2)), fingerprint(made_model(2))
    assert len(one.blocks) == 1  # the whole, which is larger written out
    assert len(other.blocks) == 2
    assert 0 < likeness(one.words, other.words) < 0.6
    assert fingerprint(fold(llama())).blocks != fingerprint(fold(bert())).blocks


def _with_attribute(graph: Graph) -> Graph:
    changed = {}
    for name, definition in graph.definitions.items():
        items = tuple(
            replace(item, attributes=(*item.attributes, ("z", 1))) if isinstance(item, Node) else item
            for item in definition.items
        )
        changed[name] = replace(definition, items=items)
    return replace(graph, definitions=changed)
