"""Each edit: what it changes, what it keeps, what is said where it does not fit."""

from dataclasses import replace

import pytest
import torch

from madstar.errors import EditError
from madstar.graph.checking import check
from madstar.graph.diff import diff
from madstar.graph.editing import Places, edit, select
from madstar.graph.editing.copies import edit_copies
from madstar.graph.hashing import structural_hash
from madstar.graph.json_format import from_json, to_json
from madstar.graph.unfolding import unfold
from madstar.graph.walk import parameters

from .. import graphs
from . import models

ADAPTER = {
    "path": "{site}.adapter",
    "kind": "Adapter",
    "steps": [
        {"op": "linear", "name": "down", "out_features": "x//4", "bias": False},
        {"op": "gelu"},
        {"op": "linear", "name": "up", "out_features": "same", "initialisation": "zeros"},
        {"op": "add", "in": {"other": "%y"}},
    ],
}


def made(*edits):
    """The edited graph, looked at as a whole."""
    graph = edit(models.graph(), list(edits)).graph
    report = check(graph)
    assert not report.findings, report.text()
    assert from_json(to_json(graph)) == graph
    return graph


def changes(graph):
    return [line.rstrip() for line in diff(models.graph(), graph).text().splitlines()]


def fresh(graph):
    """The decoder's own weights, and for others what their initialisation says, else ones over the width."""
    weights = models.own_weights()
    for path, p in parameters(graph).items():
        if path not in weights or weights[path].shape != p.shape:
            value = 0.0 if p.initialisation == "zeros" else 0.1
            weights[path] = torch.full(p.shape, value)
    return weights


def test_insert_after_computes_the_same_with_zeros():
    graph = made({"edit": "insert_after", "select": "blocks[*].mlp", "new": ADAPTER})
    assert changes(graph) == ["+ layers.{0..2}.mlp.adapter (x3): block Adapter"]
    assert parameters(graph)["layers.1.mlp.adapter.down.weight"].shape == (4, 16)
    models.same(graph, fresh(graph))


def test_one_copy_is_edited_alone():
    graph = made({"edit": "insert_after", "select": "layers[1].mlp", "new": ADAPTER})
    assert changes(graph) == ["+ layers.1.mlp.adapter: block Adapter"]
    before = parameters(models.graph())
    assert {path for path in parameters(graph) if path not in before} == {
        "layers.1.mlp.adapter.down.weight",
        "layers.1.mlp.adapter.up.weight",
        "layers.1.mlp.adapter.up.bias",
    }


def test_insert_before_takes_one_slot_only():
    new = {"op": "mul", "set": {"other": 0.0}}
    graph = made({"edit": "insert_before", "select": "layers[*]%add_1", "slot": "other", "new": new})
    weights = models.own_weights()
    expected = dict(weights)
    for i in range(3):
        for name in ("weight", "bias"):
            expected[f"layers.{i}.mlp.down_proj.{name}"] = torch.zeros_like(
                weights[f"layers.{i}.mlp.down_proj.{name}"]
            )
    sizes = models.SIZES[0]
    torch.testing.assert_close(
        models.computed(graph, weights, sizes), models.computed(models.graph(), expected, sizes)
    )


@pytest.mark.parametrize(("combine", "value"), [("add", 0.0), ("mul", 1.0)])
def test_insert_parallel(combine, value):
    new = [{"op": "mul", "set": {"other": 0.0}}, {"op": "add", "set": {"other": value}}]
    graph = made({"edit": "insert_parallel", "select": "**.q_proj", "new": new, "combine": combine})
    models.same(graph, models.own_weights())


def test_insert_parallel_joined():
    graph = made({"edit": "insert_parallel", "select": "head", "new": {"op": "relu"}, "combine": "cat"})
    assert graph.main.items[-1].outputs[0].shape == ("batch", "length", 46)


def test_replace_keeps_the_place_of_an_operation():
    graph = made(
        {"edit": "replace", "select": "**.act", "new": {"op": "gelu", "set": {"approximate": "tanh"}}}
    )
    assert changes(graph) == ["~ layers.{0..2}.mlp.act (x3): silu -> gelu"]


