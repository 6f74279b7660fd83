"""Rewrites keep their promises: compared in numbers with the original, or with a module that says it."""

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from madstar.errors import EditError
from madstar.graph.checking import check
from madstar.graph.editing import edit
from madstar.graph.editing.weights import transfer
from madstar.graph.walk import parameters

from . import models

HEADS = 4


def rewritten(name, **options):
    edited = edit(models.graph(), [{"rewrite": name, **options}])
    report = check(edited.graph)
    assert not report.findings, report.text()
    return edited


def weights_after(edited, weights=None):
    found = transfer(weights or models.own_weights(), edited)
    assert {path: tuple(value.shape) for path, value in found.items()} == {
        path: p.shape for path, p in parameters(edited.graph).items()
    }
    return found


def unchanged(edited, weights=None):
    models.same(edited.graph, weights_after(edited, weights))


def changed(edited, weights=None):
    with pytest.raises(AssertionError, match="not close"):
        unchanged(edited, weights)


def test_lora_does_nothing_at_first_and_something_when_trained():
    edited = rewritten("lora", select="blocks[-2:].*.q_proj", rank=3, alpha=6.0)
    unchanged(edited)
    new = {path: p.shape for path, p in parameters(edited.graph).items() if "lora" in path}
    assert new == {
        f"layers.{i}.attn.q_proj.lora.{name}.weight": shape
        for i in (1, 2)
        for name, shape in (("down", (3, 16)), ("up", (16, 3)))
    }
    weights = weights_after(edited)
    merged = models.own_weights()
    for i in (1, 2):
        down, up = (f"layers.{i}.attn.q_proj.lora.{name}.weight" for name in ("down", "up"))
        weights[up] = torch.randn(16, 3)
        merged[f"layers.{i}.attn.q_proj.weight"] += 2.0 * weights[up] @ weights[down]
    sizes = models.SIZES[0]
    torch.testing.assert_close(
        models.computed(edited.graph, weights, sizes), models.computed(models.graph(), merged, sizes)
    )


def test_lora_beside_the_linears_of_a_lora():
    """What an edit puts in may be named as the copy of the block that it is put into would be."""
    every = {"rewrite": "lora", "select": "**:linear", "rank": 2}
    edited = edit(models.graph(), [every, every])
    assert not check(edited.graph).errors
    unchanged(edited)


def test_lora_that_freezes_the_rest():
    edited = rewritten("lora", select="**.q_proj", freeze=True)
    assert all(("lora" in path) == p.trained for path, p in parameters(edited.graph).items())
    unchanged(edited)


def test_train_only():
    edited = rewritten("train_only", params="**.bias")
    assert all(path.endswith("bias") == p.trained for path, p in parameters(edited.graph).items())
    unchanged(edited)


@pytest.mark.parametrize("to", ["gelu", "gelu_tanh", "relu_squared", "tanh"])
def test_swap_activation(to):
    edited = rewritten("swap_activation", to=to)
    function = {
        "gelu": F.gelu,
        "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
        "relu_squared": lambda x: F.relu(x) ** 2,
        "tanh": torch.tanh,
    }[to]
    module, _ = models.decoder()
    hooks = [
        layer.mlp.act.register_forward_hook(lambda m, given, _: function(given[0])) for layer in module.layers
    ]
    try:
        unchanged(edited)
    finally:
        for hook in hooks:
            hook.remove()
    changed(edited)
    assert parameters(edited.graph) == parameters(edited.original)


def test_prune_layer():
    edited = rewritten("prune_layer", select="blocks[1]")
    module, _ = models.decoder()
    hook = module.layers[1].register_forward_hook(lambda m, given, _: given[0])
    try:
        unchanged(edited)
    finally:
        hook.remove()
    changed(edited)


@pytest.mark.parametrize(("select", "times"), [("blocks[-1]", 1), ("blocks[0]", 2), ("blocks[*]", 1)])
def test_deeper_does_nothing_at_first(select, times):
    edited = rewritten("deeper", select=select, times=times)
    unchanged(edited)
    more = {
        path: p for path, p in parameters(edited.graph).items() if path not in parameters(edited.original)
    }
    zeros = {path.split(".", 2)[2] for path, p in more.items() if p.initialisation == "zeros"}
    assert zeros == {
        f"{part}.{name}" for part in ("attn.o_proj", "mlp.down_proj") for name in ("weight", "bias")
    }
    weights = weights_after(edited)
    assert all(
        bool(weights[path].any()) != (p.initialisation == "zeros")
        for path, p in more.items()
        if "bias" not in path
    )


