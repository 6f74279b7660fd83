"""The oracle of tracing: a plain interpreter computes a graph anew, to be compared with the module itself.

It knows nothing of how a graph was recorded: each node is the torch function of its name, called with its
slots as they are said. Every shape and dtype that the graph states is checked on the way.
"""

import math
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.utils._pytree import tree_leaves

from madstar.graph import dims
from madstar.graph.model import Call, Node, Varying
from madstar.graph.paths import join
from madstar.graph.trace import trace
from madstar.graph.vocabulary import OPERATIONS

WORDS = frozenset(
    ("autocast", "approximate", "equation", "rounding_mode", "mode", "indexing", "reduction", "padding_mode")
)
# What has its sizes as one argument or as many, so not by keyword.
SPREAD = frozenset(
    (
        "view",
        "reshape",
        "expand",
        "permute",
        "repeat",
        "squeeze",
        "unsqueeze",
        "flatten",
        "transpose",
        "contiguous",
        "t",
    )
)
MADE = ("zeros", "ones", "full", "empty")


def number(part, sizes):
    """An attribute with its expressions of symbols as numbers."""
    if isinstance(part, tuple):
        return tuple(number(p, sizes) for p in part)
    if isinstance(part, str):
        return float(part) if part in ("inf", "-inf", "nan") else dims.evaluate(part, sizes)
    return part


def index_of(index, given, sizes):
    parts = []
    for part in index:
        if part == "...":
            part = Ellipsis
        elif isinstance(part, tuple) and part[:1] == ("slice",):
            part = slice(*number(part[1:], sizes))
        elif isinstance(part, tuple) and part[:1] == ("tensor",):
            part = given[f"index.{part[1]}"]
        else:
            part = list(number(part, sizes)) if isinstance(part, tuple) else number(part, sizes)
        parts.append(part)
    return tuple(parts)


def said(node, sizes):
    """The attributes as torch takes them."""
    attributes = {}
    for slot, value in node.attributes:
        if slot == "dtype":
            attributes[slot] = getattr(torch, value)
        elif slot not in ("in_place", "index"):
            attributes[slot] = value if slot in WORDS else number(value, sizes)
    return attributes


def compute(node, given, sizes):
    """One node on real values."""
    attributes = said(node, sizes)
    if "autocast" in attributes:
        with torch.autocast("cpu", getattr(torch, attributes.pop("autocast"))):
            return called(node.op, given, attributes)
    if node.op in ("getitem", "setitem"):
        index = index_of(dict(node.attributes)["index"], given, sizes)
        if node.op == "getitem":
            return given["input"][index]
        made = given["input"].clone()
        made[index] = given.get("value", attributes.get("value"))
        return made
    if node.op == "constant":
        return torch.tensor(attributes["value"], dtype=getattr(torch, node.outputs[0].dtype))
    if node.op == "arange":
        return torch.arange(*attributes.pop("range"), **attributes)
    if node.op in MADE:
        fill = [attributes.pop("fill_value")] if node.op == "full" else []
        return getattr(torch, node.op)(attributes.pop("size"), *fill, **attributes)
    if node.op == "copy":
        return given["src"].to(given["input"].dtype).expand_as(given["input"]).clone()
    if node.op in ("fill", "zero"):
        return torch.full_like(given["input"], attributes.get("value", 0))
    if node.op in ("cat", "stack"):
        return getattr(torch, node.op)(list(given.values()), **attributes)
    if node.op == "to":
        return given["input"].to(**attributes)
    if node.op == "type_as":
        return given["input"].to(given["other"].dtype)
    if node.op == "einsum":
        return torch.einsum(attributes["equation"], *given.values())
    if node.op in ("mT", "T", "data"):
        return getattr(given["input"], node.op)
    if node.op == "lstm":
        hx, params = ([v for k, v in given.items() if k.startswith(p)] for p in ("hx.", "params."))
        names = ["has_biases", "num_layers", "dropout", "train", "bidirectional", "batch_first"]
        return torch._VF.lstm(given["input"], hx, params, *(attributes[n] for n in names))
    if node.op == "grouped_mm":
        return F.grouped_mm(given["input"], given["mat2"], offs=given["offs"])
    if node.op == "histc":
        # Without weights the model counts integers, as it does on an accelerator; the CPU counts floats only.
        return torch.histc(given["input"].float(), **attributes).to(given["input"].dtype)
    if node.op in SPREAD:
        packed = [attributes.pop(slot) for slot in ("size", "shape", "dims", "repeats") if slot in attributes]
        return getattr(given["input"], node.op)(*packed, **attributes)
    return called(node.op, given, attributes)


def called(op, given, attributes):
    both = {**given, **attributes}
    function = getattr(F, op, None) or getattr(torch, op, None)
    if function is None:
        return getattr(both.pop("input"), op)(**both)
    try:
        return function(**both)
    except TypeError:
        order = [slot for slot in OPERATIONS[op].slots if slot in both]
        return function(*(both[slot] for slot in order))