def test_replace_drops_what_served_it_alone():
    graph = made({"edit": "replace", "select": "layers[0].attn:scaled_dot*", "new": {"op": "clone"}})
    paths = parameters(graph)
    assert "layers.0.attn.q_proj.weight" in paths
    assert not any(path.startswith(("layers.0.attn.k_proj", "layers.0.attn.v_proj")) for path in paths)
    assert "layers.1.attn.k_proj.weight" in paths


def test_replace_by_a_whole_graph():
    module = models.MLP(16)
    graph = models.trace(module, lambda batch, length: (torch.zeros(batch, length, 16),), name="mlp")
    new = {"graph": graph, "path": "mlp"}
    edited = edit(models.graph(), [{"edit": "replace", "select": "layers[*].mlp", "new": new}])
    assert structural_hash(edited.unfolded) == structural_hash(edit(models.graph()).unfolded)
    with pytest.raises(EditError, match="save it and name the file"):
        edited.graph  # noqa: B018


def test_delete_a_layer():
    graph = made({"edit": "delete", "select": "blocks[1]"})
    assert changes(graph) == ["- layers.1: block Layer"]
    module, _ = models.decoder()
    two = models.Decoder(layers=2)
    two.load_state_dict(
        {
            path.replace("layers.2", "layers.1"): value
            for path, value in module.state_dict().items()
            if not path.startswith("layers.1.")
        }
    )
    sizes = models.SIZES[0]
    with torch.no_grad():
        expected = two.eval()(**models.tokens(**sizes))
    torch.testing.assert_close(models.computed(graph, models.own_weights(), sizes), expected)


def test_delete_a_branch_by_its_sum():
    graph = made({"edit": "delete", "select": "layers[0]%add", "keep": "input"})
    assert not any(path.startswith(("layers.0.attn", "layers.0.norm1")) for path in parameters(graph))


def test_rewire():
    graph = made({"edit": "rewire", "select": "layers[0].attn.k_proj", "slot": "input", "source": "%q_proj"})
    assert changes(graph) == ["~ layers.0.attn.k_proj: linear: input is %q_proj, was %x"]


def test_rewire_to_what_is_listed_later():
    graph = made({"edit": "rewire", "select": "layers[0].attn.q_proj", "slot": "input", "source": "%v_proj"})
    block = next(
        d for d in graph.definitions.values() if d.kind == "Attention" and d.items[0].name != "q_proj"
    )
    names = [item.name for item in block.items]
    assert names.index("v_proj") < names.index("q_proj")


def test_set_attr():
    graph = made({"edit": "set_attr", "select": "**:scaled_dot*", "set": {"is_causal": False}})
    assert changes(graph) == [
        "~ layers.{0..2}.attn (x3): scaled_dot_product_attention: is_causal True -> False"
    ]
    back = made(
        {"edit": "set_attr", "select": "**:scaled_dot*", "set": {"is_causal": False}},
        {"edit": "set_attr", "select": "**:scaled_dot*", "set": {"is_causal": True}},
    )
    models.same(back, models.own_weights())


def test_wrap():
    before, after = {"op": "mul", "set": {"other": 2.0}}, {"op": "mul", "set": {"other": 0.0}}
    graph = made(
        {"edit": "wrap", "select": "layers[0].mlp", "before": before, "after": after, "residual": True}
    )
    # All that the wrapped block gives is then its input: x + (norm(x)).
    same = made({"edit": "delete", "select": "layers[0].mlp"})
    sizes, weights = models.SIZES[0], models.own_weights()
    torch.testing.assert_close(models.computed(graph, weights, sizes), models.computed(same, weights, sizes))


def test_repeat_counts_on():
    graph = made({"edit": "repeat", "select": "blocks[0]", "times": 2})
    weights = models.own_weights()
    assert {path.split(".")[1] for path in parameters(graph) if path.startswith("layers.")} == set("01234")
    for path in list(weights):
        if path.startswith("layers.0."):
            for i in (3, 4):
                weights[path.replace("layers.0.", f"layers.{i}.")] = torch.zeros_like(weights[path])
    models.same(graph, weights)


