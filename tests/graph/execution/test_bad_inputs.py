"""What a built module refuses, in one line that names it."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from madstar.errors import GraphError
from madstar.graph.execution import build
from madstar.graph.execution.sizes import bound_sizes
from madstar.graph.model import Argument, Definition, Graph, Node, Value
from madstar.graph.trace import trace

from ..interpreter import module_of


@pytest.fixture(scope="module")
def built():
    def forward(self, x, mask):
        return self.lin(x) * mask[..., None]

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(8, 8)

        def forward(self, x, mask):
            return self.lin(x) * mask[..., None]

    make = lambda batch, length: {"x": torch.randn(batch, length, 8), "mask": torch.ones(batch, length)}  # noqa: E731
    return build(trace(Two().eval(), make))


X, MASK = torch.zeros(2, 5, 8), torch.ones(2, 5)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"x": X}, "also takes mask"),
        ({"x": X, "mask": MASK, "masc": MASK}, "no input 'masc'.*mask"),
        ({"x": X.double(), "mask": MASK}, "input 'x': expected float32, found float64"),
        ({"x": X[0], "mask": MASK}, r"input 'x': expected 3 dimensions \[batch,length,8\], found \[5, 8\]"),
        ({"x": torch.zeros(2, 5, 9), "mask": MASK}, "input 'x': expected 8 in dimension 2, found 9"),
        (
            {"x": X, "mask": torch.ones(2, 6)},
            r"length is 5 \(input 'x' has it in dimension 1\) and 6 \(input 'mask', dimension 1\)",
        ),
        ({"x": X, "mask": True}, "mask is no tensor"),
    ],
)
def test_inputs_are_bound_strictly(built, inputs, said):
    with pytest.raises(GraphError, match=said) as error:
        built(**inputs)
    assert "\n" not in str(error.value)


def test_too_many_and_twice(built):
    with pytest.raises(GraphError, match="takes 2 inputs, 3 were given"):
        built(X, MASK, MASK)
    with pytest.raises(GraphError, match="'x' is given twice"):
        built(X, x=X)
    assert built(X, mask=MASK).shape == X.shape


def sizes(stated, shapes):
    return bound_sizes([("a", shape) for shape in stated], shapes, {"n": (2, 3), "m": (4, 5)})


def test_sizes_in_expressions():
    assert sizes([("2*n+1",)], [(9,)]) == {"n": 4, "m": 4}
    assert sizes([("n*m",), ("m",)], [(12,), (3,)]) == {"n": 4, "m": 3}
    assert sizes([("(n+1)//2",), (7,)], [(3,), (7,)])["n"] in (5, 6)
    with pytest.raises(GraphError, match=r"no 'n' makes 2\*n\+1 in dimension 0 be 8"):
        sizes([("2*n+1",)], [(8,)])
    with pytest.raises(GraphError, match=r"expected n\+1 = 4 in dimension 1 \(n = 3 by input 'a'\), found 9"):
        sizes([("n", "n+1")], [(3, 9)])


def test_a_loop_that_was_written_out():
    def forward(self, x):
        state = x[:, 0]
        for step in range(1, x.shape[1]):
            state = state * 0.5 + x[:, step]
        return state

    graph = trace(module_of(forward), lambda batch, length: (torch.randn(batch, length, 8),))
    module = build(graph)
    assert module(torch.randn(3, 16, 8)).shape == (3, 8)
    with pytest.raises(GraphError, match="length is 20, and a loop over it is written out for 16"):
        module(torch.randn(3, 20, 8))


def one(op: str, *more: tuple[str, object], shape=("batch", 4), taken=1) -> Graph:
    x = Value("x", ("batch", 4), "float32")
    arguments = tuple(Argument(slot, "%x") for slot in ("input", "other")[:taken])
    node = Node("made", op, arguments, (Value("made", shape, "float32"),), tuple(sorted(more)))
    main = Definition("M", "M", (x,), (), (node,), ("%made",))
    return Graph("hostile", "M", {"M": main}, ("x",), ("output",), {"batch": (2, 3)})


@pytest.mark.parametrize(
    "op",
    ["opaque:load", "opaque:from_file", "opaque:save", "opaque:__import__", "opaque:os.system", "no_such"],
)
def test_no_other_functions_than_those_that_compute(op):
    with pytest.raises(GraphError, match=r"M:made .*there is no function"):
        build(one(op))


def test_opaque_operations_that_aten_has():
    x = torch.randn(2, 4)
    torch.testing.assert_close(build(one("opaque:clamp_min", ("min", 0.5)))(x), x.clamp_min(0.5))
    torch.testing.assert_close(build(one("opaque:log_sigmoid"))(x), F.logsigmoid(x))


def test_torch_failing_is_told_with_the_place():
    graph = one("reshape", ("shape", (3, "batch")))
    with pytest.raises(GraphError, match="made: reshape: RuntimeError: shape") as error:
        build(graph)(torch.zeros(2, 4))
    assert "\n" not in str(error.value)


def test_what_was_not_recorded():
    with pytest.raises(GraphError, match=r"M:made .*was not recorded"):
        build(one("getitem", ("index", (("slice", "<tensor ()>", None, None),))))(torch.zeros(2, 4))
    graph = one("constant", taken=0)
    with pytest.raises(GraphError, match=r"M:made .*values were not recorded"):
        build(graph)(torch.zeros(2, 4))


def test_a_graph_that_is_not_sound():
    graph = one("relu")
    main = replace(graph.main, outputs=("%other",))
    with pytest.raises(GraphError, match="other"):
        build(replace(graph, definitions={"M": main}))
