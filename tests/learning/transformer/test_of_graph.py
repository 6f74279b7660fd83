"""The encoder as a graph computes what the encoder computes; an edited one is trained in its place."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.graph.graphs import bert, llama
from tests.learning.pretraining.made_data import SHORT, made_data, made_views

from madstar.errors import ConfigurationError
from madstar.graph.editing import edit
from madstar.graph.folding import fold
from madstar.graph.model import Graph
from madstar.graph.wiring import rewired, sources
from madstar.learning.features import OperationTable, features
from madstar.learning.pretraining.training import Trainer
from madstar.learning.transformer.batch import Batch, batch_of
from madstar.learning.transformer.config import TransformerConfig
from madstar.learning.transformer.encoder import Encoded
from madstar.learning.transformer.model import GraphTransformer
from madstar.learning.transformer.of_graph import EncoderOfGraph, with_table
from madstar.learning.transformer.traceable import traced

TINY = TransformerConfig(width=16, layers=2, heads=2, limit=64, dropout=0.0)
TABLE = OperationTable(("linear", "add", "layer_norm", "view", "input", "mul", "softmax"))

EDITS = {
    "another activation": {"rewrite": "swap_activation", "to": "relu"},
    "deeper": {"rewrite": "deeper", "times": 1},
    "parallel": {"rewrite": "parallel"},
    "shared keys and values": {"rewrite": "share_kv"},
    "one key for all heads": {"rewrite": "grouped_query", "groups": 1},
    "without its first norms": {"rewrite": "remove_norm", "select": "blocks[0].**"},
}


def encoder() -> Graph:
    return traced("graph-encoder", TINY)


def model_of(graph: Graph | None, seed: int = 0) -> GraphTransformer:
    torch.manual_seed(seed)
    return GraphTransformer(TINY, TABLE, ("text", "vision"), graph)


def batches() -> list[Batch]:
    """Of other sizes than the graph was traced at, one of them causal."""
    shown = [features(v, TABLE) for v in made_views().values()]
    past = features(made_views()["llama"], TABLE, causal=True)
    return [batch_of(shown[:1]), batch_of(shown), batch_of([past, *shown[:2]])]


def test_the_traced_encoder_is_the_encoder():
    own, graph = model_of(None), model_of(encoder())
    start = dict(own.named_parameters())
    assert own.parameter_count == graph.parameter_count
    for name, parameter in graph.named_parameters():
        assert torch.equal(parameter, start[name.replace("encoder.module.", "encoder.")]), name
    for batch in batches():
        with torch.inference_mode():
            ours, theirs = own.encoder(batch), graph.encoder(batch)
        torch.testing.assert_close(ours.tokens, theirs.tokens)
        torch.testing.assert_close(ours.pooled, theirs.pooled)


def test_it_is_trained_as_the_encoder_is():
    own, graph = (Trainer(made_data(), TINY, SHORT, encoder=each) for each in (None, encoder()))
    for trainer in (own, graph):
        trainer.advance(SHORT.steps)
    trained = dict(own.model.named_parameters())
    for name, parameter in graph.model.named_parameters():
        like = trained[name.replace("encoder.module.", "encoder.")]
        torch.testing.assert_close(parameter, like, rtol=1e-3, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}")
    assert own.losses == pytest.approx(graph.losses, rel=1e-3)


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_encoder_is_trained(name):
    graph = edit(encoder()).apply([EDITS[name]]).graph
    model, plain = model_of(graph).eval(), model_of(None).eval()
    with torch.inference_mode():
        found, before = model.encoder(batches()[1]), plain.encoder(batches()[1])
    assert found.tokens.shape == before.tokens.shape
    assert not torch.allclose(found.tokens, before.tokens) or model.parameter_count > plain.parameter_count
    trainer = Trainer(made_data(), TINY, replace(SHORT, learning_rate=1e-2, steps=15), encoder=graph)
    start = [p.detach().clone() for p in trainer.model.encoder.parameters()]
    trainer.advance(1)
    first = dict(trainer.losses)
    trainer.advance(15)
    assert trainer.losses["operation"] < first["operation"]
    moved = [not torch.equal(a, b) for a, b in zip(start, trainer.model.encoder.parameters(), strict=True)]
    assert all(moved)


def test_an_encoder_that_sees_what_it_may_not_is_refused():
    """Without the biases of pairs attention goes to all tokens, later ones too."""
    edited = edit(encoder()).apply([{"edit": "delete", "select": "**.attention:add"}]).graph
    with pytest.raises(ConfigurationError, match="depend on tokens that may not be seen"):
        model_of(edited)


def test_an_encoder_that_sees_other_graphs_of_its_batch_is_noticed(monkeypatch):
    made = EncoderOfGraph(encoder(), TINY, TABLE)
    assert not made._sees_more(TABLE)
    plain = made.forward

    def mixed(batch: Batch) -> Encoded:
        found = plain(batch)
        return found._replace(tokens=found.tokens + found.tokens.mean(0, keepdim=True))

    monkeypatch.setattr(made, "forward", mixed)
    assert made._sees_more(TABLE)


def test_the_table_is_as_long_as_the_vocabulary():
    graph = encoder()
    assert model_of(graph).encoder.get_parameter("module.operation.weight").shape == (TABLE.size, TINY.width)
    longer = OperationTable(tuple(f"operation{i}" for i in range(300)))
    module = EncoderOfGraph(graph, TINY, longer)
    batch = batches()[0]
    last = replace(batch, operations=torch.full_like(batch.operations, longer.size - 1))
    assert module(last).tokens.isfinite().all()
    assert with_table(graph, 7).main != graph.main
    assert with_table(with_table(graph, 7), 204) == graph


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (lambda: fold(llama()), "it takes tokens, mask; .*madstar trace madstar:graph-encoder"),
        (lambda: fold(bert()), "an encoder takes"),
        (lambda: replace(encoder(), output_names=("tokens", "graphs")), "it gives tokens, graphs"),
        (lambda: traced("graph-encoder", replace(TINY, width=24)), "24.*transformer is 16 wide"),
        (lambda: traced("graph-transformer", TINY), "an encoder gives tokens, pooled"),
        (lambda: _swapped(encoder()), "looks up its operations in no table"),
    ],
)
def test_what_is_no_encoder(graph, said):
    with pytest.raises(ConfigurationError, match=said):
        model_of(graph())


def _swapped(graph: Graph) -> Graph:
    """What is looked up are the numbers of nodes."""
    main = graph.main
    asked, other = f"%{main.inputs[0].name}", f"%{main.inputs[-1].name}"
    items = [rewired(i, [other if source == asked else source for source in sources(i)]) for i in main.items]
    main = replace(main, items=tuple(items))
    return replace(graph, definitions={**graph.definitions, graph.root: main})
