"""`check`: graphs that are sound pass, and each spoilt one is told by its place and what upstream set it."""

from dataclasses import replace
from typing import Any

import pytest

from madstar.graph.checking import Finding, Report, check, said_causal
from madstar.graph.inference import Inference
from madstar.graph.model import Argument, Definition, Graph, Item, Node, Parameter

from . import graphs
from .test_inference import model

GRAPH = model()


def with_block(graph: Graph, name: str, **changes: Any) -> Graph:
    block = replace(graph.definitions[name], **changes)
    return replace(graph, definitions={**graph.definitions, name: block})


def with_item(name: str, *items: Item, block: str = "Mixer") -> Graph:
    """The model with other items in the place of one."""
    old = GRAPH.definitions[block].items
    at = next(i for i, item in enumerate(old) if item.name == name)
    return with_block(GRAPH, block, items=(*old[:at], *items, *old[at + 1 :]))


def node(name: str, block: str = "Mixer") -> Node:
    found = next(item for item in GRAPH.definitions[block].items if item.name == name)
    assert isinstance(found, Node)
    return found


def errors(graph: Graph) -> list[Finding]:
    return [finding for finding in check(graph).findings if finding.severity == "error"]


def the_error(graph: Graph) -> Finding:
    first, *others = errors(graph)
    assert not others, [other.line for other in others]
    return first


def warnings(report: Report, kind: str) -> list[Finding]:
    return [f for f in report.findings if f.kind == kind and f.severity == "warning"]


def test_a_traced_model_has_no_faults() -> None:
    report = check(GRAPH)
    assert report.findings == ()
    assert report.summary == f"Model: 0 errors, 0 warnings in {report.nodes} nodes"


def test_the_weight_of_one_linear_layer() -> None:
    """The layer states what it does not compute; what comes after it fails, and names it."""
    parameters = tuple(
        replace(p, shape=(48, 16)) if p.path == "up.weight" else p
        for p in GRAPH.definitions["Mixer"].parameters
    )
    bias, stated, after = errors(with_block(GRAPH, "Mixer", parameters=parameters)), "", ""
    found = bias[0]
    assert (found.path, found.op, found.kind, found.uses) == ("layers.0.up", "linear", "shape", 3)
    assert "bias" in found.expected
    parameters = tuple(replace(p, shape=(48,)) if p.path == "up.bias" else p for p in parameters)
    stated, after = errors(with_block(GRAPH, "Mixer", parameters=parameters))
    assert (stated.path, stated.kind) == ("layers.0.up", "output")
    assert "64" in stated.expected
    assert stated.found == "float32[batch,length,48]"
    assert "@up.weight float32[48,16]" in stated.source
    assert (after.path, after.op) == ("layers.0.down", "linear")
    assert "with 32 in dimension -1" in after.expected
    assert after.found == "float32[batch,length,24]"
    assert after.source == "glu layers.0:glu"


def test_a_size_is_followed_through_what_hands_it_on() -> None:
    """From a product of scores back to the layer whose weight set the size, past views and a chunk."""
    parameters = tuple(
        replace(p, shape=(60, 16)) if p.path == "out.weight" else p
        for p in GRAPH.definitions["Mixer"].parameters
    )
    parameters = tuple(replace(p, shape=(60,)) if p.path == "out.bias" else p for p in parameters)
    stated, after = errors(with_block(GRAPH, "Mixer", parameters=parameters))
    assert stated.path == "layers.0.out"
    assert (after.op, after.kind) == ("add", "shape")
    assert after.source == "linear layers.0.out with @out.weight float32[60,16]"


def test_a_size_is_followed_through_blocks() -> None:
    embedding = replace(GRAPH.main.parameters[0], shape=(50, 20))
    parameters = (embedding, *GRAPH.main.parameters[1:])
    stated, found = errors(with_block(GRAPH, "Model", parameters=parameters))
    assert stated.path == "embed"
    assert (found.path, found.op, found.node) == ("layers.0", "Mixer", GRAPH.main.items[1].name)
    assert found.found == "float32[batch,length,20]"
    assert found.source == "embedding embed with @embed.weight float32[50,20]"


def test_exchanged_arguments() -> None:
    up = node("up")
    slots = {a.slot: a.source for a in up.arguments}
    turned = (Argument("input", slots["weight"]), Argument("weight", slots["input"]))
    found = the_error(with_item("up", replace(up, arguments=turned)))
    assert (found.path, found.op) == ("layers.0.up", "linear")
    assert "weight of 1 or 2 dimensions" in found.expected


def test_a_node_that_is_missing() -> None:
    found = errors(with_item("glu"))
    assert [f.kind for f in found][:1] == ["reference"]
    assert found[0].path == "Mixer:down"
    assert "%glu, given nowhere" in found[0].found


def test_a_node_that_comes_too_late() -> None:
    items = GRAPH.definitions["Mixer"].items
    found = errors(with_block(GRAPH, "Mixer", items=(*items[1:], items[0])))
    assert "given later" in found[0].found


def test_another_dtype() -> None:
    parameters = tuple(
        replace(p, dtype="bfloat16") if p.path == "down.weight" else p
        for p in GRAPH.definitions["Mixer"].parameters
    )
    found = the_error(with_block(GRAPH, "Mixer", parameters=parameters))
    assert (found.path, found.kind) == ("layers.0.down", "dtype")
    assert found.found == "bfloat16[16,32]"
    assert found.source.startswith("parameter layers.0.down.weight bfloat16[16,32], against ")


