"""What a run keeps for the next: a graph is of a module that has not run before, and leaves it so."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from madstar.errors import GraphError
from madstar.graph.model import Graph
from madstar.graph.restoring import restored
from madstar.graph.trace import trace
from madstar.graph.walk import nodes

INPUTS = (torch.zeros(2, 6),)
CALLS: list[int] = []


@functools.lru_cache
def table(size: int) -> Tensor:
    CALLS.append(size)
    return torch.arange(size) * 2.0


def remembering(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    inner = functools.lru_cache(maxsize=4)(function)

    @functools.wraps(function)
    def outer(*args: object) -> Tensor:
        return inner(*args)

    return outer


class Words:
    """No module, but a part of one."""

    def __init__(self) -> None:
        self.found: OrderedDict[int, Tensor] = OrderedDict()

    def table(self, size: int) -> Tensor:
        if size not in self.found:
            self.found[size] = torch.arange(size) * 2.0
        return self.found[size]

    @functools.cached_property
    def alphabet(self) -> Tensor:
        return torch.arange(6) * 2.0


class Keeps(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.kept, self.held, self.words = how, None, {}, Words()
        self.register_buffer("spare", None)
        self.scale = nn.Parameter(torch.ones(6))

    @remembering
    def remembered(self, size: int) -> Tensor:
        return torch.arange(size) * 2.0

    def made(self, size: int) -> Tensor:
        if self.how == "function":
            return table(size)
        if self.how == "method":
            return self.remembered(size)
        if self.how == "object":
            return self.words.table(size)
        if self.how == "alphabet":
            return self.words.alphabet
        if self.how == "dictionary":
            return self.held.setdefault(size, torch.arange(size) * 2.0) if not self.held else self.held[size]
        if self.how == "buffer":
            if self.spare is None:
                self.register_buffer("spare", torch.arange(size) * 2.0)
            return self.spare
        if self.kept is None:
            self.kept = torch.arange(size) * 2.0
        return self.kept

    def forward(self, x: Tensor) -> Tensor:
        return self.made(x.shape[1]) + x * self.scale


def operations(graph: Graph) -> list[str]:
    return [place.item.op for place in nodes(graph, unfolded=True)]


@pytest.mark.parametrize("how", ["function", "method", "object", "dictionary", "buffer", "attribute"])
def test_what_was_kept_is_computed_in_the_graph(how: str) -> None:
    module = Keeps(how)
    module(*INPUTS)
    graph = trace(module, INPUTS, symbols=("batch",))
    # What the module holds when it is traced is its own; what its functions remember is not.
    first = ["arange"] if how in ("function", "method") else []
    assert [op for op in operations(graph) if op in ("arange", "constant")] == (first or ["constant"])[
        : how != "buffer"
    ]
    again = trace(Keeps(how), INPUTS, symbols=("batch",))
    assert "arange" in operations(again)
    assert not {"constant"} & set(operations(again))


@pytest.mark.parametrize("how", ["object", "dictionary", "buffer", "attribute"])
def test_the_module_is_left_as_it_was(how: str) -> None:
    module = Keeps(how)
    before = {name: dict(value) if isinstance(value, dict) else value for name, value in vars(module).items()}
    trace(module, INPUTS, symbols=("batch",))
    assert vars(module) == before
    with restored(module):
        module(*INPUTS)
        assert module.spare is not None or module.kept is not None or module.held or module.words.found
    assert vars(module) == before
    assert not module.words.found


def test_a_table_that_an_object_keeps_for_good_is_a_constant() -> None:
    module = Keeps("alphabet")
    with restored(module):
        module(*INPUTS)
    assert "constant" in operations(trace(module, INPUTS, symbols=("batch",)))


class Listens(nn.Module):
    """Watches its part by a hook, which it puts there when first run."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.watched, self.seen = nn.Linear(6, 6), False, []

    def forward(self, x: Tensor) -> Tensor:
        if not self.watched:
            self.watched = True
            self.inner.register_forward_hook(lambda part, args, out: self.seen.append(out))
        self.seen.clear()
        self.inner(x)
        (seen,) = self.seen
        return seen + 1


def test_hooks_that_a_run_puts_in_are_gone_with_what_says_so() -> None:
    module = Listens()
    for _ in range(2):
        assert "linear" in operations(trace(module, INPUTS, symbols=("batch",)))
    assert not module.inner._forward_hooks
    assert not module.watched


def test_a_module_that_exchanges_its_parts_stays_exchanged() -> None:
    class Switches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.kind = nn.Identity(), "first"

        def forward(self, x: Tensor) -> Tensor:
            if self.kind == "first":
                self.inner, self.kind = nn.Tanh(), "second"
            return self.inner(x)

    module = Switches()
    with restored(module):
        module(*INPUTS)
    assert (type(module.inner), module.kind) == (nn.Tanh, "second")


def test_it_is_left_so_where_forward_fails() -> None:
    module = Keeps("attribute")
    with pytest.raises(GraphError, match="size of tensor"):
        trace(module, (torch.zeros(2, 7),), symbols=())
    assert module.kept is None


def test_functions_of_other_files_remember_on() -> None:
    other = functools.lru_cache(lambda: object())
    other.__module__ = "json"
    kept = other()
    with restored(Keeps("function")):
        pass
    assert other() is kept
