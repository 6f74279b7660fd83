"""What forests are told of a graph's own repetitions."""

from madstar.learning.baselines.echoes import Echoes, around_gap, around_hidden, before
from madstar.learning.baselines.wiring import NONE, wiring
from madstar.learning.hiding import HIDDEN
from madstar.learning.view import INPUT

from .small import Builder


def test_shares_are_those_of_what_was_counted() -> None:
    echoes = Echoes()
    for op in ("add", "add", "mul"):
        echoes.add({"giver": ("linear",), "two": ("a", "b")}, op)
    echoes.add({"giver": (HIDDEN,)}, "mul")
    row = echoes.row({"giver": ("linear",), "two": ("a", "c")})
    assert row == {"echoes of giver": 3, "echo of giver add": 2 / 3, "echo of giver mul": 1 / 3}
    assert not echoes.row({"giver": (HIDDEN,)})


def test_contexts_are_what_stands_around() -> None:
    b = Builder()
    x = b.add(INPUT)
    y = b.add("linear", x)
    z = b.add("relu", y)
    b.add("add", z, y)
    w = wiring(b.view())
    assert around_hidden(w, z) == {
        "giver": ("linear",),
        "givers": ("linear",),
        "taker": ("add",),
        "giver and taker": ("linear", "add"),
        "givers and taker": ("linear", "add"),
        "two before": (INPUT, "linear"),
        "one before and after": ("linear", "add"),
        "two after": ("add", NONE),
        "two before and after": (INPUT, "linear", "add", NONE),
    }
    assert around_gap(w, z)["giver with own"] == ("linear", "relu")
    assert around_gap(w, z)["one after with own"] == ("relu", "add")
    found = before(w, 3)
    assert found["2 before"] == ("relu", "linear")
    assert found["6 before"] == ("relu", "linear", INPUT, NONE, NONE, NONE)
    assert found["givers of one before"] == ("relu", "linear")
    assert "relu" not in {op for key in before(w, z).values() for op in key}