def test_share_and_what_is_tied_goes_with_its_weights():
    graph = made({"edit": "share", "select": "blocks[1:].mlp", "with": "blocks[0].mlp"})
    group = tuple(f"layers.{i}.mlp.up_proj.weight" for i in range(3))
    assert group in graph.tied
    shorter = made(
        {"edit": "share", "select": "blocks[1:].mlp", "with": "blocks[0].mlp"},
        {"edit": "delete", "select": "layers[1]"},
    )
    assert ("layers.0.mlp.up_proj.weight", "layers.2.mlp.up_proj.weight") in shorter.tied


def test_share_an_embedding_with_the_head():
    graph = made({"edit": "share", "select": "head.weight", "with": "embed.weight"})
    assert graph.tied == (("embed.weight", "head.weight"),)


def test_freeze_and_unfreeze():
    graph = made({"edit": "freeze", "select": "blocks[*]"}, {"edit": "unfreeze", "params": "**.mlp.*.bias"})
    trained = {path for path, p in parameters(graph).items() if p.trained}
    assert trained == {
        *(f"layers.{i}.mlp.{name}.bias" for i in range(3) for name in ("up_proj", "down_proj")),
        *("embed.weight", "head.weight", "norm.weight", "norm.bias"),
    }


def test_paths_of_what_is_put_in_twice_differ():
    one = {"edit": "insert_after", "select": "layers[0].mlp", "new": ADAPTER}
    graph = made(one, one)
    paths = {path for path in parameters(graph) if "adapter" in path}
    assert len(paths) == 6
    assert "layers.0.mlp.adapter_1.up.weight" in paths


def test_a_module_used_twice_gets_one_adapter():
    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.proj = torch.nn.Linear(8, 8)

        def forward(self, x):
            return self.proj(torch.relu(self.proj(x)))

    graph = models.trace(Twice(), lambda batch, length: (torch.zeros(batch, length, 8),))
    edited = edit(graph, [{"edit": "insert_after", "select": "proj", "new": ADAPTER}]).graph
    assert len([path for path in parameters(edited) if "adapter" in path]) == 3
    assert not check(edited).errors


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            {
                "edit": "replace",
                "select": "layers[1].mlp.up_proj",
                "new": {"op": "linear", "out_features": 8},
            },
            "layers.1.mlp.down_proj: linear: expected input with 32 in dimension -1 (weight "
            "float32[16,32]), found "
            "float32[batch,length,8]; set by linear layers.1.mlp.linear with @linear.weight float32[8,16]",
        ),
        (
            {"edit": "insert_after", "select": "layers[0]", "new": {"op": "linear", "out_features": 10}},
            "layers.1.norm1: layer_norm: expected",
        ),
        (
            {"edit": "insert_parallel", "select": "**.q_proj", "new": {"op": "linear", "out_features": 7}},
            "layers.0.attn: add of %q_proj and %linear: expected other to go with input",
        ),
        (
            {"edit": "delete", "select": "layers[0].mlp.up_proj"},
            "expected an argument of the type of its result",
        ),
        (
            {"edit": "rewire", "select": "layers[0].attn.q_proj", "slot": "input", "source": "%o_proj"},
            "own result",
        ),
        (
            {"edit": "rewire", "select": "layers[0].attn.q_proj", "slot": "inpt", "source": "%v*"},
            "takes nothing in 'inpt'; it has",
        ),
        (
            {"edit": "rewire", "select": "layers[0].attn.q_proj", "slot": "input", "source": "%view*"},
            "fits 3 values",
        ),
        (
            {"edit": "rewire", "select": "layers[0].attn.q_proj", "slot": "input", "source": "%zzz"},
            "fits nothing in the block",
        ),
        ({"edit": "set_attr", "select": "**:scaled*", "set": {"is_causl": 1}}, "(nearest: is_causal)"),
        ({"edit": "set_attr", "select": "**:linear", "set": {"weight": 1}}, "is a tensor here"),
        ({"edit": "set_attr", "select": "layers[0]", "set": {"p": 1}}, "is a block"),
        ({"edit": "repeat", "select": "layers[0].norm1", "times": 1}, "is one operation"),
        ({"edit": "share", "select": "layers[1].mlp", "with": "layers[0].attn"}, "expected the weights that"),
        (
            {"edit": "share", "select": "layers[1].mlp.up_proj", "with": "layers[0].mlp.down_proj"},
            "float32[16, 32]",
        ),
        ({"edit": "freeze", "select": "layers[0]%add"}, "no module with weights"),
        ({"edit": "freeze"}, 'either "select"'),
        (
            {"edit": "insert_after", "select": "norm", "new": {"op": "scale", "initialisation": "two"}},
            "initialisation is 'two'; give zeros",
        ),
        (
            {"edit": "insert_after", "select": "norm", "new": {"op": "linear", "out_features": "z*2"}},
            "symbol 'z'",
        ),
        (
            {"edit": "insert_after", "select": "norm", "new": {"op": "linear", "out_features": -4}},
            "out_features is -4",
        ),
        (
            {
                "edit": "insert_after",
                "select": "norm",
                "new": [{"op": "add", "in": {"other": "%q"}}, {"op": "relu"}],
            },
            "%q is not known",
        ),
        (
            {"edit": "insert_before", "select": "norm", "new": {"op": "add", "in": {"other": "%y"}}},
            "own result",
        ),
    ],
)
def test_what_does_not_fit_is_one_line_and_changes_nothing(wrong, words):
    graph = models.graph()
    before = to_json(graph)
    good = {"edit": "delete", "select": "layers[2]"}
    with pytest.raises(EditError) as caught:
        edit(graph, [good, wrong])
    assert words in str(caught.value)
    assert str(caught.value).startswith("edit 2 ")
    assert "\n" not in str(caught.value)
    assert to_json(graph) == before


