"""The other rewrites: shared keys and values, experts, wider layers, norms, positions, mixers, heads."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from madstar.errors import EditError
from madstar.graph.checking import check
from madstar.graph.editing import edit
from madstar.graph.editing.weights import transfer
from madstar.graph.json_format import save
from madstar.graph.trace import trace
from madstar.graph.walk import parameters

from ..interpreter import weights_of
from . import models
from .test_rewrites import changed, rewritten, unchanged, weights_after


@pytest.mark.parametrize("every", [2, 3])
def test_keys_and_values_are_those_of_the_first_of_each_group(every):
    edited = rewritten("share_kv", every=every)
    takers = [i for i in range(3) if i % every]
    for i in range(3):
        assert (f"layers.{i}.attn.k_proj.weight" in parameters(edited.graph)) == (i not in takers)
    module, _ = models.decoder()
    attention = F.scaled_dot_product_attention
    kept = []

    def shared(q, k, v, is_causal):
        kept.append((k, v))
        first = len(kept) - 1 - (len(kept) - 1) % every
        return attention(q, *kept[first], is_causal=is_causal)

    models.F.scaled_dot_product_attention = shared
    sizes = models.SIZES[0]
    try:
        with torch.no_grad():
            expected = module(**models.tokens(**sizes))
    finally:
        models.F.scaled_dot_product_attention = attention
    torch.testing.assert_close(models.computed(edited.graph, weights_after(edited), sizes), expected)
    changed(edited)


@pytest.mark.parametrize(("experts", "top_k"), [(2, 2), (4, 2), (3, 1)])
def test_identical_experts_do_what_the_block_did(experts, top_k):
    edited = rewritten("experts", select="blocks[*].mlp", experts=experts, top_k=top_k)
    unchanged(edited)
    known = parameters(edited.graph)
    assert f"layers.0.mlp.experts.{experts - 1}.up_proj.weight" in known
    assert "layers.0.mlp.up_proj.weight" not in known
    weights = weights_after(edited)
    weights["layers.0.mlp.experts.0.down_proj.bias"][0] += 1  # one channel: the norm takes out what all have
    with pytest.raises(AssertionError, match="not close"):
        models.same(edited.graph, weights)


def test_experts_that_are_chosen():
    edited = rewritten("experts", select="blocks[0].mlp", experts=3, top_k=1)
    weights = weights_after(edited)
    router = weights["layers.0.mlp.router.weight"]
    router.zero_()
    router[1] = 1e3  # by the sign of the sum of what it takes
    for i in range(3):
        weights[f"layers.0.mlp.experts.{i}.down_proj.weight"].fill_(0)
        weights[f"layers.0.mlp.experts.{i}.down_proj.bias"].fill_(i)
    module, _ = models.decoder()

    def chosen(block, given, _):
        (x,) = given
        scores = torch.stack([torch.zeros_like(x[..., 0]), 1e3 * x.sum(-1), torch.zeros_like(x[..., 0])], -1)
        return scores.topk(1, -1).indices.float().expand(*x.shape)

    hook = module.layers[0].mlp.register_forward_hook(chosen)
    try:
        models.same(edited.graph, weights)
    finally:
        hook.remove()


@pytest.mark.parametrize("times", [1.5, 2.0, 3.0])
def test_wider_computes_the_same(times):
    edited = rewritten("wider", select="**.down_proj", times=times)
    hidden = int(32 * times)
    assert parameters(edited.graph)["layers.2.mlp.up_proj.weight"].shape == (hidden, 16)
    assert parameters(edited.graph)["layers.2.mlp.up_proj.bias"].shape == (hidden,)
    assert parameters(edited.graph)["layers.2.mlp.down_proj.weight"].shape == (16, hidden)
    unchanged(edited)
    weights = weights_after(edited)
    weights["layers.2.mlp.down_proj.weight"][0, 32:] = 1.0
    with pytest.raises(AssertionError, match="not close"):
        models.same(edited.graph, weights)


def test_remove_norm():
    edited = rewritten("remove_norm", select="blocks[0].norm?")
    module, _ = models.decoder()
    hooks = [
        norm.register_forward_hook(lambda m, given, _: given[0])
        for norm in (module.layers[0].norm1, module.layers[0].norm2)
    ]
    try:
        unchanged(edited)
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize(("kind", "where"), [("rms", "before"), ("layer", "after")])
def test_add_norm(kind, where):
    edited = rewritten("add_norm", select="**.o_proj", kind=kind, where=where)
    assert parameters(edited.graph)["layers.1.attn.o_proj_norm.weight"].initialisation == "ones"
    module, _ = models.decoder()

    def norm(x):
        return F.rms_norm(x, (16,), eps=1e-6) if kind == "rms" else F.layer_norm(x, (16,), eps=1e-6)

    hooks = []
    for layer in module.layers:
        if where == "before":
            hooks.append(layer.attn.o_proj.register_forward_pre_hook(lambda m, given: (norm(given[0]),)))
        else:
            hooks.append(layer.attn.o_proj.register_forward_hook(lambda m, given, y: norm(y)))
    try:
        unchanged(edited)
    finally:
        for hook in hooks:
            hook.remove()


def test_tie_weights():
    edited = rewritten("tie_weights")
    assert edited.graph.tied == (("embed.weight", "head.weight"),)
    weights = models.own_weights()
    changed(edited)
    weights["head.weight"] = weights["embed.weight"].clone()
    sizes = models.SIZES[0]
    torch.testing.assert_close(
        models.computed(edited.graph, weights_after(edited), sizes),
        models.computed(models.graph(), weights, sizes),
    )
    with pytest.raises(EditError, match="has them already"):
        edited.apply([{"rewrite": "tie_weights"}])


class Positions(nn.Module):
    """A decoder with a table of positions."""

    def __init__(self):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(30, 16), nn.Embedding(64, 16)
        self.layer = models.Layer(16, 4)

    def forward(self, tokens):
        places = torch.arange(tokens.shape[1])
        return self.layer(self.tokens(tokens) + self.positions(places))


def turned(x, base=10000.0):
    length, width = x.shape[-2:]
    speeds = base ** (-torch.arange(0, width, 2) / width)
    angles = torch.outer(torch.arange(length), speeds)
    pairs = torch.complex(x[..., : width // 2], x[..., width // 2 :])
    moved = pairs * torch.polar(torch.ones_like(angles), angles)
    return torch.cat((moved.real, moved.imag), -1)


def test_rotary_for_learned_positions():
    module = Positions().eval()
    graph = trace(module, models.tokens, name="positions")
    edited = edit(graph, [{"rewrite": "rotary"}])
    assert not check(edited.graph).errors
    assert "positions.weight" not in parameters(edited.graph)
    weights = transfer(weights_of(module), edited)
    attention = F.scaled_dot_product_attention
    models.F.scaled_dot_product_attention = lambda q, k, v, is_causal: attention(
        turned(q), turned(k), v, is_causal=is_causal
    )
    nn.init.zeros_(module.positions.weight)
    try:
        with torch.no_grad():
            expected = [module(**models.tokens(**sizes)) for sizes in models.SIZES]
    finally:
        models.F.scaled_dot_product_attention = attention
    for sizes, wanted in zip(models.SIZES, expected, strict=True):
        torch.testing.assert_close(
            models.computed(edited.graph, weights, sizes), wanted, rtol=1e-4, atol=1e-5
        )


class SumOfTables(Positions):
    """What is added to the tokens is itself the sum of two tables: of positions, and one number for all."""

    def __init__(self):
        super().__init__()
        self.kinds = nn.Embedding(1, 16)
        self.every = nn.Parameter(torch.randn(64, 16))

    def forward(self, tokens):
        return super().forward(tokens) + (self.kinds.weight + self.every)[tokens]


def test_rotary_leaves_a_sum_of_two_tables_that_tokens_choose_from():
    graph = trace(SumOfTables().eval(), models.tokens, name="sums")
    edited = edit(graph, [{"rewrite": "rotary"}])
    assert not check(edited.graph).errors
    assert {"kinds.weight", "every"} <= parameters(edited.graph).keys()
    assert "positions.weight" not in parameters(edited.graph)


class Mean(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(16, 16)

    def forward(self, x):
        return self.proj(x.cumsum(1))


def test_swap_mixer(tmp_path):
    torch.manual_seed(3)
    mixer = Mean().eval()
    graph = trace(mixer, lambda batch, length: (torch.zeros(batch, length, 16),), name="mean")
    save(graph, tmp_path / "mean.graph.json")
    new = {"graph": str(tmp_path / "mean.graph.json")}
    edited = rewritten("swap_mixer", select="blocks[1].attn", new=new)
    weights = weights_after(edited)
    assert {path for path in weights if path.startswith("layers.1.attn.")} == {
        "layers.1.attn.proj.weight",
        "layers.1.attn.proj.bias",
    }
    weights |= {f"layers.1.attn.{path}": value for path, value in weights_of(mixer).items()}
    module, _ = models.decoder()
    hook = module.layers[1].attn.register_forward_hook(lambda m, given, _: mixer(given[0]))
    try:
        models.same(edited.graph, weights)
    finally:
        hook.remove()


@pytest.mark.parametrize(
    ("rewrite", "words"),
    [
        ({"rewrite": "share_kv", "every": 1}, "every is 1"),
        ({"rewrite": "share_kv", "select": "blocks[0]"}, "no two have keys and values of one type"),
        ({"rewrite": "experts", "select": "**.up_proj"}, "no block there is an MLP"),
        ({"rewrite": "experts", "select": "blocks[0].mlp", "top_k": 5}, "top_k is 5"),
        ({"rewrite": "wider", "select": "**.o_proj"}, "found reshape"),
        ({"rewrite": "wider", "select": "**.up_proj"}, "found layer_norm"),
        ({"rewrite": "remove_norm", "select": "**.mlp"}, "no norm is there"),
        ({"rewrite": "add_norm", "select": "**.mlp", "kind": "x"}, "kind is 'x'"),
        ({"rewrite": "rotary"}, "no table of learned positions"),
        ({"rewrite": "swap_mixer", "select": "**.mlp", "new": {"op": "relu"}}, "wants a graph"),
    ],
)
def test_where_a_rewrite_does_not_apply_it_says_so(rewrite, words):
    with pytest.raises(EditError) as caught:
        edit(models.graph(), [rewrite])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
