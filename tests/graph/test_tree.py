"""The tree, the DOT text and the drawing."""

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from rich.console import Console

from madstar.errors import GraphError
from madstar.graph.dot import to_dot
from madstar.graph.folding import fold
from madstar.graph.svg import to_svg
from madstar.graph.tree import amount, table, text

from . import graphs as cases

LLAMA = fold(cases.llama(80))


def test_tree_of_a_llama():
    shown = text(LLAMA, depth=2, width=160)
    layer = next(line for line in shown.splitlines() if "LlamaDecoderLayer" in line)
    assert "model.layers.{0..79}" in layer
    assert "x80" in layer
    assert "[batch, length, 32]" in layer
    assert "1.07M" in layer
    assert "self_attn  LlamaAttention" in shown
    assert "q_proj" not in shown
    assert "q_proj" in text(LLAMA, depth=3, width=160)
    assert len(text(LLAMA, depth=0).splitlines()) == 3


@pytest.mark.parametrize("width", [40, 50, 80, 120, 200])
def test_tree_fits(width):
    shown = text(LLAMA, depth=4, width=width)
    body = shown.splitlines()[:-1]
    assert max(map(len, body)) <= width
    assert any("x80" in line or "…" in line for line in body)


def test_rich_tree_says_the_same():
    console = Console(width=160, record=True, file=None, force_terminal=False)
    with console.capture() as caught:
        console.print(table(LLAMA, depth=2, width=160))
    assert "LlamaDecoderLayer x80" in caught.get()


@settings(max_examples=25)
@given(cases.graphs())
def test_every_graph_can_be_shown(graph):
    folded = fold(graph)
    text(folded, depth=9)
    assert to_dot(folded).endswith("}\n")
    ET.fromstring(to_svg(folded))


def test_dot_opens_blocks_to_a_depth():
    assert to_dot(LLAMA, depth=0).count("subgraph") == 0
    assert to_dot(LLAMA, depth=1).count("subgraph") == 1
    assert to_dot(LLAMA).count("subgraph") == 3
    assert "LlamaDecoderLayer x80" in to_dot(LLAMA)


def test_drawing_shows_one_level():
    drawn = ET.fromstring(to_svg(LLAMA))
    texts = [node.text for node in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert "tokens" in texts
    assert not any("q_proj" in (one or "") for one in texts)
    name = next(name for name in LLAMA.definitions if "Attention" in name)
    assert "q_proj" in to_svg(LLAMA, name)
    boxes = drawn.findall(".//{http://www.w3.org/2000/svg}rect")
    places = [(int(box.get("x")), int(box.get("y"))) for box in boxes]
    assert len(set(places)) == len(places)
    with pytest.raises(GraphError, match="no block"):
        to_svg(LLAMA, "nothing")


def test_amounts():
    numbers = [0, 7, 999, 1000, 1_050_000, 68_900_000_000, 3 * 10**18]
    assert [amount(n) for n in numbers] == ["", "7", "999", "1k", "1.05M", "68.9B", "3,000P"]
