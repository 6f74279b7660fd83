"""What a graph records of buffers, and that it is what they held."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from madstar.errors import GraphError
from madstar.graph.buffers import FACT, LARGEST, MADE, computed, not_saved, recorded
from madstar.graph.model import Definition, Graph, Parameter


class Holds(nn.Module):
    def __init__(self, value: Tensor, saved: bool = False) -> None:
        super().__init__()
        self.inner = nn.Module()
        self.inner.register_buffer("held", value, persistent=saved)


def with_fact(fact: dict[str, object]) -> Graph:
    return Graph("g", "G", {"G": Definition("G", "G", (), (), (), ())}, (), (), facts=fact)


HELD = {
    "one number": (torch.full((60, 90), -2.5), "filled"),
    "one truth": (torch.ones(3, dtype=torch.bool), "filled"),
    "one infinity": (torch.full((4, 4), float("-inf")), "filled"),
    "lower triangle": (torch.tril(torch.ones(1, 1, 80, 80)), "filled"),
    "upper triangle": (torch.triu(torch.full((70, 70), 7, dtype=torch.int64)), "filled"),
    "counts": (torch.arange(5, 9000).expand(2, -1).clone(), "counts_from"),
    "few numbers": (torch.linspace(0, 1, 7)[None], "values"),
    "few, not all finite": (torch.tensor([1.0, float("inf"), float("nan")]), "values"),
    "nearly a triangle": (torch.tril(torch.ones(9, 9)).index_fill(1, torch.tensor([4]), 1.0), "values"),
    "a number alone": (torch.tensor(3), "filled"),
}


@pytest.mark.parametrize("name", HELD)
def test_what_is_recorded_is_what_it_held(name: str) -> None:
    value, form = HELD[name]
    fact = recorded(Holds(value))
    assert fact[FACT]["inner.held"].keys() == {"saved", form}
    graph = with_fact(fact)
    parameter = Parameter("held", tuple(value.shape), str(value.dtype).removeprefix("torch."), trained=False)
    found = computed(graph, "inner.held", parameter)
    assert found is not None
    assert found.dtype == value.dtype
    torch.testing.assert_close(found, value, rtol=0, atol=0, equal_nan=True)
    assert not_saved(graph) == {"inner.held"}


def test_many_numbers_without_a_form_are_only_said_to_be_unsaved() -> None:
    value = torch.randn(LARGEST + 1, generator=torch.Generator().manual_seed(0))
    assert recorded(Holds(value)) == {FACT: {"inner.held": {"saved": False}}}


def test_saved_ones_are_recorded_only_where_a_state_dict_cannot_have_them() -> None:
    """On the meta device, by whoever built the module; with values they are in its state dict."""
    assert recorded(Holds(torch.ones(3), saved=True)) == {}
    bare = Holds(torch.empty(3, device="meta"), saved=True)
    assert recorded(bare) == {}
    setattr(bare.inner.held, MADE, torch.ones(3))
    graph = with_fact(recorded(bare))
    assert graph.facts[FACT] == {"inner.held": {"filled": ["all", 1.0]}}
    assert not_saved(graph) == frozenset()


def test_a_saved_triangle_is_recorded_for_it_is_a_mask() -> None:
    said = recorded(Holds(torch.ones(5, 5).tril(), saved=True))
    assert said == {FACT: {"inner.held": {"filled": ["lower", 1.0]}}}


@pytest.mark.parametrize(
    "said",
    [{"filled": 3}, {"filled": ["all", "x"]}, {"counts_from": "a"}, {"values": [1, 2]}, {"values": [[1], 2]}],
)
def test_a_file_that_says_what_cannot_be_is_refused_in_one_line(said: dict[str, object]) -> None:
    parameter = Parameter("held", (3,), "float32", trained=False)
    with pytest.raises(GraphError, match="its fact 'buffers' says nothing that held can hold") as caught:
        computed(with_fact({FACT: {"held": said}}), "held", parameter)
    assert "\n" not in str(caught.value)
