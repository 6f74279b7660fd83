"""What each node gives on an example, and where NaN and infinity begin."""

import gc
import weakref

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from madstar.errors import GraphError
from madstar.graph.execution import drawn_inputs, run
from madstar.graph.execution.values import statistics_of
from madstar.graph.trace import trace

from ..interpreter import module_of


def floats(batch, length):
    return (torch.randn(batch, length, 8, generator=torch.Generator().manual_seed(1)),)


def stack(depth=3):
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in range(depth))).eval()


def test_statistics_are_those_of_the_values():
    net = stack()
    graph = trace(net, floats)
    (x,) = floats(2, 5)
    found = run(graph, (x,), net, keep="values")
    assert [each.place for each in found.measured] == [
        "input",
        *(f"{i}.{k}" for i in range(3) for k in (0, 1)),
    ]
    value = x
    for i in range(3):
        value = net[i][0](value)
        (row,) = found.at(f"{i}.0")
        torch.testing.assert_close(row.value, value)
        assert (row.dtype, row.shape, row.nan, row.inf) == ("float32", (2, 5, 8), 0, 0)
        numbers = (row.mean, row.std, row.least, row.most)
        expected = (value.mean(), value.std(correction=0), value.min(), value.max())
        torch.testing.assert_close(torch.tensor(numbers), torch.stack(expected))
        value = value.relu()
        assert found.at(f"{i}.1")[0].zeros == pytest.approx(float((value == 0).float().mean()))
    torch.testing.assert_close(found.outputs, net(x))
    assert found.sizes == {"batch": 2, "length": 5}
    assert found.faults == ()


def test_statistics_of_what_is_not_finite():
    found = statistics_of(torch.tensor([1.0, 3.0, float("nan"), float("inf"), float("-inf"), 0.0]))
    assert (found["nan"], found["inf"], found["least"], found["most"]) == (1, 2, 0.0, 3.0)
    assert found["zeros"] == pytest.approx(1 / 6)
    assert statistics_of(torch.tensor([float("nan")])) == {"nan": 1, "inf": 0, "zeros": 0.0}
    assert statistics_of(torch.zeros(0)) == {"nan": 0, "inf": 0}
    assert statistics_of(torch.tensor([True, False]))["mean"] == 0.5


@pytest.mark.parametrize(("function", "kind"), [(torch.log, "nan"), (torch.exp, "inf"), (torch.rsqrt, "nan")])
def test_where_it_begins(function, kind):
    """In the middle block, not in those that hand it on."""

    def forward(self, x):
        return self.c(function(self.b(self.a(x)) * 1000 - 1).cumsum(-1))

    module = module_of(forward, a=nn.Linear(8, 8), b=nn.Linear(8, 8), c=nn.Linear(8, 8)).eval()
    found = run(trace(module, floats), floats(2, 4), module)
    assert [(each.op, each.begins) for each in found.faults] == [(function.__name__, kind)]
    assert sum(each.nan + each.inf > 0 for each in found.measured) > 2


def test_a_planted_weight():
    net = stack()
    graph = trace(net, floats)
    net[1][0].weight.data[0, 0] = float("nan")
    found = run(graph, floats(2, 4), net)
    assert [(each.place, each.op, each.begins) for each in found.faults] == [("1.0.weight", "weight", "nan")]
    assert found.at("0.1")[0].nan == 0
    assert found.at("1.0")[0].nan == 8


def test_a_bad_input():
    net = stack(1)
    x = torch.zeros(2, 4, 8)
    x[0, 0, 0] = float("inf")
    found = run(trace(net, floats), (x,), net)
    assert (found.faults[0].op, found.faults[0].begins) == ("input", "inf")


def test_the_infinity_of_a_mask_is_meant():
    def forward(self, x):
        scores = x @ x.mT
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        return torch.softmax(scores.masked_fill(later, float("-inf")), -1) @ x

    module = module_of(forward)
    found = run(trace(module, floats), floats(2, 4))
    assert any(each.inf for each in found.measured)
    assert found.faults == ()


def test_a_row_that_is_all_masked():
    """Softmax of nothing but -inf: the NaN begins there, though what it takes is not finite either."""

    def forward(self, x):
        return torch.softmax(x.masked_fill(x < 100, float("-inf")), -1)

    module = module_of(forward)
    found = run(trace(module, floats), floats(2, 4))
    assert [(each.op, each.begins) for each in found.faults] == [("softmax", "nan")]


def test_statistics_hold_no_values():
    """While 30 layers run, no more than a few of their outputs are alive at once."""
    net = nn.Sequential(*(nn.Linear(64, 64) for _ in range(30))).eval()
    graph = trace(net, lambda batch, length: (torch.randn(batch, length, 64),))
    alive: set[int] = set()
    most = 0

    class Counts(TorchDispatchMode):
        @classmethod
        def _should_skip_dynamo(cls):
            return False

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal most
            made = func(*args, **(kwargs or {}))
            if isinstance(made, torch.Tensor) and made.shape == (4, 32, 64) and "addmm" in str(func):
                alive.add(key := len(alive) + 10**6 * id(made))
                weakref.finalize(made, alive.discard, key)
                most = max(most, len(alive))
            return made

    for keep, limit in (("statistics", 4), ("values", 31)):
        alive.clear()
        most = 0
        with Counts():
            found = run(graph, torch.randn(4, 32, 64), net, keep=keep)
        assert len(found.measured) == 31
        assert most <= limit
        assert all((each.value is None) == (keep == "statistics") for each in found.measured)
        del found
        gc.collect()


def test_places_and_words():
    net = stack(1)
    graph = trace(net, floats)
    found = run(graph, floats(2, 4), net)
    with pytest.raises(GraphError, match=r"nothing was computed at 'none'; places are such as"):
        found.at("none")
    with pytest.raises(GraphError, match="statistics or values"):
        run(graph, floats(2, 4), net, keep="all")


def test_drawn_inputs():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Embedding(30, 8), nn.Sequential(nn.Embedding(5, 8), nn.ReLU())

        def forward(self, ids, kinds, mask):
            return (self.a(ids) + self.b(kinds.view(kinds.shape))) * mask[..., None]

    def make(batch, length):
        zeros = torch.zeros(batch, length, dtype=torch.int64)
        return {"ids": zeros, "kinds": zeros.clone(), "mask": zeros + 1}

    graph = trace(Model().eval(), make)
    a, b = (drawn_inputs(graph, {"length": 50}, torch.Generator().manual_seed(2)) for _ in range(2))
    assert {name: tuple(t.shape) for name, t in a.items()} == dict.fromkeys(("ids", "kinds", "mask"), (2, 50))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert (int(a["ids"].max()) > 20, int(a["kinds"].max()), bool((a["mask"] == 1).all())) == (True, 4, True)
    run(graph, a)
    with pytest.raises(GraphError, match=r"no size 'lenght' \(did you mean|no size 'lenght'"):
        drawn_inputs(graph, {"lenght": 3})
    with pytest.raises(GraphError, match="give 1 or more"):
        drawn_inputs(graph, {"length": 0})
    with pytest.raises(GraphError, match="smaller sizes"):
        drawn_inputs(graph, {"length": 10**12})
