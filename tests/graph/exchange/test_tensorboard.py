"""A graph as TensorBoard has it: every use of a block, by scopes."""

from pathlib import Path

import pytest

from madstar.errors import GraphError
from madstar.graph.exchange import tensorboard
from madstar.graph.exchange.tensorboard import to_graphdef, write_tensorboard
from madstar.graph.folding import fold

from ..graphs import alternating, counting, llama, unrolled


@pytest.mark.parametrize(
    "graph", [fold(llama()), alternating(), unrolled(), counting()], ids=lambda g: g.name
)
def test_every_input_is_a_node(graph: tensorboard.Graph) -> None:
    nodes = to_graphdef(graph).node
    names = [node.name for node in nodes]
    assert len(set(names)) == len(names)
    given: set[str] = set()
    for node in nodes:
        assert {source.partition(":")[0] for source in node.input} <= given
        given.add(node.name)


def test_scopes_and_attributes() -> None:
    nodes = {node.name: node for node in to_graphdef(fold(llama(layers=2))).node}
    weights = [name for name, node in nodes.items() if node.op == "Parameter"]
    assert any(name.startswith("model/layers/1/") for name in weights)
    linear = next(node for node in nodes.values() if node.op == "linear")
    assert linear.attr["shape"].s.startswith(b"float32[batch,length")
    assert [dim.size for dim in linear.attr["_output_shapes"].list.shape[0].dim][:2] == [-1, -1]


def test_the_file_can_be_read(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    path = write_tensorboard(llama(), tmp_path / "logs")
    events = list(EventFileLoader(str(path)).Load())
    assert [event.WhichOneof("what") for event in events][:2] == ["file_version", "graph_def"]


def test_too_many_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard, "MOST_NODES", 5)
    with pytest.raises(GraphError, match="more than 5 nodes"):
        to_graphdef(llama())
