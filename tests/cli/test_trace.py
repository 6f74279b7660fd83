"""`madstar trace` and `madstar graph`: from an address to a graph, a tree, a drawing, a difference."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import madstar.graph.trace  # the file has the name of the function
from madstar.cli import graph, trace  # noqa: F401  it registers itself
from madstar.graph.declared import Declared, example_inputs
from madstar.graph.json_format import load

from .commands import as_process, invoke, refusal, strict_json, words_in

MODEL = """
import torch
from torch import nn

print("noise")


class MyNet(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.embed = nn.Embedding(100, width)
        self.blocks = nn.ModuleList(self.block(width) for _ in range(4))
        self.head = nn.Linear(width, 100)
        self.unused = nn.Linear(3, 3)

    def block(self, width):
        return nn.Sequential(nn.Linear(width, 32), nn.GELU(), nn.Linear(32, width))

    def forward(self, tokens, scale=None):
        x = self.embed(tokens)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


def wide():
    return MyNet(24)


class ReadsValues(MyNet):
    def __init__(self):
        super().__init__()
        self.rates = torch.linspace(0, 1, 4).tolist()


class Fails(MyNet):
    def forward(self, tokens):
        return self.head(self.unused(self.embed(tokens)))


class Wants(nn.Module):
    def __init__(self, width):
        super().__init__()


class Leaves(nn.Module):
    def __init__(self):
        raise SystemExit(3)


number = 7
"""
TOKENS = ("--input", "tokens:int64[batch,length]")
LLAMA = (
    "hf:llama?num_hidden_layers=4&hidden_size=64&intermediate_size=96&vocab_size=100"
    "&num_attention_heads=4&num_key_value_heads=2"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "my_model.py"
    path.write_text(MODEL)
    return path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    out = tmp_path_factory.mktemp("written") / "net.graph.json"
    assert invoke("trace", f"{model}:MyNet", *TOKENS, "--out", out).status == 0
    return out


def test_a_class_of_ones_own_as_one_document(model: Path) -> None:
    result = invoke("trace", f"{model}:MyNet", *TOKENS, "--json")
    assert result.status == 0, result.stderr
    document = strict_json(result.stdout)  # what the file prints is not in it
    assert f"running the code of {model}" in result.stderr
    assert document["nodes"] == 1 + 4 * 4 + 1
    assert document["folded_nodes"] < 10
    assert document["operations"] == {"linear": 9, "gelu": 4, "add": 4, "embedding": 1}
    assert document["parameters"] == 1600 + 4 * (16 * 32 + 32 + 32 * 16 + 16) + 1700 + 12
    assert (document["parameter_tensors"], document["parameter_tensors_touched"]) == (21, 19)
    assert document["share_touched"] == 19 / 21
    assert document["symbols"].keys() == {"batch", "length"}
    assert document["guesses"] == []
    assert document["seconds"] > 0
    assert document["peak_memory"] > 2**20


def test_a_genome_in_a_terminal_of_80_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "width", lambda: 80)
    out = tmp_path / "g.graph.json.gz"
    result = invoke("trace", "genome:21211-31112?width=32&vocabulary_size=50", "--out", out)
    assert (result.status, result.stderr) == (0, "")
    assert words_in(result.stdout, ["unfolded", "all of them touched", "guesses     none", "layers.1  Layer"])
    assert max(map(len, result.stdout.splitlines()[:-2])) <= 80
    assert load(out).facts["source"] == "genome:21211-31112?width=32&vocabulary_size=50"


def test_a_recurrence_whose_autocast_knows_no_device_of_shapes_alone() -> None:
    result = invoke("trace", "genome:20.1.1.1.1-91111?width=32&vocabulary_size=50", "--json")
    assert (result.status, result.stderr) == (0, "")
    assert strict_json(result.stdout)["symbols"].keys() == {"batch", "length"}


def test_a_type_of_transformers_with_settings() -> None:
    result = as_process("trace", LLAMA, "--shrunk", "--json")
    assert (result.status, result.stderr) == (0, "")
    document = strict_json(result.stdout)
    assert document["source"] == LLAMA
    assert document["operations"]["scaled_dot_product_attention"] == 2
    assert document["share_touched"] == 1
    assert "llama.num_hidden_layers 4 to 2" in document["changes"]


def test_what_is_long_is_cut_and_says_how_to_see_it(tmp_path: Path) -> None:
    path = tmp_path / "long.py"
    path.write_text(
        "from torch import nn\nfrom torch.nn.functional import pad\nclass Long(nn.Module):\n"
        " def __init__(self):\n"
        "  super().__init__(); self.grow = nn.ModuleList(nn.Linear(8 + i, 9 + i) for i in range(40))\n"
        " def forward(self, x):\n"
        "  for i in range(60): x = pad(x, (0, 1))\n"  # shapes of its own in every turn: no loop
        "  x = x[:, :8]\n"
        "  for layer in self.grow: x = layer(x)\n"
        "  return x\n"
    )
    command = (f"{path}:Long", "--input", "x:float32[batch,8]")
    cut = invoke("trace", *command).stdout
    assert words_in(cut, ["18 lines more", f"madstar graph show {path}:Long '--input=x:float32[batch,8]'"])
    whole = invoke("graph", "show", *command, "--nodes").stdout
    assert whole.count(" pad ") == 60
    together = invoke("graph", "show", *command).stdout
    assert words_in(together, ["61 nodes  pad x60, getitem", "[batch, 8]"])


def test_a_function_that_builds_and_a_constructor_that_reads_values(model: Path) -> None:
    wide = invoke("trace", f"{model}:wide", *TOKENS, "--json")
    assert strict_json(wide.stdout)["parameters"] > 10_000
    assert invoke("trace", f"{model}:ReadsValues", *TOKENS).status == 0


def test_showing_a_file(written: Path, tmp_path: Path) -> None:
    svg, dot = tmp_path / "net.svg", tmp_path / "net.dot"
    result = as_process("graph", "show", written, "--depth", "3", "--svg", svg, "--dot", dot)
    assert (result.status, result.stderr) == (0, "")
    assert words_in(result.stdout, ["blocks.{0..3}", "x4", "gelu", "[batch, length, 100]"])
    assert svg.read_text().startswith("<svg")
    assert dot.read_text().startswith("digraph")
    flat = invoke("graph", "show", written, "--depth", "0").stdout
    assert "gelu" not in flat
    document = strict_json(invoke("graph", "show", written, "--json").stdout)
    assert document["tree"][0]["depth"] == 0
    assert document["nodes"] == 18


def test_showing_a_file_needs_no_torch(written: Path) -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        f"sys.argv = ['madstar', 'graph', 'show', {str(written)!r}, '--depth', '3']\n"
        "from madstar.cli.app import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "gelu" in done.stdout


def test_a_difference(written: Path, model: Path) -> None:
    same = invoke("graph", "diff", written, f"{model}:MyNet", *TOKENS)
    assert (same.status, same.stdout) == (0, "no difference\n")
    other = invoke("graph", "diff", written, f"{model}:wide", *TOKENS, "--json")
    assert {change["sort"] for change in strict_json(other.stdout)["changes"]} == {"changed"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["hf:lama"], ["hf:lama", "llama"]),
        (["hf:llama?hiden_size=3"], ["hiden_size", "hidden_size"]),
        (["hf:./none/config.json"], ["none/config.json", "no such file"]),
        (["timm:resnet19"], ["resnet19", "resnet18"]),
        (["llama"], ["'llama'", "hf:llama"]),
        (["gnome:21211"], ["gnome", "genome"]),
        (["genome:21211-3111"], ["3111"]),
        (["genome:21211?wide=3"], ["wide=3", "width"]),
        (["genome:21211", "--shrunk"], ["--shrunk"]),
        (["genome:21211", *TOKENS], ["--input"]),
        (["none.py:MyNet", *TOKENS], ["none.py"]),
        (["net.graph.json"], ["madstar graph show net.graph.json"]),
    ],
)
def test_addresses_of_nothing(arguments: list[str], words: list[str]) -> None:
    assert words_in(refusal(invoke("trace", *arguments)), words)


@pytest.mark.parametrize(
    ("name", "inputs", "words"),
    [
        ("MyNot", ["tokens:int64[batch,length]"], ["MyNot", "did you mean MyNet?"]),
        ("MyNet", [], ["takes tokens", '--input "tokens:int64[batch,length]"']),
        ("MyNet", ["token:int64[batch,length]"], ["token", "did you mean tokens?"]),
        ("MyNet", ["scale:float32[1]"], ["also takes tokens"]),
        ("MyNet", ["tokens:int65[batch]"], ["int65", "int64"]),
        ("MyNet", ["tokens int64"], ["NAME:DTYPE[SIZES]"]),
        ("MyNet", ["tokens:int64[batch,__import__('os')]"], ["tokens"]),
        ("MyNet", ["tokens:int64[batch,0]"], ["below 1"]),
        ("MyNet", ["tokens:int64[batch]", "tokens:int64[batch]"], ["twice"]),
        (
            "Fails",
            ["tokens:int64[batch,length]"],
            ["Fails fails in unused: RuntimeError", "tokens [2, 16]"],
        ),
        ("Wants", [], ["width", "function without arguments"]),
        ("Leaves", [], ["SystemExit"]),
        ("number", [], ["a int"]),
    ],
)
def test_a_file_that_cannot_be_traced(model: Path, name: str, inputs: list[str], words: list[str]) -> None:
    declared = [part for each in inputs for part in ("--input", each)]
    result = invoke("trace", f"{model}:{name}", *declared)
    assert (result.status, result.stdout) == (2, "")
    *before, last = result.stderr.splitlines()
    assert not any(line.startswith("madstar:") for line in before)
    assert words_in(last, ["madstar: ", *words])


def test_files_that_are_no_graphs(written: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    text = written.read_text()
    for content, words in (
        (text[: len(text) // 2], ["broken.json", "cut off"]),
        (text.replace("madstar.graph/1", "madstar.graph/9"), ["broken.json", "madstar.graph/9"]),
        ("[" * 100_000, ["nested too deeply"]),
        (json.dumps({"model_type": "llama"}), ["broken.json"]),
    ):
        broken.write_text(content)
        assert words_in(refusal(invoke("graph", "show", broken)), words)
    assert words_in(refusal(invoke("graph", "show", tmp_path / "none.json")), ["none.json"])
    assert words_in(refusal(invoke("graph", "show", tmp_path)), ["is no graph"])
    assert words_in(refusal(invoke("graph", "show", written, "--shrunk")), ["--shrunk"])
    assert words_in(refusal(invoke("graph", "show", written, "--depth", "-1")), ["depth"])
    assert words_in(refusal(invoke("graph", "diff", written, "none.json")), ["none.json"])
    nowhere = tmp_path / "none" / "a.dot"
    assert words_in(refusal(invoke("graph", "show", written, "--dot", nowhere)), ["cannot write"])


def test_trace_is_a_name_of_the_package_and_of_its_room() -> None:
    traced = madstar.trace(nn.Linear(4, 8), torch.zeros(2, 4))
    assert [getattr(item, "op", "") for item in traced.main.items] == ["linear"]
    assert madstar.graph.trace is madstar.trace
    assert madstar.graph.Graph is type(traced)
    with pytest.raises(AttributeError, match="nothing"):
        getattr(madstar.graph, "nothing")  # noqa: B009  it is not there


def test_the_package_is_imported_without_torch() -> None:
    program = "import sys, madstar, madstar.graph; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], env=dict(os.environ), timeout=60)
    assert done.returncode == 0


class _Masks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("here", torch.zeros(1))  # on the CPU, so that inputs have values

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return x.masked_fill(~mask, 0)


def test_declared_inputs_are_made_at_sizes() -> None:
    declared = [Declared.parse(text) for text in (" x : float16[batch, 2*length + 1]", "mask:bool[]")]
    assert declared[0].shape == ("batch", "2*length+1")
    make, symbols = example_inputs(declared, _Masks())
    assert symbols == ("batch", "length")
    made = make(batch=3, length=5)
    assert (made["x"].shape, made["x"].dtype) == ((3, 11), torch.float16)
    assert (made["mask"].shape, bool(made["mask"])) == ((), True)


def test_weights_are_named_beside_the_graph(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from madstar.genome import Genome, Sizes

    address, out = "genome:71111-21211?width=32&heads=2", tmp_path / "model.graph.json"
    model = Genome.parse("71111-21211").build(Sizes(width=32, heads=2), 0)
    save_file({name: value.clone() for name, value in model.state_dict().items()}, tmp_path / "a.safetensors")
    file = f"--weights={tmp_path / 'a.safetensors'}"
    document = strict_json(invoke("trace", address, file, f"--out={out}", "--json").stdout)
    assert document["weights"] == ["a.safetensors"]
    assert load(out).weights == ("a.safetensors",)
    assert words_in(refusal(invoke("trace", address, file)), ["--weights", "give --out too"])
    other = invoke("trace", "genome:71111-21211", file, f"--out={tmp_path / 'other.graph.json'}")
    assert words_in(refusal(other), ["in the files and", "give those of this model"])
    assert not (tmp_path / "other.graph.json").exists()
