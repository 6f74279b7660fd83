"""Selectors against a slow oracle: one path at a time, the pattern's segments tried in every way."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madstar.errors import EditError
from madstar.graph.editing import Places, select_parameters
from madstar.graph.model import Call
from madstar.graph.unfolding import unfold
from madstar.graph.walk import parameters, walk

from .. import graphs
from . import models

GRAPHS = {
    "decoder": models.graph,
    "bert": graphs.bert,
    "llama": graphs.llama,
    "alternating": graphs.alternating,
}


def modules(graph):
    """Full paths of all modules, with repetition for each use."""
    return [place.path for place in walk(graph, unfolded=True) if ":" not in place.path]


def fits(pattern, path, paths):
    """Whether a pattern of names, *, ?, **, name[...] fits a path; `paths` are all there are."""
    tokens = []
    for segment in pattern.split("."):
        name, *brackets = re.split(r"[\[\]]+", segment.rstrip("]"))
        tokens += [name, *(f"[{b}" for b in brackets)]

    def tried(tokens, segments, done):
        if not tokens:
            return not segments
        if tokens[0] == "**":
            return any(tried(tokens[1:], segments[n:], done + segments[:n]) for n in range(len(segments) + 1))
        if not segments:
            return False
        if tokens[0].startswith("["):
            prefix = "".join(f"{s}." for s in done)
            below = {p[len(prefix) :].split(".")[0] for p in paths if p.startswith(prefix)}
            numbers = sorted((b for b in below if b.isdecimal()), key=int)
            text = tokens[0][1:]
            if text == "*":
                chosen = numbers
            elif ":" in text:
                chosen = numbers[slice(*(int(t) if t else None for t in text.split(":")))]
            else:
                chosen = [n for i, n in enumerate(numbers) if int(text) in (i, i - len(numbers))]
            ok = segments[0] in chosen
        else:
            form = re.escape(tokens[0]).replace(r"\*", ".*").replace(r"\?", ".")
            ok = re.fullmatch(form, segments[0]) is not None
        return ok and tried(tokens[1:], segments[1:], [*done, segments[0]])

    return tried(tokens, path.split("."), [])


WORDS = ("layers", "layer", "encoder", "model", "attn", "self_attn", "mlp", "q_proj", "0", "1", "output")
SEGMENTS = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(("*", "**", "?", "*_proj", "l*", "?lp", "*0", "**")),
    st.builds(
        "{}[{}]".format,
        st.sampled_from(("layers", "layer", "*", "model.layers")),
        st.sampled_from(("*", "0", "1", "-1", "-2", "7", ":2", "-2:", "::2", "1:", "::-1")),
    ),
)


@given(st.sampled_from(sorted(GRAPHS)), st.lists(SEGMENTS, min_size=1, max_size=5).map(".".join))
def test_patterns_select_what_the_oracle_does(name, pattern):
    graph = unfold(GRAPHS[name]())
    paths = modules(graph)
    expected = [path for path in paths if fits(pattern, path, paths)]
    try:
        found = [site.path for site in Places(graph).select(pattern)]
    except EditError as error:
        assert not expected
        assert str(error).startswith("nothing in ")  # noqa: PT017
    else:
        assert found == expected


@given(st.sampled_from(sorted(GRAPHS)), st.lists(SEGMENTS, min_size=1, max_size=4).map(".".join))
def test_patterns_of_parameters(name, pattern):
    graph = unfold(GRAPHS[name]())
    pattern = f"{pattern}.weight"
    known = list(parameters(graph))
    expected = {path for path in known if fits(pattern, path, known)}
    if expected:
        assert set(select_parameters(graph, pattern)) == expected
    else:
        with pytest.raises(EditError, match="no parameter of"):
            select_parameters(graph, pattern)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("blocks[-1].attn.q_proj", ["layers.2.attn.q_proj"]),
        ("blocks[-2:].*.q_proj", ["layers.1.attn.q_proj", "layers.2.attn.q_proj"]),
        ("blocks[0]:add", ["layers.0%add", "layers.0%add_1"]),
        ("blocks[0]%add*", ["layers.0%add", "layers.0%add_1"]),
        ("blocks[0]%add_1", ["layers.0%add_1"]),
        ("layers[::2].attn:scaled_dot*", [f"layers.{i}.attn%scaled_dot_product_attention" for i in (0, 2)]),
        ("**.norm?:layer_norm", [f"layers.{i}.norm{n}" for i in range(3) for n in (1, 2)]),
        ("**:MLP", [f"layers.{i}.mlp" for i in range(3)]),
        ("**:embedding", ["embed"]),
    ],
)
def test_words_of_their_own(pattern, expected):
    assert [site.path for site in Places(unfold(models.graph())).select(pattern)] == expected


@pytest.mark.parametrize(("name", "stack"), [("bert", "encoder.layer"), ("llama", "model.layers")])
def test_the_main_stack_has_one_name(name, stack):
    graph = unfold(GRAPHS[name]())
    found = [site.path for site in Places(graph).select("blocks[*]")]
    assert found == [path for path in modules(graph) if re.fullmatch(re.escape(stack) + r"\.\d+", path)]


def test_a_model_that_says_blocks_means_them():
    block = graphs.Block("Inner")
    x = block.input("x", *graphs.B, 8)
    inner = block.done(block.linear(x, "blocks", 8))
    main = graphs.Block("Main")
    x = main.input("x", *graphs.B, 8)
    for i in range(2):
        (x,) = main.call(inner, f"stages.{i}", x)
    graph = graphs.graph_of("said", [inner, main.done(x)])
    assert [site.path for site in Places(graph).select("blocks")] == ["stages.0.blocks", "stages.1.blocks"]


def test_a_shared_module_has_a_site_for_each_use():
    block = graphs.Block("Shared")
    x = block.input("x", *graphs.B, 8)
    inner = block.done(block.linear(x, "proj", 8))
    main = graphs.Block("Main")
    x = main.input("x", *graphs.B, 8)
    for _ in range(3):
        (x,) = main.call(inner, "shared", x)
    places = Places(graphs.graph_of("shared", [inner, main.done(x)]))
    assert len(places.select("shared.proj")) == 3
    assert len({site.key for site in places.select("shared.proj")}) == 3


def test_all_sites_can_be_found_by_their_own_path():
    graph = unfold(models.graph())
    places = Places(graph)
    calls = sum(isinstance(place.item, Call) for place in walk(graph, unfolded=True))
    assert len(places) > calls
    for instance in [
        held for branch in places.root.all() for held in branch.held if hasattr(held, "definition")
    ]:
        for site in places.inside(instance):
            assert site.key in {found.key for found in places.select(site.path)}


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("blocks[9].mlp", "nearest: layers.0.mlp"),
        ("layers[0].atn.q_prj", "nearest: layers.0.attn.q_proj"),
        ("layers[0]%ad", "nearest names there: add"),
        (
            "layers[0].attn:conv1d",
            "operations there: Attention, linear, reshape, scaled_dot_product_attention",
        ),
        ("a..b", "cannot be read"),
        ("a[x]", "no position"),
        ("a[", "cannot be read"),
        ("a[::0]", "steps of 0"),
        ("a" * 2000, "more than 1000 characters"),
        ("", "nothing in"),
    ],
)
def test_what_is_said_where_nothing_fits(pattern, words):
    with pytest.raises(EditError) as caught:
        Places(unfold(models.graph())).select(pattern)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