def test_windows():
    unchanged(rewritten("windowed_attention", window=7))
    edited = rewritten("windowed_attention", window=3, select="blocks[1]")
    attention = F.scaled_dot_product_attention

    def windowed(q, k, v, is_causal):
        length = q.shape[-2]
        mask = torch.tensor([[0 <= i - j < 3 for j in range(length)] for i in range(length)])
        scores = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).masked_fill(~mask, float("-inf"))
        return scores.softmax(-1) @ v

    module, _ = models.decoder()
    turns = iter(range(100))

    def in_turn(*given, **options):
        return (windowed if next(turns) % 3 == 1 else attention)(*given, **options)

    models.F.scaled_dot_product_attention = in_turn
    sizes = models.SIZES[0]
    try:
        with torch.no_grad():
            expected = module(**models.tokens(**sizes))
    finally:
        models.F.scaled_dot_product_attention = attention
    torch.testing.assert_close(models.computed(edited.graph, weights_after(edited), sizes), expected)
    changed(edited)


def test_a_window_within_a_window():
    once = rewritten("windowed_attention", window=2)
    twice = edit(models.graph(), [{"rewrite": "windowed_attention", "window": w} for w in (4, 2)])
    sizes, weights = models.SIZES[0], models.own_weights()
    torch.testing.assert_close(
        models.computed(once.graph, weights, sizes), models.computed(twice.graph, weights, sizes)
    )


@pytest.mark.parametrize("groups", [1, 2])
def test_grouped_query(groups):
    edited = rewritten("grouped_query", groups=groups)
    assert parameters(edited.graph)["layers.0.attn.k_proj.weight"].shape == (4 * groups, 16)
    changed(edited)
    own, after = models.own_weights(), weights_after(edited)
    for path in ("layers.1.attn.k_proj.weight", "layers.2.attn.v_proj.bias"):
        heads = own[path].reshape(groups, HEADS // groups, 4, -1).mean(1)
        torch.testing.assert_close(after[path], heads.reshape(after[path].shape))
    # Where the heads of a group are alike, the mean is each of them.
    weights = models.own_weights()
    for path in weights:
        if "k_proj" in path or "v_proj" in path:
            heads = weights[path].reshape(groups, HEADS // groups, 4, -1)
            weights[path] = heads.mean(1, keepdim=True).expand_as(heads).reshape(weights[path].shape)
    sizes = models.SIZES[0]
    torch.testing.assert_close(
        models.computed(edited.graph, weights_after(edited, weights), sizes),
        models.computed(models.graph(), weights, sizes),
    )


def test_parallel():
    edited = rewritten("parallel", select="blocks[:2]")
    module, _ = models.decoder()

    def beside(layer, given, _):
        (x,) = given
        return x + layer.attn(layer.norm1(x)) + layer.mlp(layer.norm2(x))

    hooks = [layer.register_forward_hook(beside) for layer in module.layers[:2]]
    try:
        unchanged(edited)
    finally:
        for hook in hooks:
            hook.remove()
    changed(edited)


@pytest.mark.parametrize(
    ("rewrite", "words"),
    [
        ({"rewrite": "lora", "select": "**.norm1"}, "no linear layer is there"),
        ({"rewrite": "lora", "select": "**.q_proj", "rank": 0}, "rank is 0"),
        ({"rewrite": "lora", "select": "**.q_proj", "alpha": "x"}, "give a number"),
        ({"rewrite": "lora"}, '"select" is missing'),
        ({"rewrite": "swap_activation", "to": "gello"}, "did you mean gelu?"),
        ({"rewrite": "swap_activation", "to": "gelu", "select": "**.attn"}, "does not apply"),
        ({"rewrite": "swap_activation", "to": "gelu", "from": "relu"}, "none of relu"),
        ({"rewrite": "prune_layer", "select": "**.norm1"}, "takes blocks out"),
        ({"rewrite": "deeper", "select": "**.q_proj"}, "repeats blocks, and this is linear"),
        ({"rewrite": "deeper", "select": "embed"}, "repeats blocks, and this is embedding"),
        ({"rewrite": "windowed_attention", "window": 2, "select": "**.mlp"}, "does not apply"),
        ({"rewrite": "windowed_attention", "window": 0}, "window is 0"),
        ({"rewrite": "grouped_query", "groups": 3}, "divisor of the 4 heads"),
        ({"rewrite": "parallel", "select": "**.mlp"}, "h = x + f(x)"),
        ({"rewrite": "lara", "select": "x"}, "there is no rewrite 'lara' (did you mean lora?)"),
    ],
)
def test_where_a_rewrite_does_not_apply_it_says_so(rewrite, words):
    with pytest.raises(EditError) as caught:
        edit(models.graph(), [rewrite])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