def test_uses_in_which_different_things_are_edited_are_different_copies():
    graph = unfold(models.graph())
    places = Places(graph)
    paths = ("layers.0.attn.q_proj", "layers.1.mlp.up_proj", "layers.2.attn.q_proj")

    def mark(draft, names):
        for name in names:
            draft.put(replace(draft.item(name), op="opaque:marked"))

    edited = edit_copies(graph, [site for path in paths for site in places.select(path)], mark).graph
    found = [site.path for site in Places(edited).select("**:opaque:marked")]
    assert found == list(paths)
    layers = [item.definition for item in edited.main.items if hasattr(item, "definition")]
    assert layers[0] == layers[2] != layers[1]


def test_what_was_computed_for_nothing_before_stays_so():
    main = graphs.Block("Main")
    x = main.input("x", *graphs.B, 8)
    main.node("relu", {"input": main.node("neg", {"input": x}, (*graphs.B, 8))}, (*graphs.B, 8))
    graph = graphs.graph_of("idle", [main.done(main.linear(main.linear(x, "one", 8), "two", 8))])
    edited = edit(graph, [{"edit": "replace", "select": "one", "new": {"op": "gelu"}}]).graph
    assert [item.op for item in edited.main.items] == ["neg", "relu", "gelu", "linear"]


def test_a_block_that_takes_another_type_in_one_use_becomes_two():
    act = graphs.Block("Act")
    x = act.input("x", *graphs.B, 8)
    inner = act.done(act.node("relu", {"input": x}, (*graphs.B, 8)))
    main = graphs.Block("Main")
    x = main.input("x", *graphs.B, 8)
    (one,) = main.call(inner, "act1", main.linear(x, "one", 8))
    (two,) = main.call(inner, "act2", x)
    graph = graphs.graph_of("twice", [inner, main.done(one, two)])
    edited = edit(graph, [{"edit": "replace", "select": "one", "new": {"op": "linear", "out_features": 4}}])
    assert not check(edited.graph).errors
    calls = [item for item in edited.unfolded.main.items if hasattr(item, "definition")]
    assert [edited.unfolded.definitions[call.definition].inputs[0].shape[-1] for call in calls] == [4, 8]
    assert [call.outputs[0].shape[-1] for call in calls] == [4, 8]


def test_a_few_lines_do_not_make_a_graph_without_end(monkeypatch):
    monkeypatch.setattr(select, "MAX_SITES", 500)
    many = {"edit": "repeat", "select": "blocks[-1]", "times": 20}
    with pytest.raises(EditError, match=r"^edit 3 .* graphs of up to 500 are edited"):
        edit(models.graph(), [many] * 5)
