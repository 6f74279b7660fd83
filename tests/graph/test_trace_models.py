"""Models of transformers, small and with random weights: their graphs compute what they compute."""

import pytest
import torch
import transformers

from madstar.graph.export_check import check_against_export
from madstar.graph.trace import trace

from .interpreter import agrees, parameters

PLAIN = {
    "num_hidden_layers": 2,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 50,
}
SMALL = {
    "llama": PLAIN,
    "bert": PLAIN,
    "gpt2": {"n_layer": 2, "n_embd": 16, "n_head": 2, "vocab_size": 50},
    "t5": {"num_layers": 2, "d_model": 16, "d_ff": 32, "num_heads": 2, "d_kv": 8, "vocab_size": 50},
    "mamba": {"num_hidden_layers": 2, "hidden_size": 16, "state_size": 4, "vocab_size": 50},
    "mixtral": PLAIN | {"num_local_experts": 4, "num_experts_per_tok": 2},
}


def made(kind, device):
    config = transformers.AutoConfig.for_model(kind, **SMALL[kind])
    config.use_cache = False
    torch.manual_seed(0)
    with torch.device(device):
        return transformers.AutoModel.from_config(config).eval()


def inputs_of(kind, device):
    def make(batch, length):
        torch.manual_seed(1)
        ids = torch.randint(0, 50, (batch, length)).to(device)
        return {"input_ids": ids} | ({"decoder_input_ids": ids.flip(1)} if kind == "t5" else {})

    return make


def sizes_of(graph, kind):
    """At the size recorded, and at another that no run had.

    The scan of mamba is a loop over the length, unrolled: its graph holds for that length only, and says so.
    """
    assert graph.facts.get("unrolled_over", []) == (["length"] if kind == "mamba" else [])
    return [{"batch": 2, "length": 16}, {"batch": 4, "length": 16 if kind == "mamba" else 9}]


@pytest.mark.parametrize("kind", sorted(SMALL))
def test_the_graph_computes_what_the_model_computes(kind):
    module, make = made(kind, "cpu"), inputs_of(kind, "cpu")
    graph = trace(module, make)
    assert set(graph.symbols) == {"batch", "length"}
    agrees(graph, module, make, sizes_of(graph, kind), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", sorted(SMALL))
def test_a_graph_made_without_weights_computes_it_too(kind):
    graph = trace(made(kind, "meta"), inputs_of(kind, "meta"))
    module, make = made(kind, "cpu"), inputs_of(kind, "cpu")
    assert graph.facts["parameter_tensors_touched"] == graph.facts["parameter_tensors"]
    assert not graph.facts["opaque"]
    assert parameters(graph) == sum(p.numel() for p in module.parameters())
    agrees(graph, module, make, sizes_of(graph, kind), rtol=1e-4, atol=1e-4)


def test_export_has_all_operations_and_products():
    """Under export bert makes a mask that it otherwise leaves away; all else is the same."""
    found = check_against_export(made("bert", "cpu"), inputs_of("bert", "cpu"))
    assert not found.error
    assert found.products_agree
    assert found.only_recorded == ()
    assert ("aten.where.self", 2) in found.only_exported
    assert not {"mm", "bmm", "addmm", "mul"} & {op.split(".")[1] for op, _ in found.only_exported}
