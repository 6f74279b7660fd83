"""Python files written from graphs: they compute the same, and no foreign text becomes code."""

import ast
import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from madstar.errors import GraphError
from madstar.graph.exchange.source import to_source
from madstar.graph.execution import build, drawn_inputs
from madstar.graph.folding import fold
from madstar.graph.model import Argument, Call, Definition, Graph, Node, Parameter, Value
from madstar.graph.trace import trace

from ..graphs import alternating, bert, counting, llama, unrolled

HOSTILE = '"); import os; os.system("echo harmed > harmed"); ("'


def loaded(text: str, folder: Path) -> nn.Module:
    """The whole's class, made."""
    file = folder / "written.py"
    file.write_text(text)
    spec = importlib.util.spec_from_file_location("written", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    last = [node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef)][-1]
    made: nn.Module = getattr(module, last)()
    return made.eval()


def tensors(made: Any) -> list[Tensor]:
    if isinstance(made, Tensor):
        return [made]
    return [t for part in (made.values() if isinstance(made, dict) else made) for t in tensors(part)]


def agree(graph: Graph, folder: Path, *sizes: dict[str, int]) -> nn.Module:
    """The file's module, which gives what the built one gives with its weights."""
    built = build(graph)
    module = loaded(to_source(graph), folder)
    assert set(module.state_dict()) == set(built.state_dict())
    module.load_state_dict(built.state_dict())
    for at in sizes or ({},):
        inputs = drawn_inputs(graph, at)
        with torch.no_grad():
            theirs, mine = tensors(built(**inputs)), tensors(module(*inputs.values()))
        for a, b in zip(mine, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    return module


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(16, eps=1e-6)
        self.qkv = nn.Linear(16, 48, bias=False)
        self.out = nn.Linear(16, 16)
        self.gain = nn.Parameter(torch.ones(16))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        batch, length, width = x.shape
        parts = self.qkv(self.norm(x)).view(batch, length, 3, 4, width // 4).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        scores = (query @ key.transpose(-1, -2)) * 0.5
        scores = scores.masked_fill(mask == 0, -1e9)
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(batch, length, width)
        return x + self.out(mixed) * self.gain


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.layers = nn.ModuleList(Block() for _ in range(3))
        self.conv = nn.Conv1d(16, 16, 3, padding=1)
        self.head = nn.Linear(16, 50, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("scale", torch.full((1,), 0.5), persistent=False)

    def forward(self, tokens: Tensor) -> dict[str, Any]:
        x = self.embed(tokens)
        length = tokens.shape[1]
        positions = torch.arange(length, device=tokens.device)
        mask = (positions[None, :] <= positions[:, None]).to(torch.int64)
        x = x + positions.float()[:, None] / (2 * length + 1)
        states = []
        for layer in self.layers:
            x = layer(x, mask)
            states.append(x)
        y = F.gelu(self.conv(x.transpose(1, 2)), approximate="tanh").transpose(1, 2)
        written = y.clone()
        written[:, 0, 1:3] = 1.0
        return {
            "logits": self.head(written * self.scale),
            "states": tuple(states),
            "top": y.topk(2, dim=-1).values,
        }


@pytest.fixture(scope="module")
def traced() -> Graph:
    return trace(Model(), lambda batch, length: {"tokens": torch.zeros(batch, length, dtype=torch.long)})


def test_a_model(traced: Graph, tmp_path: Path) -> None:
    module = agree(traced, tmp_path, {}, {"batch": 3, "length": 7})
    assert module.head.weight is module.embed.weight  # type: ignore[union-attr]
    text = to_source(traced)
    for line in (
        "self.qkv = nn.Linear(16, 48, bias=False)",
        "self.norm = nn.LayerNorm(16, eps=1e-06)",
        "self.layers = nn.ModuleList([Block() for _ in range(3)])",
        "self.conv = nn.Conv1d(16, 16, 3, padding=1)",
        "self.head.weight = self.embed.weight",
        'register_buffer("scale", torch.full((1,), 0.5, dtype=torch.float32), persistent=False)',
    ):
        assert line in text, text


def test_gradients_and_training(traced: Graph, tmp_path: Path) -> None:
    module = loaded(to_source(traced), tmp_path).train()
    made = module(torch.zeros(2, 5, dtype=torch.long))
    made["logits"].sum().backward()
    assert all(p.grad is not None for p in module.parameters())


@pytest.mark.parametrize(
    "graph", [llama(), fold(llama()), bert(), alternating(), unrolled(), counting()], ids=lambda g: g.name
)
def test_graphs_made_by_hand(graph: Graph, tmp_path: Path) -> None:
    try:
        build(graph)
        theirs = build(graph)(**drawn_inputs(graph))
    except GraphError:
        to_source(graph)  # nothing is known of its buffers
        return
    assert theirs is not None
    agree(graph, tmp_path)


def test_folded_pairs_are_functions_over_modules(tmp_path: Path) -> None:
    graph = fold(alternating(pairs=4))
    text = to_source(graph)
    assert "def " in text
    agree(graph, tmp_path)


def test_alone_in_a_process(traced: Graph, tmp_path: Path) -> None:
    """Torch is all that the file needs."""
    (tmp_path / "model.py").write_text(to_source(traced))
    code = (
        "import sys, torch, model\n"
        "made = model.Model()(torch.zeros(2, 9, dtype=torch.long))\n"
        "assert made['logits'].shape == (2, 9, 50)\n"
        "assert not any(name.startswith('madstar') for name in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_initialisation(tmp_path: Path) -> None:
    parameters = (
        Parameter("a.weight", (400, 300), "float32", initialisation="normal(0.5, 0.02)"),
        Parameter("b", (7,), "float32", initialisation="constant(3)"),
        Parameter("c", (300, 100), "bfloat16", initialisation="torch.nn.Linear.weight"),
        Parameter("d", (4,), "float32", initialisation="zeros"),
    )
    x = Value("x", ("batch", 300), "float32")
    node = Node(
        "y",
        "linear",
        (Argument("input", "%x"), Argument("weight", "@a.weight")),
        (Value("y", ("batch", 400), "float32"),),
        path="a",
    )
    block = Definition("M", "M", (x,), parameters, (node,), ("%y", "@b", "@c", "@d"))
    graph = Graph("m", "M", {"M": block}, ("x",), ("y", "b", "c", "d"), {"batch": (2, 3)})
    torch.manual_seed(0)
    module = loaded(to_source(graph), tmp_path)
    state = module.state_dict()
    assert abs(float(state["a.weight"].mean()) - 0.5) < 0.01
    assert abs(float(state["a.weight"].std()) - 0.02) < 0.002
    assert bool((state["b"] == 3).all())
    assert bool((state["d"] == 0).all())
    assert state["c"].dtype is torch.bfloat16
    assert 0.05 < float(state["c"].float().abs().max()) <= 0.101


def hostile_graph() -> Graph:
    """Foreign text wherever a graph has text."""
    name = HOSTILE.replace(" ", "_")
    x = Value(name, ("batch", 4), "float32")
    weight = Parameter(f"a b.{HOSTILE}.weight\n'''\"\"\"", (4, 4), "float32", initialisation=HOSTILE)
    other = Parameter("forward.__class__", (4, 4), "float32")
    odd = Parameter("type.zero_grad.lambda", (4,), "float32", trained=False, initialisation="ones")
    inner = Definition(
        f"Inner{name}",
        HOSTILE + "\n",
        (x,),
        (weight, other, odd),
        (
            Node(
                "n1",
                "matmul",
                (Argument("input", f"%{name}"), Argument("other", f"@{weight.path}")),
                (Value("for", ("batch", 4), "float32"),),
            ),
            Node(
                "n2",
                "matmul",
                (Argument("input", "%for"), Argument("other", f"@{other.path}")),
                (Value("torch", ("batch", 4), "float32"),),
            ),
            Node(
                "n3",
                "add",
                (Argument("input", "%torch"), Argument("other", f"@{odd.path}")),
                (Value("self", ("batch", 4), "float32"),),
            ),
        ),
        ("%self",),
        module=HOSTILE,
    )
    call = Call(name, inner.name, ("__init__.x y",), (f"%{name}",), (Value("out", ("batch", 4), "float32"),))
    whole = Definition("Whole", "class", (x,), (), (call,), ("%out",))
    definitions = {"Whole": whole, inner.name: inner}
    return Graph(
        HOSTILE + '"""\nimport os', "Whole", definitions, (HOSTILE,), (HOSTILE + "\n",), {"batch": (2, 3)}
    )


def test_hostile_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    graph = hostile_graph()
    text = to_source(graph)
    tree = ast.parse(text)
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    assert imported <= {"torch", "Tensor", "nn", "functional", "math"}
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & {"eval", "exec", "__import__", "open", "os"}
    module = loaded(text, tmp_path)
    built = build(graph)
    assert set(module.state_dict()) == set(built.state_dict())
    module.load_state_dict(built.state_dict())
    given = torch.randn(2, 4)
    (ours,), (theirs,) = tensors(module(given)), built.computed([given], built.plans([given]))
    torch.testing.assert_close(ours, theirs)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("op", ["opaque:f", "opaque:__import__", "system", "opaque:from_file"])
def test_what_nothing_computes(op: str) -> None:
    node = Node("y", op, (Argument("input", "%x"),), (Value("y", (4,), "float32"),))
    block = Definition("M", "M", (Value("x", (4,), "float32"),), (), (node,), ("%y",))
    with pytest.raises(GraphError, match="M:y"):
        to_source(Graph("m", "M", {"M": block}, ("x",), ("y",)))


def test_sizes_that_only_stand_in_expressions(tmp_path: Path) -> None:
    x = Value("x", ("2*length+1", 3), "float32")
    node = Node(
        "y",
        "view",
        (Argument("input", "%x"),),
        (Value("y", (3, "2*length+1"), "float32"),),
        (("size", (3, "2*length+1")),),
    )
    other = Node(
        "z",
        "expand",
        (Argument("input", "%y"),),
        (Value("z", ("length", 3, "2*length+1"), "float32"),),
        (("size", ("length", -1, -1)),),
    )
    block = Definition("M", "M", (x,), (), (node, other), ("%z",))
    graph = Graph("m", "M", {"M": block}, ("x",), ("z",), {"length": (4, 6)})
    agree(graph, tmp_path, {}, {"length": 9})


def test_settings_and_loops(tmp_path: Path) -> None:
    graph = fold(counting(steps=8))
    assert "range(" in to_source(graph) or "zip(" in to_source(graph)
    agree(replace(graph, facts={}), tmp_path)
