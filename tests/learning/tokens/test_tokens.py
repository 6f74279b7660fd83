"""Tokens: back without loss, free of names, and nothing but GraphError for what is no graph."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.graph.graphs import alternating, bert, counting, graph_of, llama, unrolled
from tests.graph.random_graphs import graphs, renamed

from madstar.errors import GraphError
from madstar.graph.checking import check
from madstar.graph.folding import fold
from madstar.graph.hashing import structural_hash
from madstar.graph.model import Argument, Call, Definition, Graph, Node, Parameter, Value
from madstar.graph.soundness import check_sound
from madstar.learning.tokens import Tokens, Vocabulary, detokenize, tokenize
from madstar.learning.tokens.vocabulary import BITS

KNOWN = [llama(), bert(), alternating(), unrolled(), counting()]
FOLDED = [fold(graph) for graph in KNOWN]
VOCABULARY = Vocabulary.of([*KNOWN, *FOLDED], least=1)
EMPTY = Vocabulary.of([])


@pytest.mark.parametrize("graph", [*KNOWN, *FOLDED], ids=lambda g: g.name)
@pytest.mark.parametrize("vocabulary", [VOCABULARY, EMPTY], ids=["known", "unknown"])
@pytest.mark.parametrize("inferred", [True, False])
def test_models_come_back(graph: Graph, vocabulary: Vocabulary, inferred: bool) -> None:
    tokens = tokenize(graph, vocabulary, inferred)
    again = detokenize(tokens, vocabulary)
    check_sound(again)
    assert structural_hash(again) == structural_hash(graph)
    assert again.symbols == graph.symbols
    assert tokenize(again, vocabulary, inferred) == tokens
    assert check(again, causal=False).errors == check(graph, causal=False).errors


@settings(max_examples=50, suppress_health_check=list(HealthCheck))
@given(graphs(), st.booleans(), st.integers(0, 1 << 16))
def test_random_graphs_come_back_and_names_do_not_matter(graph: Graph, inferred: bool, seed: int) -> None:
    for vocabulary in (VOCABULARY, EMPTY):
        tokens = tokenize(graph, vocabulary, inferred)
        again = detokenize(tokens, vocabulary)
        assert structural_hash(again) == structural_hash(graph)
        other = renamed(graph, seed)
        assert tokenize(other, vocabulary, inferred).ids == tokens.ids


def test_names_and_listing_order_do_not_matter() -> None:
    for graph in (KNOWN[1], FOLDED[2], FOLDED[3], FOLDED[4]):
        for seed in range(3):
            assert tokenize(renamed(graph, seed), VOCABULARY) == tokenize(graph, VOCABULARY)


def test_types_that_follow_are_left_out() -> None:
    short, long = (tokenize(FOLDED[1], VOCABULARY, inferred) for inferred in (True, False))
    assert len(short) < len(long)
    assert "<inferred>" in short.text(VOCABULARY)
    assert "<inferred>" not in long.text(VOCABULARY)


@given(
    st.integers() | st.integers(-(1 << 70), 1 << 70) | st.sampled_from([2**62, 2**63, 3 * 2**40, -(2**62)])
)
def test_numbers_are_exact(number: int) -> None:
    graph = _one_node(number)
    tokens = tokenize(graph, VOCABULARY)
    node = detokenize(tokens, VOCABULARY).main.items[0]
    assert isinstance(node, Node)
    assert node.attributes == (("dim", number),)


def test_frequent_sizes_are_short() -> None:
    lengths = {n: len(tokenize(_one_node(n), VOCABULARY)) for n in (1, 1024, 768, 2304, 50257)}
    least = lengths[1]
    assert [length - least for length in lengths.values()] == [0, 0, 1, 1, 4]


@given(
    st.floats() | st.text(max_size=9) | st.sampled_from(["length", "2*length+1", "007*x", "a b", "\ud800"])
)
def test_texts_and_fractions_are_exact(value: object) -> None:
    node = detokenize(tokenize(_one_node(value), EMPTY), EMPTY).main.items[0]
    assert isinstance(node, Node)
    assert repr(node.attributes) == repr((("dim", value),))


def test_shared_weights_stay_shared() -> None:
    """By one path, by a tie, and by paths that are joined in two ways."""
    weight = Parameter("c", (8,), "float32")
    value = Value("x", ("batch", 8), "float32")
    node = Node("y", "mul", (Argument("input", "%x"), Argument("other", "@c")), (replace(value, name="y"),))
    inner = Definition("Inner", "Inner", (value,), (weight,), (node,), ("%y",))
    other = replace(
        inner,
        name="Other",
        parameters=(replace(weight, path="b.c"),),
        items=(replace(node, arguments=(Argument("input", "%x"), Argument("other", "@b.c"))),),
    )

    def graph(*paths: str, tied: tuple[tuple[str, ...], ...] = ()) -> Graph:
        items, last = [], "%x"
        for number, path in enumerate(paths):
            called = inner.name if number < 2 else other.name
            items.append(Call(f"c{number}", called, (path,), (last,), (replace(value, name=f"c{number}"),)))
            last = f"%c{number}"
        main = Definition("Main", "Main", (value,), (), tuple(items), (last,))
        return replace(graph_of("shared", [inner, other, main]), tied=tied)

    found = set()
    for each in (
        graph("a.b", "q", "z"),
        graph("a.b", "q", "a"),
        graph("a.b", "a.b", "z"),
        graph("a.b", "q", "z", tied=(("q.c", "z.b.c"),)),
        graph("a.b", "q", "z", tied=(("a.b.c", "q.c", "z.b.c"),)),
    ):
        again = detokenize(tokenize(each, VOCABULARY), VOCABULARY)
        assert structural_hash(again) == structural_hash(each)
        found.add(structural_hash(again))
    assert len(found) == 5


def test_unknown_words_are_counted() -> None:
    tokens = tokenize(KNOWN[0], EMPTY)
    assert all(missing == total for missing, total in tokens.unknown(EMPTY).values())
    assert not any(missing for missing, _ in tokenize(KNOWN[0], VOCABULARY).unknown(VOCABULARY).values())


def test_vocabulary_is_of_its_graphs_and_does_not_depend_on_their_order() -> None:
    assert Vocabulary.of(KNOWN) == Vocabulary.of(reversed(KNOWN))
    assert "gelu" not in Vocabulary.of([KNOWN[0]], least=1).words["op"]
    assert Vocabulary.of(KNOWN).fingerprint != EMPTY.fingerprint


def test_vocabulary_on_disk(tmp_path: Path) -> None:
    file = tmp_path / "sub" / "vocabulary.json"
    VOCABULARY.save(file)
    assert Vocabulary.load(file) == VOCABULARY
    assert Vocabulary.load(file).fingerprint == VOCABULARY.fingerprint
    text = file.read_text()
    for changed, words in {
        text.replace("vocabulary/1", "vocabulary/2"): "update madstar",
        text.replace("vocabulary/1", "words/7"): "build it anew",
        text[: len(text) // 2]: "cut off",
        "[]": "not an object",
        text.replace('"op"', '"operations"'): "unknown section",
        text.replace('"linear"', '"add"'): "each word once",
        text.replace('"linear"', "1"): "list of words",
        "[" * 100_000: "cut off",
    }.items():
        file.write_text(changed)
        with pytest.raises(GraphError, match=words) as caught:
            Vocabulary.load(file)
        assert "\n" not in str(caught.value)
    with pytest.raises(GraphError, match="cannot read"):
        Vocabulary.load(tmp_path / "none.json")


def test_tokens_of_another_vocabulary_are_refused() -> None:
    with pytest.raises(GraphError, match="vocabulary"):
        detokenize(tokenize(KNOWN[1], EMPTY), VOCABULARY)
    with pytest.raises(GraphError, match="token 1: 99999999"):
        Tokens.of([0, 99999999], VOCABULARY)


def test_a_sequence_that_is_cut_off_anywhere_is_an_error() -> None:
    tokens = tokenize(FOLDED[3], VOCABULARY)
    for length in range(len(tokens)):
        with pytest.raises(GraphError):
            detokenize(Tokens.of(tokens.ids[:length], VOCABULARY), VOCABULARY)


def test_damaged_sequences_are_a_graph_or_an_error() -> None:
    chooser = random.Random(0)
    errors = 0
    for turn in range(500):
        tokens = list(tokenize(FOLDED[turn % len(FOLDED)], VOCABULARY, inferred=turn % 2 == 0).ids)
        for _ in range(chooser.choice((1, 1, 2, 8))):
            place = chooser.randrange(len(tokens))
            kind = chooser.randrange(4)
            if kind == 0:
                tokens[place] = chooser.randrange(len(VOCABULARY))
            elif kind == 1:
                tokens[place] = chooser.choice(tokens)
            elif kind == 2:
                del tokens[place]
            else:
                tokens.insert(place, chooser.randrange(len(VOCABULARY)))
        try:
            check_sound(detokenize(Tokens.of(tokens, VOCABULARY), VOCABULARY))
        except GraphError as error:
            errors += "\n" not in str(error)
    assert errors > 200


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("begin definition op:add slot:input back 1 stated done end", "distance to a value"),
        ("begin definition op:add slot:input back -1 stated done end", "distance to a value"),
        ("begin definition op:add slot:input from 0 stated done end", "number of an input"),
        ("begin definition op:add slot:input known 0 stated done end", "number of a weight"),
        ("begin definition call 0 new 1 inferred done end", "distance to a definition"),
        ("begin definition done definition call 1 new 9999999999 inferred done end", "number of turns"),
        ("begin definition done definition call 1 new 900000 inferred call 1 new 900000", "turns in all"),
        ("begin definition done definition call 1 inferred done end", "paths of a call"),
        ("begin definition done definition call 1 old 0 1 inferred done end", "number of a path"),
        ("begin definition done definition done end", "never called"),
        ("begin definition op:add slot:input weight dtype:float32 rank:2 inferred done end", "found"),
        ("begin definition output back 1 done end", "distance"),
        ("begin definition done tie known 0 known 0 end", "number of a weight"),
        ("begin definition op:add attribute:dim varying 0 stated done end", "leaves open"),
        ("begin definition op:add attribute:dim " + "( " * 50_000, "nested"),
        ("begin size symbol:length 0 definition done end", "size"),
        ("begin definition done end end", "nothing more"),
        ("begin end", "a definition"),
        ("", "begin"),
    ],
)
def test_hostile_sequences(words: str, said: str) -> None:
    with pytest.raises(GraphError, match=said):
        detokenize(Tokens.of(_ids(words), VOCABULARY), VOCABULARY)


def _ids(words: str) -> list[int]:
    """Tokens of words such as op:linear, rank:2, -7."""
    ids: list[int] = []
    for word in words.split():
        section, colon, rest = word.partition(":")
        if colon:
            first = VOCABULARY.first.get(section, 0)
            ids.append(first + int(rest) if section == "rank" else VOCABULARY.ids[section, rest])
        elif word.lstrip("-").isdigit():
            number = int(word)
            if abs(number) <= 16:
                ids.append(VOCABULARY.first["integer"] + number + 16)
            else:
                assert number < 1 << BITS
                writing = tokenize(_one_node(number), VOCABULARY).ids
                place = writing.index(VOCABULARY.ids["attribute", "dim"]) + 1
                ids += writing[place : writing.index(VOCABULARY.ids["structure", "stated"])]
        else:
            ids.append(VOCABULARY.ids["structure", word])
    return ids


def _one_node(value: object) -> Graph:
    node = Node("y", "opaque:f", (), (), (("dim", value),))
    return graph_of("one", [Definition("Main", "Main", (), (), (node,), ())])
