"""Inference over graphs: recorded types are reproduced; after an edit only what depends on it is redone."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from madstar.graph.inference import Inference, Type
from madstar.graph.model import Call, Graph, Node
from madstar.graph.trace import trace

from . import graphs


class Mixer(nn.Module):
    """Attention written out, with a causal mask, rotary halves and a gated linear unit."""

    def __init__(self, width: int = 16, heads: int = 2):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 64), nn.Linear(32, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        q, k, v = (y.view(batch, length, self.heads, -1).transpose(1, 2) for y in (q, k, v))
        mask = torch.full((length, length), float("-inf"), device=x.device).triu(1)
        scores = q @ k.mT / (width // self.heads) ** 0.5 + mask
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, -1)
        x = x + self.out(mixed)
        return x + self.down(nn.functional.glu(self.up(x), -1))


class Model(nn.Module):
    def __init__(self, layers: int = 3):
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.layers = nn.ModuleList(Mixer() for _ in range(layers))
        self.head = nn.Linear(16, 50)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def model(layers: int = 3) -> Graph:
    with torch.device("meta"):
        module = Model(layers)
    return trace(module, {"tokens": torch.zeros(2, 16, dtype=torch.int64, device="meta")})


def edited(graph: Graph, block: str, node: str, **changes: object) -> Graph:
    """With one node of one definition changed."""
    definition = graph.definitions[block]
    items = tuple(replace(i, **changes) if i.name == node else i for i in definition.items)
    assert items != definition.items
    return replace(graph, definitions={**graph.definitions, block: replace(definition, items=items)})


def test_recorded_types_are_reproduced() -> None:
    graph = model()
    for name, block in Inference().graph(graph).items():
        assert not block.troubles, name
        assert not block.stale
        assert not block.unruled
        stated = {
            f"%{v.name}": Type(v.shape, v.dtype) for i in graph.definitions[name].items for v in i.outputs
        }
        assert stated
        assert stated.items() <= dict(block.types).items()


@pytest.mark.parametrize(
    "graph", [graphs.alternating(), graphs.unrolled(), graphs.bert()], ids=lambda g: g.name
)
def test_graphs_written_by_hand(graph: Graph) -> None:
    assert not any(block.troubles for block in Inference().graph(graph).values())


def test_equal_operations_are_inferred_once() -> None:
    shallow, deep = Inference(), Inference()
    shallow.graph(model(2))
    deep.graph(model(6))
    assert shallow.computed == deep.computed


def test_only_what_depends_on_an_edit_is_inferred_again() -> None:
    graph = model()
    inference = Inference()
    before = inference.graph(graph)
    assert inference.graph(graph)["Mixer"] is before["Mixer"]
    once = inference.computed
    after = inference.graph(edited(graph, "Mixer", "glu", attributes=(("dim", 1),)))
    # glu itself, and what comes after it with another type: the linear layer, the sum.
    assert inference.computed - once <= 3
    assert after["Mixer"].troubles
    assert after["Mixer"].types["%norm"] is before["Mixer"].types["%norm"]


def test_the_result_is_that_of_a_fresh_inference() -> None:
    graph = model()
    inference = Inference()
    inference.graph(graph)
    changed = edited(graph, "Mixer", "glu", attributes=(("dim", 1),))
    again, fresh = inference.graph(changed), Inference().graph(changed)
    assert {n: (b.types, b.outputs, b.troubles) for n, b in again.items()} == {
        n: (b.types, b.outputs, b.troubles) for n, b in fresh.items()
    }


def test_a_changed_block_is_seen_by_those_that_call_it() -> None:
    graph = model()
    inference = Inference()
    inference.graph(graph)
    block = graph.definitions["Mixer"]
    wrong = replace(block, outputs=("%up",))
    found = inference.graph(replace(graph, definitions={**graph.definitions, "Mixer": wrong}))
    (trouble, *_) = found["Model"].troubles
    call = next(i for i in graph.main.items if isinstance(i, Call))
    assert trouble.item == call.name
    assert trouble.fault.slot == "carried 0"


def test_other_symbols_are_not_confused() -> None:
    graph = model()
    inference = Inference()
    inference.graph(graph)
    other = replace(graph, symbols={"batch": (3,), "length": (20,)})
    assert not any(block.troubles for block in inference.graph(other).values())
    assert inference.symbols == {"batch": (3,), "length": (20,)}


def test_a_rule_sees_booleans_and_numbers_apart() -> None:
    inference = Inference()
    x = {"input": Type((2,), "bool")}
    assert inference.operation("add", x, (("other", True),)).types == (Type((2,), "bool"),)
    assert inference.operation("add", x, (("other", 1),)).types == (Type((2,), "int64"),)
    assert inference.operation("add", x, (("other", 1.0),)).types == (Type((2,), "float32"),)


def test_without_a_rule_the_record_is_taken_and_counted() -> None:
    graph = edited(model(), "Mixer", "glu", op="opaque:glu")
    assert isinstance(graph.definitions["Mixer"].items[0], Node)
    found = Inference().graph(graph)["Mixer"]
    assert dict(found.unruled) == {"opaque:glu": 1}
    assert not found.troubles


def test_inputs_stand_in_the_order_of_their_names_used_or_not() -> None:
    class Three(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
            return c.sum() + a

    graph = trace(Three(), {"a": torch.zeros(2, 4, 5), "b": torch.zeros(3), "c": torch.zeros(7)}, symbols=())
    assert [value.shape for value in graph.main.inputs] == [(2, 4, 5), (3,), (7,)]
    assert graph.input_names == ("a", "b", "c")
