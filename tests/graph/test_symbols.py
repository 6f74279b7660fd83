import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from madstar.graph.dims import evaluate
from madstar.graph.recording import Origin, Record, Recording, Step
from madstar.graph.symbols import Sizes
from madstar.graph.trace import trace
from madstar.graph.unfolding import unfold

from .interpreter import floats

BINDINGS = [{"batch": 2, "length": 16}, {"batch": 3, "length": 20}, {"batch": 5, "length": 31}]


def recording(shape, attribute=0, ops=("view",)):
    made = Recording()
    source = made.value(shape, "float32", Origin("input", 0))
    made.inputs.append(("x", source))
    for index, op in enumerate(ops):
        record = Record(
            op, [("input", source)], [("size", attribute)], 0, [Step("aten.a", (), (shape,), ("f",))]
        )
        record.outputs.append(made.value(shape, "float32", Origin("record", index)))
        made.records.append(record)
    made.instances.append(type("I", (), {"path": ""})())
    return made


@given(st.integers(0, 3), st.integers(0, 4), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_what_is_fitted_gives_every_run(a, b, c):
    runs = [recording((a * s["batch"] + b, c * s["batch"] * s["length"], c)) for s in BINDINGS]
    sizes = Sizes(runs, BINDINGS)
    for run, binding in zip(runs, BINDINGS, strict=True):
        assert tuple(evaluate(d, binding) for d in sizes.shape(1)) == run.values[1].shape
        assert tuple(evaluate(d, binding) for d in sizes.body(0)[0].shapes[0]) == run.values[1].shape
    assert not sizes.unfitted


def test_attributes_follow_the_sizes():
    runs = [recording((1,), (s["length"], -1, ("slice", s["length"] - 1, None))) for s in BINDINGS]
    assert Sizes(runs, BINDINGS).attributes(0) == (("size", ("length", -1, ("slice", "length-1", None))),)


def test_what_fits_nothing_keeps_the_first_and_is_counted():
    sizes = Sizes([recording((size,)) for size in (7, 1000, 3)], BINDINGS)
    assert not sizes.unfitted
    assert sizes.shape(0) == (7,)
    assert sizes.unfitted == {(7, 1000, 3): 1}
    assert sizes.dim((7, 1001, 3)) == 7
    assert sizes.dim((7, 1000, 3)) == 7
    assert sizes.unfitted == {(7, 1000, 3): 1, (7, 1001, 3): 1}


def test_a_coincidence_at_two_sizes_is_found_out_at_the_third():
    runs = [recording((size,)) for size in (16, 20, 16)]
    sizes = Sizes(runs, BINDINGS)
    assert sizes.shape(0) == (16,)
    assert sizes.unfitted == {(16, 20, 16): 1}


def test_records_that_one_run_has_more_of():
    runs = [
        recording((s["batch"],), ops=["view"] * k + ["relu"])
        for k, s in zip((2, 3, 5), BINDINGS, strict=True)
    ]
    sizes = Sizes(runs, BINDINGS)
    assert sizes.unaligned == 3
    assert sizes.unrolled_over() == ("batch",)
    assert sizes.shape(3) == ("batch",)


def test_one_run_is_numbers():
    sizes = Sizes([recording((2, 3))], [{}])
    assert sizes.shape(1) == (2, 3)
    assert torch.Size(sizes.shape(0)) == torch.Size((2, 3))


def test_what_a_constant_holds_follows_the_sizes():
    runs = [Recording() for _ in BINDINGS]
    for run, sizes in zip(runs, BINDINGS, strict=True):
        run.value((2,), "int64", Origin("constant", data=[sizes["length"], 7]))
    assert Sizes(runs, BINDINGS).data(0) == ("length", 7)


class Scan(nn.Module):
    """A loop over the length between two products."""

    def __init__(self):
        super().__init__()
        self.before, self.after = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        x = self.before(x)
        state, states = x[:, 0], []
        for turn in range(x.shape[1]):
            state = state * 0.5 + x[:, turn]
            states.append(state)
        return self.after(torch.stack(states, 1))


def test_turns_of_unrolled_loops_meet_those_of_the_same_number():
    """In every block alike, however many there are; so that equal blocks are found to be equal."""
    graph = trace(nn.Sequential(*(Scan() for _ in range(4))), floats)
    assert graph.facts["unrolled_over"] == ["length"]
    scans = [block for block in unfold(graph).definitions.values() if block.kind == "Scan"]
    assert len(scans) == 1
    read = [dict(item.attributes)["index"] for item in scans[0].items if item.op == "getitem"]
    every = ("slice", None, None, None)
    assert read == [(every, 0), *((every, turn) for turn in range(16))]
