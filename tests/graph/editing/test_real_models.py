"""Rewrites of models of transformers, small and with random weights, run by the executor before and after."""

from functools import cache

import pytest
import torch
import transformers

from madstar.errors import EditError
from madstar.graph.checking import check
from madstar.graph.editing import edit
from madstar.graph.editing.weights import transfer
from madstar.graph.execution import build
from madstar.graph.trace import trace

PLAIN = {
    "num_hidden_layers": 2,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 50,
    "pad_token_id": 0,
}
SMALL = {
    "llama": PLAIN,
    "bert": PLAIN,
    "gpt2": {"n_layer": 2, "n_embd": 16, "n_head": 2, "vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2},
    "opt": PLAIN | {"ffn_dim": 32, "word_embed_proj_dim": 16},
}


def inputs(batch, length):
    torch.manual_seed(1)
    return {"input_ids": torch.randint(1, 50, (batch, length))}


@cache
def model(kind):
    """The graph, the weights, and what it computes."""
    config = transformers.AutoConfig.for_model(kind, **SMALL[kind])
    config.use_cache = False
    torch.manual_seed(0)
    module = transformers.AutoModel.from_config(config).eval()
    for parameter in module.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    graph = trace(module, inputs, name=kind)
    weights = dict(module.named_parameters(remove_duplicate=False))
    weights |= dict(module.named_buffers(remove_duplicate=False))
    with torch.no_grad():
        expected = module(**inputs(2, 9)).last_hidden_state
    return graph, {path: value.detach() for path, value in weights.items()}, expected


def result(kind, rewrite):
    graph, weights, _ = model(kind)
    edited = edit(graph, [rewrite])
    report = check(edited.graph)
    assert report.errors == check(graph).errors == 0, report.text()
    with torch.no_grad():
        return build(edited.graph, transfer(weights, edited))(**inputs(2, 9)).last_hidden_state


@pytest.mark.parametrize("kind", sorted(SMALL))
@pytest.mark.parametrize(
    "rewrite",
    [
        {"rewrite": "lora", "select": "blocks[*]", "rank": 2},
        {"rewrite": "deeper", "times": 2},
        {"rewrite": "windowed_attention", "window": 9},
        {"rewrite": "experts", "select": "blocks[*]", "experts": 3, "top_k": 2},
        {"rewrite": "wider", "select": "blocks[*]"},
    ],
    ids=lambda rewrite: rewrite["rewrite"],
)
def test_what_promises_to_change_nothing(kind, rewrite):
    if (kind, rewrite["rewrite"]) == ("bert", "experts"):
        with pytest.raises(EditError, match="no block there is an MLP"):
            result(kind, rewrite)  # its layers are spread over blocks that also have the norm
        return
    torch.testing.assert_close(result(kind, rewrite), model(kind)[2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", sorted(SMALL))
@pytest.mark.parametrize(
    "rewrite",
    [
        {"rewrite": "swap_activation", "to": "tanh"},
        {"rewrite": "prune_layer", "select": "blocks[0]"},
        {"rewrite": "windowed_attention", "window": 2},
        {"rewrite": "share_kv"},
        {"rewrite": "remove_norm", "select": "blocks[0].**"},
    ],
    ids=lambda rewrite: rewrite["rewrite"],
)
def test_what_changes_the_function_still_computes(kind, rewrite):
    found = result(kind, rewrite)
    expected = model(kind)[2]
    assert found.shape == expected.shape
    assert found.isfinite().all()
    assert not torch.allclose(found, expected, atol=1e-3)


def test_grouped_queries_that_are_grouped_already_are_told():
    with pytest.raises(EditError, match=r"smaller divisor|shared already"):
        result("llama", {"rewrite": "grouped_query", "groups": 2})


@pytest.mark.parametrize("kind", ["bert", "gpt2", "opt"])
def test_grouped_queries_where_heads_are_alike(kind):
    graph, weights, _ = model(kind)
    edited = edit(graph, [{"rewrite": "grouped_query", "groups": 1}])
    alike = dict(weights)
    for recipe in edited.steps[0].recipes.values():
        dim, size, *rows = recipe.numbers
        table = torch.tensor(rows).reshape(-1, size)
        table = table[(table >= 0).all(1)]
        value = alike[recipe.sources[0]].movedim(dim, 0).clone()
        value[table.flatten()] = value[table].mean(1).repeat_interleave(size, 0)
        alike[recipe.sources[0]] = value.movedim(0, dim)
    with torch.no_grad():
        before = build(graph, alike)(**inputs(2, 9)).last_hidden_state
        after = build(edited.graph, transfer(alike, edited))(**inputs(2, 9)).last_hidden_state
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(before, model(kind)[2], atol=1e-3)
