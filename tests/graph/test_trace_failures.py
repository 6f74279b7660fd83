"""What fails, what is guessed, what is dropped: said, and never silent."""

import pytest
import torch
from torch import nn

from madstar.errors import GraphError
from madstar.graph.recorder import Recorder
from madstar.graph.recording import ForwardError
from madstar.graph.trace import trace

from .interpreter import check, floats, module_of, nodes


def test_a_symbol_that_cannot_vary_is_dropped():
    def strict(self, x):
        if x.shape[1] != 16:
            raise ValueError("sixteen only")
        return x + 1

    graph = trace(module_of(strict), floats)
    assert set(graph.symbols) == {"batch"}
    (said,) = graph.facts["symbols_dropped"].values()
    assert set(graph.facts["symbols_dropped"]) == {"length"}
    assert "ValueError: sixteen only (inputs: x [3, 20, 8])" in said
    assert graph.main.inputs[0].shape == ("batch", 16, 8)


def test_sizes_in_chunks_are_tried_before_a_symbol_is_dropped():
    chunks = module_of(lambda self, x: self.lin(x.reshape(-1, 16 * 8)), lin=nn.Linear(128, 4))
    graph = trace(chunks, floats)
    assert graph.symbols == {"batch": (2, 3, 5), "length": (16, 32, 48)}
    assert "symbols_dropped" not in graph.facts


def test_inputs_that_cannot_be_made_at_another_size_drop_it_too():
    def make(batch, length):
        if length != 16:
            raise ValueError("no such audio")
        return floats(batch, length)

    graph = trace(nn.Linear(8, 8), make)
    assert set(graph.symbols) == {"batch"}
    assert "no such audio" in graph.facts["symbols_dropped"]["length"]


def test_a_failure_of_the_tracer_at_another_size_is_no_dropped_symbol(monkeypatch):
    """Wherever it happens, and even if the model catches it."""

    def only_sixteen(name):
        plain = getattr(Recorder, name)

        def broken(self, *args, **kwargs):
            if self.recording.values[0].shape[1:2] != (16,):
                raise KeyError("a fault of ours")
            return plain(self, *args, **kwargs)

        monkeypatch.setattr(Recorder, name, broken)

    def catching(self, x):
        try:
            return self.inner(x)
        except KeyError:
            return x + 1

    for name in ("_mark", "_finish", "enter", "leave"):
        with monkeypatch.context() as patch:
            monkeypatch, kept = patch, monkeypatch
            only_sixteen(name)
            for forward in (lambda self, x: self.inner(x), catching):
                written = module_of(lambda self, x: (x + 1).mul_(2) + 1)
                with pytest.raises(GraphError, match=r"the tracer itself fails.*a fault of ours") as raised:
                    trace(module_of(forward, inner=written), floats)
                assert not isinstance(raised.value, ForwardError)
            monkeypatch = kept


def test_an_error_that_the_model_catches_is_its_own_affair():
    class Trying(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(8, 8), nn.Linear(9, 9))
            self.other = nn.Sequential(nn.Linear(8, 8), nn.ReLU())

        def forward(self, x):
            try:
                x = self.inner(x)
            except RuntimeError:
                x = self.other(x)
            return x * 2

    graph = check(Trying(), floats)
    assert [node.path for node in nodes(graph) if node.op == "mul"] == [""]
    assert "mul" in {item.name for item in graph.main.items}


def test_what_control_flow_asks_is_guessed_on_meta_only():
    class Asking(nn.Module):
        class Inner(nn.Module):
            def forward(self, x):
                if (x > 0).any():
                    x = x + 1
                return x[x > 0].sum() * x.max().item()

        def __init__(self):
            super().__init__()
            self.inner = self.Inner()

        def forward(self, x):
            return self.inner(x)

    graph = trace(Asking(), lambda batch, length: (torch.empty(batch, length, 8, device="meta"),))
    assert [(guess.op, guess.taken) for guess in graph.guesses] == [
        ("local_scalar_dense", "False"),
        ("index", "16 places"),
        ("local_scalar_dense", "1.0"),
    ]
    assert {guess.path for guess in graph.guesses} == {"inner"}
    real = trace(Asking(), floats, symbols=())
    assert not real.guesses
    with pytest.raises(GraphError, match="inner"):
        trace(Asking(), (torch.empty(2, 4, 8, device="meta"),), guess=False)


def test_a_forward_that_fails_names_its_block():
    broken = module_of(lambda self, x: self.inner(x), inner=nn.Sequential(nn.Linear(8, 8), nn.Linear(9, 9)))
    with pytest.raises(GraphError, match=r"inner\.1.*\[2, 16, 8\]"):
        trace(broken, floats)


def test_hooks_and_modes_are_gone_afterwards():
    call = nn.Module.__call__
    with pytest.raises(GraphError):
        trace(nn.Linear(3, 3), floats)
    assert nn.Module.__call__ is call
    module = nn.Linear(8, 8).train()
    trace(module, floats)
    assert module.training


def test_an_unknown_operation_is_kept_opaque():
    graph = trace(module_of(lambda self, x: torch.special.bessel_j0(x)), floats)
    node = nodes(graph)[0]
    assert node.op.startswith("opaque:")
    assert node.outputs[0].shape == ("batch", "length", 8)
    assert sum(graph.facts["opaque"].values()) == 1
