from collections import Counter
from itertools import pairwise
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from madstar.genome import Genome, Sizes, compile_genome
from madstar.report.architecture import draw, shared_features, shared_weights

from .runs import EVIL, SHARING
from .test_words import varied


def drawn(genome: Genome) -> ElementTree.Element:
    return ElementTree.fromstring(
        draw(genome, compile_genome(genome, Sizes()), "a title").replace("&#160;", " ")
    )


def arcs(picture: ElementTree.Element, kind: str) -> list[str]:
    """What the arcs of a kind say."""
    paths = picture.findall("path")
    return [p.findtext("title") or "" for p in paths if p.get("class") == f"arc {kind}"]


def test_sharing_is_drawn() -> None:
    picture = drawn(Genome.parse(SHARING))
    assert arcs(picture, "weights") == [
        "layers 1 and 2 share their weights",
        "layers 2 and 4 share their weights",
    ]
    assert arcs(picture, "features") == [
        "layer 2 takes k, v from layer 1",
        "layer 4 takes k, v from layer 1",
        "layer 6 takes k from layer 5",
    ]
    assert [text.text for text in picture.findall("text[@class='roles']")] == ["k, v", "k, v", "k"]


@given(st.integers(0, 10**6))
@settings(max_examples=40)
def test_as_many_arcs_as_relations(seed: int) -> None:
    genome = varied(seed)
    spec = compile_genome(genome, Sizes())
    picture = drawn(genome)
    pools = Counter(layer.featurizer_pool for layer in spec.layers if layer.featurizer_pool is not None)
    assert len(arcs(picture, "weights")) == sum(count - 1 for count in pools.values())
    assert len(arcs(picture, "weights")) == len(shared_weights(spec))
    assert len(arcs(picture, "features")) == sum(layer.features_from is not None for layer in spec.layers)
    assert len(arcs(picture, "features")) == len(shared_features(spec))
    assert len(picture.findall("g")) == genome.depth


@given(st.integers(0, 10**6), st.integers(1, 24))
@settings(max_examples=20)
def test_everything_lies_within_the_picture(seed: int, depth: int) -> None:
    picture = drawn(varied(seed, depth))
    _, _, width, height = map(float, picture.attrib["viewBox"].split())
    tops = []
    for box in picture.iter("rect"):
        x, y, wide, high = (float(box.attrib[name]) for name in ("x", "y", "width", "height"))
        assert x >= 0
        assert x + wide <= width
        assert 0 <= y <= y + high <= height
        tops.append((y, y + high))
    layers = sorted(set(tops))
    assert all(above[1] <= below[0] for above, below in pairwise(layers))


def test_titles_are_escaped() -> None:
    genome = Genome.parse(SHARING)
    assert "<script" not in draw(genome, compile_genome(genome, Sizes()), EVIL)