def test_a_dtype_is_followed_upstream() -> None:
    glu = node("glu")
    value = replace(glu.outputs[0], name="half", dtype="float16", shape=("batch", "length", 64))
    half = Node("half", "to", glu.arguments, (value,), (("dtype", "float16"),))
    taken = (Argument("input", "%half"),)
    after = replace(glu, arguments=taken, outputs=(replace(glu.outputs[0], dtype="float16"),))
    found = errors(with_item("glu", half, after))[0]
    assert (found.path, found.kind) == ("layers.0.down", "dtype")
    assert found.source.endswith(", against to layers.0:half")


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"attributes": (("axis", 1), ("dim", -1))}, "slot", "axis"),
        ({"attributes": (("dim", "first"),)}, "attribute", "first"),
        ({"attributes": (("dim", 3),)}, "attribute", "3"),
        ({"op": "glue", "attributes": ()}, "operation", "glue"),
        ({"arguments": ()}, "missing argument", "none"),
    ],
)
def test_slots_and_attributes(changes: dict[str, Any], kind: str, said: str) -> None:
    found = errors(with_item("glu", replace(node("glu"), **changes)))
    assert [f.kind for f in found] == [kind]
    assert said in found[0].found
    assert found[0].path == "layers.0:glu"


def test_a_call_with_too_few_arguments() -> None:
    call = GRAPH.main.items[1]
    found = errors(with_item(call.name, replace(call, arguments=()), block="Model"))
    assert found[0].kind == "missing argument"
    assert found[0].expected == "1 argument (x)"


def test_a_run_that_changes_what_it_carries() -> None:
    wrong = with_block(GRAPH, "Mixer", outputs=("%up",))
    found = errors(wrong)
    assert (found[0].path, found[0].op) == ("layers.0", "Mixer")
    assert "carried output 0 as input x" in found[0].expected
    assert found[0].source == "linear layers.0.up with @up.weight float32[64,16]"


def test_dead_values_and_unused_parameters() -> None:
    block = GRAPH.definitions["Mixer"]
    source = block.items[0].outputs[0]
    dead = [
        Node("twice", "neg", (Argument("input", f"%{source.name}"),), (replace(source, name="twice"),)),
        Node("again", "neg", (Argument("input", "%twice"),), (replace(source, name="again"),)),
    ]  # fmt: skip
    more = (*block.parameters, Parameter("spare", (3,), "float32"))
    report = check(with_block(GRAPH, "Mixer", items=(*block.items, *dead), parameters=more))
    assert report.errors == 0
    (value,) = warnings(report, "dead")
    assert (value.path, value.uses) == ("layers.0:again", 3)
    assert "the 1 before" in value.found
    (weight,) = warnings(report, "unused parameter")
    assert (weight.path, weight.uses) == ("layers.0.spare", 3)


def test_a_tied_weight_is_used_where_its_twin_is() -> None:
    main = GRAPH.main
    spare = replace(main.parameters[0], path="twin.weight")
    graph = with_block(GRAPH, "Model", parameters=(*main.parameters, spare))
    assert warnings(check(graph), "unused parameter")
    tied = replace(graph, tied=(("embed.weight", "twin.weight"),))
    assert not check(tied).findings


def test_sizes_that_fit_only_as_traced() -> None:
    found = warnings(check(with_item("glu", *_table())), "size")
    assert [f.found for f in found] == ["fits only where length <= 512"]


def _table() -> tuple[Item, ...]:
    glu = node("glu")
    shape = ("length", 32)
    made = Node(
        "table",
        "zeros",
        (),
        (replace(glu.outputs[0], name="table", shape=(512, 32)),),
        (("size", (512, 32)),),
    )
    index = (("slice", None, "length", None),)
    cut = Node(
        "cut", "getitem", (Argument("input", "%table"),), (replace(glu.outputs[0], name="cut", shape=shape),),
        (("index", index),),
    )  # fmt: skip
    both = (Argument("input", "%half"), Argument("other", "%cut"))
    half = replace(glu, name="half", outputs=(replace(glu.outputs[0], name="half"),))
    return half, made, cut, Node("glu", "add", both, glu.outputs)


def test_every_random_edit_of_a_shape_is_noticed() -> None:
    """Each node's stated result, made one larger in one dimension, is told at that node."""
    for name, block in GRAPH.definitions.items():
        for item in block.items:
            if not isinstance(item, Node):
                continue
            value = item.outputs[0]
            for dim, size in enumerate(value.shape):
                wrong = (
                    *value.shape[:dim],
                    f"{size}+1" if isinstance(size, str) else size + 1,
                    *value.shape[dim + 1 :],
                )
                outputs = (replace(value, shape=wrong), *item.outputs[1:])
                found = errors(with_item(item.name, replace(item, outputs=outputs), block=name))
                assert {f.node for f in found if f.kind == "output"} == {item.name}


def test_the_same_inference_again_gives_the_same_report() -> None:
    inference = Inference()
    assert check(GRAPH, inference) == check(GRAPH, inference) == check(GRAPH)


def test_said_to_be_causal() -> None:
    assert not said_causal(GRAPH)
    assert said_causal(replace(GRAPH, facts={"source": "genome:21211"}))
    assert said_causal(graphs.llama())


def test_a_graph_that_holds_itself_is_one_finding() -> None:
    main = GRAPH.main
    call = replace(GRAPH.main.items[1], definition="Model")
    block: Definition = replace(main, items=(main.items[0], call, *main.items[2:]))
    found = errors(replace(GRAPH, definitions={**GRAPH.definitions, "Model": block}))
    assert found
    assert any("contains itself" in f.found for f in found)
