"""Every rule against torch itself: random shapes and dtypes are traced on the meta device, and inferred.

What torch refuses must be a fault, what it computes must have the inferred shape and dtype. Symbols are
checked by tracing at several sizes.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812

from madstar.graph.inference import RULES, Inference, Type, promotion
from madstar.graph.model import Node
from madstar.graph.trace import trace

from .interpreter import nodes

META = torch.device("meta")
DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64")
FLOATS = ("float16", "bfloat16", "float32", "float64")
COMPLEX = ("complex64", "complex128")


def tensor(shape: tuple[int, ...], dtype: str = "float32") -> torch.Tensor:
    return torch.empty(shape, dtype=getattr(torch, dtype), device=META)


class Applied(nn.Module):
    """A function of tensors as a module."""

    def __init__(self, function: Callable[..., Any]):
        super().__init__()
        self.function = function

    def forward(self, *tensors: torch.Tensor) -> Any:
        return self.function(*tensors)


def agrees(function: Callable[..., Any], *tensors: torch.Tensor) -> None:
    """Trace a function; every node that it makes is inferred as torch has computed it."""
    graph = trace(Applied(function), tensors, symbols=())
    inference = Inference(graph.symbols)
    found = nodes(graph)
    assert found
    for node in found:
        infers(inference, graph, node)


def infers(inference: Inference, graph: Any, node: Node) -> None:
    known = {f"%{v.name}": Type(v.shape, v.dtype) for d in graph.definitions.values() for v in d.inputs}
    for definition in graph.definitions.values():
        for item in definition.items:
            known |= {f"%{v.name}": Type(v.shape, v.dtype) for v in item.outputs}
    tensors = {a.slot: known[a.source] for a in node.arguments}
    stated = tuple(Type(v.shape, v.dtype) for v in node.outputs)
    # Of the record only the default dtype may be read: its shapes are hidden.
    hidden = tuple(Type(("hidden",), t.dtype) for t in stated)
    outcome = inference.operation(node.op, tensors, node.attributes, hidden)
    assert outcome.fault is None, (node, outcome.fault)
    assert outcome.ruled, node
    assert outcome.types[: len(stated)] == stated, (node, outcome.types)
    assert not outcome.remarks


# --- Dtypes.


def test_promotion_is_that_of_torch() -> None:
    for a, b in product((*DTYPES, *FLOATS, *COMPLEX), repeat=2):
        expected = str(torch.promote_types(getattr(torch, a), getattr(torch, b))).removeprefix("torch.")
        assert promotion.promote(a, b) == expected


@given(
    st.sampled_from((*DTYPES, *FLOATS, *COMPLEX)),
    st.sampled_from((*DTYPES, *FLOATS, *COMPLEX)),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, True, 2, 2.5]),
)
def test_results_of_tensors_scalars_and_numbers(
    a: str, b: str, flat: bool, other_flat: bool, number: float | None
) -> None:
    shapes = [() if each else (2,) for each in (flat, other_flat)]
    left, right = (tensor(s, d) for s, d in zip(shapes, (a, b), strict=True))
    expected = torch.result_type(left, right)
    if number is not None:
        expected = torch.result_type(left, number)
        found = promotion.result(
            [a] if not flat else [], [a] if flat else [], [promotion.of_number(number, "float32")]
        )
    else:
        pairs = ((a, flat), (b, other_flat))
        found = promotion.result([d for d, f in pairs if not f], [d for d, f in pairs if f])
    assert found == str(expected).removeprefix("torch.")


# --- Shapes that go together, and shapes that do not.


@st.composite
def broadcast_pairs(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    size = st.sampled_from([1, 2, 3])
    return tuple(draw(st.lists(size, max_size=3))), tuple(draw(st.lists(size, max_size=3)))


BINARY = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "maximum": torch.maximum,
    "pow": torch.pow, "lt": torch.lt, "ge": torch.ge, "eq": torch.eq, "logical_and": torch.logical_and,
    "atan2": torch.atan2, "remainder": torch.remainder, "floor_divide": torch.floor_divide,
    "matmul": torch.matmul, "fmod": torch.fmod, "xlogy": torch.xlogy, "float_power": torch.float_power,
}  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(sorted(BINARY)),
    broadcast_pairs(),
    st.sampled_from(("float32", "int64", "float64", "bool", "bfloat16")),
    st.sampled_from(("float32", "int64", "int32")),
)
def test_two_operands(op: str, shapes: tuple[tuple[int, ...], tuple[int, ...]], a: str, b: str) -> None:
    left, right = tensor(shapes[0], a), tensor(shapes[1], b)
    types = {"input": Type(shapes[0], a), "exponent" if op == "pow" else "other": Type(shapes[1], b)}
    outcome = Inference().operation(op, types)
    found, refused = None, ""
    try:
        found = BINARY[op](left, right)
    except RuntimeError as error:
        refused = str(error)
    if "not implemented" in refused or "does not support" in refused:
        return  # of these dtypes, on this device
    assert (found is None) == (outcome.fault is not None), (refused, outcome)
    if found is not None:
        expected = Type(tuple(found.shape), str(found.dtype).removeprefix("torch."))
        assert outcome.types == (expected,)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=2, max_size=4), st.data())
def test_shapes_turned_cut_and_joined(sizes: list[int], data: st.DataObject) -> None:
    rank = len(sizes)
    axis = data.draw(st.integers(-rank, rank - 1))
    other = data.draw(st.integers(-rank, rank - 1))
    start, stop = data.draw(st.tuples(st.integers(-5, 5), st.integers(-5, 5)))
    step = data.draw(st.integers(1, 3))
    first, last = sorted((axis % rank, other % rank))

    def everything(x: torch.Tensor) -> list[Any]:
        return [
            x.transpose(axis, other),
            x.unsqueeze(axis),
            x[..., start:stop:step, None, :],
            x[0, None, ...],
            x.flatten(first, last),
            torch.cat([x, x, x], axis),
            torch.stack([x, x], axis),
            x.split(2, axis),
            x.chunk(3, axis),
            x.unbind(axis),
            x.reshape(-1, sizes[-1]),
            x.repeat(2, *[1] * (rank - 1)),
            x.repeat_interleave(3, axis),
            F.pad(x, (1, 2, 0, 3)),
            x.sum(axis, keepdim=step > 1),
            x.max(axis),
            x.softmax(axis).cumsum(axis).movedim(axis, other),
            x.flip(axis).roll(1, axis).squeeze(axis),
            torch.var_mean(x, axis),
            x.unfold(axis, 1, step),
        ]

    agrees(everything, tensor(tuple(sizes)))


@settings(max_examples=15, deadline=None)
@given(
    st.integers(3, 9),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 1),
    st.integers(1, 2),
    st.booleans(),
)
def test_windows(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil: bool) -> None:
    more = min(stride, dilation) - 1

    def everything(x: torch.Tensor, w: torch.Tensor, turned: torch.Tensor) -> list[Any]:
        made = [F.conv_transpose2d(x, turned, None, stride, padding, more, 1, dilation)]
        if size + 2 * padding > dilation * (kernel - 1):
            made.append(F.conv2d(x, w, stride=stride, padding=padding, dilation=dilation))
            if padding <= kernel // 2:
                options = {"padding": padding, "dilation": dilation, "ceil_mode": ceil}
                made.append(F.max_pool2d(x, kernel, stride, **options))
        if padding <= kernel // 2:
            made.append(F.avg_pool2d(x, kernel, stride, padding, ceil))
        return made

    weights = tensor((6, 4, kernel, kernel)), tensor((4, 6, kernel, kernel))
    agrees(everything, tensor((2, 4, size, size)), *weights)


ONCE: dict[str, tuple[Callable[..., Any], tuple[torch.Tensor, ...]]] = {
    "linear": (F.linear, (tensor((2, 3, 4)), tensor((5, 4)), tensor((5,)))),
    "linear, one row": (F.linear, (tensor((2, 3, 4)), tensor((4,)))),
    "bilinear": (F.bilinear, (tensor((2, 3)), tensor((2, 4)), tensor((5, 3, 4)))),
    "addmm": (torch.addmm, (tensor((5,)), tensor((2, 3)), tensor((3, 5)))),
    "baddbmm": (torch.baddbmm, (tensor((2, 1, 5)), tensor((2, 3, 4)), tensor((2, 4, 5)))),
    "einsum": (lambda a, b: torch.einsum("bhqd,bkd->bhqk", a, b), (tensor((2, 3, 4, 5)), tensor((2, 6, 5)))),
    "einsum, dots": (lambda a, b: torch.einsum("...ij,jk", a, b), (tensor((2, 3, 4)), tensor((4, 5)))),
    "outer": (torch.outer, (tensor((3,)), tensor((4,)))),
    "attention": (
        F.scaled_dot_product_attention,
        (tensor((2, 4, 5, 8)), tensor((2, 4, 7, 8)), tensor((2, 4, 7, 6))),
    ),
    "attention, groups": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
        (tensor((2, 4, 5, 8)), tensor((2, 2, 7, 8)), tensor((2, 2, 7, 8))),
    ),
    "layer norm": (lambda x, w: F.layer_norm(x, (3, 4), w), (tensor((2, 3, 4)), tensor((3, 4)))),
    "group norm": (lambda x, w: F.group_norm(x, 2, w), (tensor((2, 4, 5)), tensor((4,)))),
    "batch norm": (F.batch_norm, (tensor((2, 4, 5)), tensor((4,)), tensor((4,)))),
    "embedding": (F.embedding, (tensor((2, 3), "int64"), tensor((9, 5)))),
    "one hot": (lambda x: F.one_hot(x, 7), (tensor((2, 3), "int64"),)),
    "gather": (lambda x, i: x.gather(1, i), (tensor((2, 5)), tensor((2, 3), "int64"))),
    "take along": (lambda x, i: x.take_along_dim(i, 1), (tensor((2, 5)), tensor((1, 3), "int64"))),
    "index select": (lambda x, i: x.index_select(1, i), (tensor((2, 5)), tensor((3,), "int64"))),
    "scatter": (lambda x, i: x.scatter(1, i, 0.5), (tensor((2, 5)), tensor((2, 3), "int64"))),
    "subscript": (lambda x, i: x[:, i, :, i], (tensor((2, 5, 3, 5)), tensor((4,), "int64"))),
    "subscript, together": (lambda x, i: x[:, i, i[:, None]], (tensor((2, 5, 5, 3)), tensor((4,), "int64"))),
    "subscript, number": (lambda x, i: x[0, :, i], (tensor((2, 5, 3)), tensor((4,), "int64"))),
    "subscript, list": (lambda x: x[..., [0, 2], :], (tensor((2, 5, 3)),)),
    "written": (lambda x, y: x.index_fill(1, y, 0), (tensor((2, 5)), tensor((3,), "int64"))),
    "where": (torch.where, (tensor((2, 1), "bool"), tensor((3,)), tensor((), "float64"))),
    "masked": (lambda x, m: x.masked_fill(m, -1.0), (tensor((2, 3)), tensor((3,), "bool"))),
    "clamp": (lambda x: x.clamp(min=0.5), (tensor((2,), "int64"),)),
    "quotient of whole numbers": (lambda x: x / 2, (tensor((2,), "int64"),)),
    "rounded quotient": (lambda x: torch.div(x, 2, rounding_mode="floor"), (tensor((2,), "int64"),)),
    "of a scalar": (lambda x, y: x * y, (tensor((2,), "bfloat16"), tensor((), "float32"))),
    "sums of bool": (lambda x: x.sum(), (tensor((2,), "bool"),)),
    "norm": (lambda x: x.norm(dim=-1), (tensor((2, 3)),)),
    "sort": (lambda x: x.sort(-1), (tensor((2, 3)),)),
    "top": (lambda x: x.topk(2, dim=0), (tensor((2, 3)),)),
    "glu": (lambda x: F.glu(x, 1), (tensor((2, 6)),)),
    "resized": (lambda x: F.interpolate(x, scale_factor=2), (tensor((1, 2, 3, 4)),)),
    "to a size": (lambda x: F.interpolate(x, size=(5, 6), mode="bilinear"), (tensor((1, 2, 3, 4)),)),
    "adaptive": (lambda x: F.adaptive_avg_pool2d(x, (1, None)), (tensor((1, 2, 3, 4)),)),
    "spectrum": (lambda x: torch.fft.irfft(torch.fft.rfft(x, n=9), n=9), (tensor((2, 5)),)),
    "complex": (lambda x: torch.view_as_real(torch.view_as_complex(x)), (tensor((3, 2)),)),
    "absolute of complex": (lambda x: x.abs(), (tensor((3,), "complex64"),)),
    "pixels": (lambda x: F.pixel_shuffle(x, 2), (tensor((1, 8, 3, 4)),)),
    "columns": (lambda x: F.unfold(x, (2, 3), padding=1), (tensor((1, 2, 5, 6)),)),
    "numbers": (lambda x: x + torch.arange(2, 9, 3, device="meta"), (tensor((3,), "int64"),)),
    "like": (lambda x: torch.zeros_like(x, dtype=torch.int32), (tensor((3,)),)),
    "new": (lambda x: x.new_full((2, 3), 1.0), (tensor((3,)),)),
    "grid": (lambda x, y: torch.meshgrid(x, y, indexing="xy"), (tensor((3,)), tensor((4,)))),
    "differences": (lambda x: torch.diff(x, prepend=x[:, :1]), (tensor((2, 3)),)),
    "diagonal": (lambda x: x.diagonal(1, 0, 1), (tensor((3, 4)),)),
    "triangle": (lambda x: x.tril(-1), (tensor((3, 4)),)),
    "unflatten": (lambda x: x.unflatten(-1, (2, -1)), (tensor((3, 4)),)),
    "permuted": (lambda x: x.permute(2, 0, 1), (tensor((2, 3, 4)),)),
    "expanded": (lambda x: x.expand(4, -1, 3), (tensor((2, 1)),)),
    "in place": (lambda x, y: x.clone().add_(y), (tensor((2, 3)), tensor((3,), "float64"))),
    "two extremes": (torch.max, (tensor((2, 3)), tensor((3,)))),
}  # fmt: skip


@pytest.mark.parametrize("name", ONCE)
def test_once(name: str) -> None:
    function, tensors = ONCE[name]
    agrees(function, *tensors)


def test_recurrent_layers() -> None:
    for kind in (nn.LSTM, nn.GRU):
        module = kind(4, 6, num_layers=2, bidirectional=True, batch_first=True, device="meta")
        graph = trace(module, (tensor((2, 5, 4)),), symbols=())
        found = Inference().graph(graph)
        assert not any(block.troubles or block.unruled for block in found.values())


# --- What does not fit.


def fault(op: str, tensors: dict[str, Type], **attributes: Any) -> Any:
    found = Inference().operation(op, tensors, tuple(sorted(attributes.items())))
    assert found.fault is not None
    return found.fault


def test_faults_name_the_slot_and_the_dimension() -> None:
    x, w = Type(("batch", "length", 48), "float32"), Type((32, 64), "float32")
    found = fault("linear", {"input": x, "weight": w})
    assert (found.kind, found.slot, found.dim) == ("shape", "input", 2)
    assert "64" in found.expected
    assert found.found == "float32[batch,length,48]"
    assert fault("linear", {"input": x, "weight": Type((32, 48), "float16")}).kind == "dtype"
    assert fault("linear", {"input": x}).kind == "missing argument"
    assert fault("softmax", {"input": x}, dim=3).kind == "attribute"
    assert fault("softmax", {"input": x}, dim="1.5").kind == "attribute"
    assert fault("view", {"input": x}, size=("batch", "length", 47)).kind == "shape"
    assert fault("view", {"input": x}, size=("batch", -1, -1)).kind == "attribute"
    assert fault("add", {"input": x, "other": Type((47,), "float32")}).slot == "other"
    assert fault("cat", {"tensors.0": x, "tensors.1": Type((2, 3), "float32")}, dim=0).slot == "tensors.1"
    assert fault("embedding", {"input": x, "weight": w}).kind == "dtype"
    assert fault("add", {"input": x}).slot == "other"


def test_symbols_that_differ_for_all_sizes_are_refused_others_are_remarked() -> None:
    a, b = Type(("length",), "float32"), Type(("length+1",), "float32")
    inference = Inference({"length": (16, 20)})
    assert inference.operation("add", {"input": a, "other": b}).fault is not None
    same = inference.operation("add", {"input": a, "other": Type((16,), "float32")})
    assert same.fault is None
    assert [str(remark) for remark in same.remarks] == ["length = 16"]
    assert inference.operation("add", {"input": a, "other": Type((17,), "float32")}).fault is not None


def test_slices_and_views_in_symbols() -> None:
    x = Type(("batch", "length", 64), "float32")

    def one(op: str, **attributes: Any) -> Any:
        found = Inference({"batch": (2,), "length": (16,)}).operation(
            op, {"input": x}, tuple(sorted(attributes.items()))
        )
        assert found.fault is None
        return found.types[0].shape

    full = ("slice", None, None, None)
    assert one("view", size=("batch*length", -1)) == ("batch*length", 64)
    assert one("view", size=("batch", "length", 4, -1)) == ("batch", "length", 4, 16)
    assert one("getitem", index=(full, ("slice", None, -1, None))) == ("batch", "length-1", 64)
    assert one("getitem", index=(full, ("slice", None, None, 2))) == ("batch", "(length+1)//2", 64)
    assert one("getitem", index=(full, -1)) == ("batch", 64)
    assert one("pad", pad=(0, 0, 3, 0)) == ("batch", "length+3", 64)
    assert one("flatten", end_dim=1) == ("batch*length", 64)


def test_most_of_the_vocabulary_has_a_rule() -> None:
    from madstar.graph.vocabulary import OPERATIONS

    assert len(set(RULES) & set(OPERATIONS)) > 0.8 * len(OPERATIONS)
