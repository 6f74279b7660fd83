"""A rewrite does the same to a model however it is written: compared with the plain form, in numbers."""

from functools import cache

import pytest
import torch

from madstar.errors import EditError
from madstar.graph.checking import check
from madstar.graph.editing import edit
from madstar.graph.editing.weights import transfer
from madstar.graph.trace import trace
from madstar.graph.walk import parameters

from . import forms, models

OTHER = [form for form in forms.FORMS if form != "plain"]
PROMISED = [
    {"rewrite": "lora", "select": "**", "rank": 2},
    {"rewrite": "wider", "select": "**"},
    {"rewrite": "experts", "select": "blocks[*]", "experts": 2},
    {"rewrite": "deeper"},
    {"rewrite": "windowed_attention", "window": 7},
]
CHANGED = [
    {"rewrite": "windowed_attention", "window": 3},
    {"rewrite": "grouped_query", "groups": 1},
    {"rewrite": "grouped_query", "groups": 2},
    {"rewrite": "share_kv"},
    {"rewrite": "rotary"},
    {"rewrite": "parallel"},
]


def named(rewrite):
    return "-".join(str(value) for value in rewrite.values())


@cache
def graph(form):
    module = forms.Decoder(form).eval()
    return trace(module, models.tokens, name=form)


def result(form, rewrite, sizes=models.SIZES[1]):
    edited = edit(graph(form), [rewrite])
    report = check(edited.graph)
    assert not report.errors, report.text()
    carried = transfer(forms.weights(form), edited)
    assert {path: tuple(value.shape) for path, value in carried.items()} == {
        path: p.shape for path, p in parameters(edited.graph).items()
    }
    return edited, models.computed(edited.graph, carried, sizes)


def plain(sizes=models.SIZES[1]):
    return models.computed(graph("plain"), forms.weights("plain"), sizes)


@cache
def expected(rewrite):
    return result("plain", dict(rewrite))[1]


@pytest.mark.parametrize("form", forms.FORMS)
def test_all_forms_compute_the_same(form):
    found = models.computed(graph(form), forms.weights(form), models.SIZES[1])
    torch.testing.assert_close(found, plain(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rewrite", PROMISED, ids=named)
@pytest.mark.parametrize("form", forms.FORMS)
def test_promised_to_change_nothing(form, rewrite):
    edited, found = result(form, rewrite)
    torch.testing.assert_close(found, plain(), rtol=1e-4, atol=1e-5)
    assert edited.touched
    if rewrite["rewrite"] != "windowed_attention":
        assert parameters(edited.graph) != parameters(edited.original)


@pytest.mark.parametrize("rewrite", CHANGED, ids=named)
@pytest.mark.parametrize("form", OTHER)
def test_changed_in_every_form_alike(form, rewrite):
    if form == "other_blocks" and rewrite["rewrite"] == "parallel":
        with pytest.raises(EditError, match="and has none within"):
            result(form, rewrite)
        return
    _, found = result(form, rewrite)
    torch.testing.assert_close(found, expected(tuple(rewrite.items())), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(found, plain(), atol=1e-3)


@pytest.mark.parametrize(("form", "rows"), [("fused", 24), ("by_head", 24), ("conv1d", 24), ("plain", 4)])
def test_grouped_queries_have_fewer_weights(form, rows):
    edited, _ = result(form, {"rewrite": "grouped_query", "groups": 1})
    name = "k" if form == "plain" else "qkv"
    shape = parameters(edited.graph)[f"layers.1.attn.inner.{name}.weight"].shape
    assert shape == ((16, rows) if form == "conv1d" else (rows, 16))


def test_the_weights_of_lora_stand_beside_those_of_the_layer():
    edited, _ = result("conv1d", {"rewrite": "lora", "select": "blocks[0].attn.**", "rank": 2})
    new = {path for path in parameters(edited.graph) if "lora" in path}
    layers = ("layers.0.attn.inner.qkv", "layers.0.attn.inner.o")
    assert new == {f"{layer}.lora.{name}.weight" for layer in layers for name in ("down", "up")}