def closed(value, setting):
    """An attribute with what is set in place of what was left open."""
    if isinstance(value, Varying):
        return setting[value.name]
    return tuple(closed(part, setting) for part in value) if isinstance(value, tuple) else value


def run(graph, definition, inputs, weights, path, sizes, setting=None):
    """A definition on real values; asserts every shape and dtype that it states."""
    setting = setting or {}
    assert set(setting) == set(definition.varying)
    known = dict(zip((f"%{v.name}" for v in definition.inputs), inputs, strict=True))

    def take(ref):
        return weights[join(path, ref[1:])] if ref.startswith("@") else known[ref]

    def keep(value, tensor, item):
        shape = tuple(dims.evaluate(d, sizes) for d in value.shape)
        where = (path, definition.name, item.name, tensor.shape, value.shape)
        assert tuple(tensor.shape) == shape, where
        assert str(tensor.dtype) == f"torch.{value.dtype}", (*where, tensor.dtype, value.dtype)
        known[f"%{value.name}"] = tensor

    for item in definition.items:
        if isinstance(item, Node):
            item = replace(item, attributes=closed(item.attributes, setting))
            made = compute(item, {a.slot: take(a.source) for a in item.arguments}, sizes)
            made = [made] if isinstance(made, torch.Tensor) else list(made)
        else:
            made = turns(graph, item, take, keep, weights, path, sizes, setting)
        for value, tensor in zip(item.outputs, made, strict=True):
            keep(value, tensor, item)
    return [take(ref) for ref in definition.outputs]


def turns(graph, call, take, keep, weights, path, sizes, setting):
    """A call turn by turn; gives what the last one gives, and keeps what is needed of those before."""
    assert isinstance(call, Call)
    passed = [take(ref) for ref in call.arguments]
    made = []
    for turn, below in enumerate(call.paths):
        for place, refs in call.own:
            assert len(refs) == call.count
            passed[place] = take(refs[turn])
        here = {name: closed(values[turn], setting) for name, values in call.settings}
        inside = graph.definitions[call.definition]
        made = run(graph, inside, passed, weights, join(path, below), sizes, here)
        for output, place in call.carried:
            passed[place] = made[output]
        if turn < call.count - 1:
            for place, names in call.gathered:
                assert len(names) == call.count - 1
                keep(replace(call.outputs[place], name=names[turn]), made[place], call)
    return made


def weights_of(module):
    found = dict(module.named_parameters(remove_duplicate=False))
    found |= dict(module.named_buffers(remove_duplicate=False))
    return {path: tensor.detach().clone() for path, tensor in found.items()}


def agrees(graph, module, make, sizes, rtol=1.3e-6, atol=1e-5):
    """Whether what the graph computes with the module's weights is what the module gives."""
    for at in sizes:
        inputs = make(**at)
        named = isinstance(inputs, dict)
        given = list(inputs.values()) if named else list(inputs)
        fresh = [t.clone() for t in given]
        weights = weights_of(module)
        with torch.no_grad():
            expected = module(**dict(zip(inputs, fresh, strict=True))) if named else module(*fresh)
            got = run(graph, graph.main, [t.clone() for t in given], weights, "", at)
        expected = [t for t in tree_leaves(to_plain(expected)) if isinstance(t, torch.Tensor)]
        assert len(got) == len(expected)
        for mine, theirs in zip(got, expected, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=rtol, atol=atol)


def to_plain(result):
    return dict(result) if isinstance(result, dict) else result


def check(module, make, sizes=({"batch": 2, "length": 16}, {"batch": 4, "length": 9}), **options):
    """Trace, interpret, compare with the module itself at several sizes."""
    torch.manual_seed(0)
    module = module.eval()
    graph = trace(module, make, **options)
    agrees(graph, module, make, sizes)
    return graph


def floats(batch, length):
    return (torch.randn(batch, length, 8),)


def tokens(batch, length):
    return {"ids": torch.randint(0, 20, (batch, length))}


def nodes(graph):
    return [item for d in graph.definitions.values() for item in d.items if isinstance(item, Node)]


def parameters(graph):
    """Elements of trained parameters, each tensor once."""
    sizes = {}

    def walk(definition, path):
        for p in definition.parameters:
            if p.trained:
                sizes[join(path, p.path)] = math.prod(p.shape)
        for item in definition.items:
            if isinstance(item, Call):
                for below in item.paths:
                    walk(graph.definitions[item.definition], join(path, below))

    walk(graph.main, "")
    for group in graph.tied:
        for name in group[1:]:
            sizes.pop(name, None)
    return sum(sizes.values())


def module_of(function, **parts):
    """A module whose forward is the function."""

    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            for name, part in parts.items():
                setattr(self, name, part)

        def forward(self, x):
            return function(self, x)

    return Plain()
