"""The tree, the DOT text and the drawing."""

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from madstar.errors import GraphError
from madstar.graph.dot import to_dot
from madstar.graph.folding import fold
from madstar.graph.layers import plan
from madstar.graph.svg import to_svg
from madstar.graph.tree import amount, gathered, plain, rows, table, text
from madstar.graph.tree_columns import initials

from . import graphs as cases
from . import random_graphs

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


@pytest.mark.parametrize("width", [50, 60, 80, 100])
def test_shapes_stay_and_are_whole_where_there_is_room_for_letters(width):
    shown = text(LLAMA, depth=3, width=width).splitlines()
    layer = next(line for line in shown if "x80" in line)
    assert "[B,L,32]" in layer or "[batch, length, 32]" in layer
    assert ("B (the batch) 2, L (the length) 16" in shown[-1]) == ("[B,L,32]" in layer)


def test_classes_lose_only_the_name_that_they_share_with_the_model():
    narrow = text(LLAMA, depth=3, width=60)
    assert "self_attn  Attention" in narrow
    assert "LlamaAttention" not in narrow
    assert "Deco… x80" in narrow
    assert "LlamaForCausalLM" in narrow.splitlines()[1]
    assert "LlamaDecoderLayer x80" in text(LLAMA, depth=3, width=160)


def test_symbols_that_begin_alike_get_letters_that_differ():
    assert initials(["batch", "length", "blocks"]) == {"batch": "B", "length": "L", "blocks": "Bl"}
    assert len(set(initials(["a", "A", "a_b"]).values())) == 3


def masked():
    """A mask in five nodes, of which one is a read; then a product, and two nodes in a row."""
    block = cases.Block("Masked")
    x = block.input("x", "batch", "length")
    made = x
    for op in ("arange", "add", "ge", "logical_not", "all"):
        made = block.node(op, {"input": made}, ("batch", "length") if op != "all" else ())
    weight = block.weight("w", 4, 4)
    block.node("linear", {"input": x, "weight": weight}, ("batch", "length", 4))
    y = block.node("neg", {"input": x}, ("batch", "length"))
    return cases.graph_of("masked", [block.done(block.node("neg", {"input": y}, ("batch", "length")))])


def test_nodes_in_a_row_that_cost_nothing_are_one_line():
    graph = masked()
    assert [len(items) for items in gathered(graph.main)] == [5, 1, 1, 1]
    shown = [(row.label, row.kind, row.result) for row in rows(graph, every=False)[1:]]
    assert shown[0] == ("5 nodes", "arange, add, ge, logical_not, all", "[batch, length]")
    assert [label for label, *_ in shown[1:]] == ["linear", "neg", "neg"]
    assert len(rows(graph)) == 9
    assert text(graph, every=True).count("logical_not") == 1
    boxes = ET.fromstring(to_svg(graph)).findall(".//{*}g[@class='g']")
    assert [box.findtext("{*}title") for box in boxes] == ["arange, add, ge, logical_not, all"]
    assert to_dot(graph).count("5 nodes") == 1


@settings(max_examples=25)
@given(random_graphs.graphs())
def test_every_graph_can_be_shown(graph):
    folded = fold(graph)
    for width in (40, 80):
        assert max(map(len, text(folded, depth=9, width=width).splitlines()[:-1])) <= width
    for definition in folded.definitions.values():
        assert [item for items in gathered(definition) for item in items] == list(definition.items)
    assert to_dot(folded).endswith("}\n")
    ET.fromstring(to_svg(folded, depth=9))


HOSTILE = "</title><script>&\"'\\ \x1b[31mred\x00\n%]]>\ud7ff\ufffe"


def hostile():
    block = cases.Block(HOSTILE)
    x = block.input("x", "batch", 4)
    weight = block.weight(HOSTILE, 4, 4)
    made = block.done(block.node("linear", {"input": x, "weight": weight}, ("batch", 4), path=HOSTILE))
    return cases.graph_of(HOSTILE, [made])


def test_names_cannot_break_out():
    graph = hostile()
    drawn = ET.fromstring(to_svg(graph, depth=3))
    assert not drawn.findall(".//{*}script")
    shown = text(graph, depth=3, width=200)
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 4
    assert plain(HOSTILE).startswith("</title>")
    dot = to_dot(graph)
    assert "\x1b" not in dot
    labels = [line for line in dot.splitlines() if "label=" in line]
    unescaped = [line.replace("\\\\", "").replace('\\"', "") for line in labels]
    assert all(line.count('"') == 2 for line in unescaped)
    console = Console(width=100, file=None, force_terminal=False)
    with console.capture() as caught:
        console.print(table(graph, depth=2, width=100))
    assert "\x1b" not in caught.get()


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
    whole = ET.fromstring(to_svg(LLAMA, depth=9))
    headings = [node.text for node in whole.findall(".//{*}text[@class='h']")]
    assert sorted(headings) == sorted(LLAMA.definitions)
    with pytest.raises(GraphError, match="no block"):
        to_svg(LLAMA, "nothing")


@given(
    st.lists(st.tuples(st.integers(20, 200), st.integers(10, 60)), min_size=1, max_size=14).flatmap(
        lambda sizes: st.tuples(
            st.just(sizes),
            st.sets(
                st.tuples(st.integers(0, len(sizes) - 1), st.integers(0, len(sizes) - 1)).filter(
                    lambda edge: edge[0] < edge[1]
                )
            ),
        )
    )
)
def test_boxes_do_not_touch_and_lines_go_round_them(drawing):
    sizes, edges = drawing
    edges = sorted(edges)
    made = plan(sizes, edges)
    boxes = [(x, y, x + wide, y + high) for (x, y), (wide, high) in zip(made.corners, sizes, strict=True)]
    for i, (left, top, right, bottom) in enumerate(boxes):
        assert left >= -1
        assert right <= made.width + 1
        assert bottom <= made.height
        for other in boxes[:i]:
            assert right < other[0] or other[2] < left or bottom < other[1] or other[3] < top
    for (start, end), points in zip(edges, made.lines, strict=True):
        assert points[0][1] == boxes[start][3]
        assert points[-1][1] == boxes[end][1]
        for (x, y), (_, below) in zip(points[1:-1:2], points[2:-1:2], strict=True):
            crossed = [b for b in boxes if b[0] <= x <= b[2] and b[1] < below and y < b[3]]
            assert not crossed


def test_amounts():
    numbers = [0, 7, 999, 1000, 1_050_000, 68_900_000_000, 3 * 10**18]
    assert [amount(n) for n in numbers] == ["", "7", "999", "1k", "1.05M", "68.9B", "3,000P"]
    assert [amount(n) for n in (10**21, 123456 * 10**30, 10**6000 - 1)] == ["1.00e21", "1.23e35", "9.99e5999"]
