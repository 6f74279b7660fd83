"""What can be wrong with a model or a graph file: one line, exit status 2, and nothing executed."""

import json
import os
import pickle
import zipfile
from pathlib import Path

import pytest

from madstar.cli import graph, trace  # noqa: F401  they register themselves
from madstar.graph.json_format import load, save

from .commands import as_process, contents, invoke, refusal, strict_json, words_in

MODELS = """
import torch
from torch import nn


class Slow(nn.Module):
    def forward(self, x):
        while True:
            try:
                x = x + 1
            except Exception:
                pass


class Large(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.ones(2**35, device="cpu")

    def forward(self, x):
        return x


class Grows(nn.Module):
    def forward(self, x):
        kept = []
        while True:
            kept.append(bytes(2**26))
        return x


class Bottomless(nn.Module):
    def forward(self, x):
        return self.forward(x)


class Fails(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8, 8), nn.Linear(9, 9)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Talks(nn.Module):
    def forward(self, x):
        raise RuntimeError("first\\nsecond \\x1b[31m" + "very long " * 200)


class Unknown(nn.Module):
    def forward(self, x):
        return torch.special.bessel_j0(x) + torch.special.bessel_j0(x + 1)
"""
X = ("--input", "x:float32[batch,8]")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bad") / "models.py"
    path.write_text(MODELS)
    return path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, file: Path) -> Path:
    out = tmp_path_factory.mktemp("graphs") / "unknown.graph.json"
    assert invoke("trace", f"{file}:Unknown", *X, "--out", out).status == 0
    return out


def last_line(result) -> str:
    """What a refused command says, after the line that a file's code is run."""
    assert (result.status, result.stdout) == (2, ""), result
    assert "Traceback" not in result.stderr
    first, last = result.stderr.splitlines()
    assert first.startswith("running the code of ")
    assert last.startswith("madstar: ")
    assert len(last) < 700
    return last


def test_a_forward_that_fails_says_where_what_and_with_which_input(file: Path) -> None:
    said = last_line(invoke("trace", f"{file}:Fails", *X))
    assert words_in(said, ["Fails fails in layers.1: RuntimeError", "(inputs: x [2, 8])"])


def test_a_long_error_of_many_lines_is_shortened(file: Path) -> None:
    said = last_line(invoke("trace", f"{file}:Talks", *X))
    assert words_in(said, ["RuntimeError: first second", "inputs: x [2, 8]"])
    assert "\x1b" not in said
    assert len(said) < 400


def test_recursion_without_end_is_the_models_own_error(file: Path) -> None:
    assert words_in(last_line(invoke("trace", f"{file}:Bottomless", *X)), ["RecursionError", "x [2, 8]"])


def test_time_that_runs_out(file: Path) -> None:
    """Also where the model catches every exception."""
    result = as_process("trace", f"{file}:Slow", *X, "--time-limit", "1")
    assert words_in(last_line(result), [f"{file}:Slow: not done within 1 s", "--time-limit"])


def test_memory_that_runs_out(file: Path) -> None:
    for name, run in (("Large", invoke), ("Grows", as_process)):
        result = run("trace", f"{file}:{name}", *X, "--memory-limit", "0.5")
        assert words_in(last_line(result), [f"{file}:{name}: takes more than 0.5 GiB", "--memory-limit"])


def test_limits_that_are_none(file: Path) -> None:
    for option in ("--time-limit", "--memory-limit"):
        assert words_in(refusal(invoke("trace", f"{file}:Fails", *X, option, "0")), [option, "above 0"])
    assert invoke("trace", f"{file}:Unknown", *X, "--time-limit", "60", "--memory-limit", "64").status == 0


def test_an_unknown_operation_is_kept_counted_and_shown(file: Path, written: Path) -> None:
    document = strict_json(invoke("trace", f"{file}:Unknown", *X, "--json").stdout)
    ((name, count),) = document["opaque"].items()
    assert (count, document["operations"][f"opaque:{name}"]) == (2, 2)
    assert document["nodes"] == 4
    shown = invoke("graph", "show", written, "--nodes").stdout
    assert shown.count(f"opaque:{name}") == 2
    assert "[batch, 8]" in shown
    assert words_in(invoke("trace", f"{file}:Unknown", *X).stdout, [f"unknown     2 nodes: {name}"])


def test_a_package_that_is_not_installed(tmp_path: Path) -> None:
    """In a process of its own, in which transformers cannot be imported."""
    (tmp_path / "transformers.py").write_text("raise ModuleNotFoundError(name='transformers')\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    said = refusal(as_process("trace", "hf:llama", env=environment))
    assert words_in(said, ["transformers", "not installed"])


def test_a_model_that_needs_a_package_that_is_not_installed() -> None:
    from madstar.zoo.packages import missing_package

    error = ImportError(
        "TimmWrapperModel requires the timm library but it was not found in your environment."
    )
    assert missing_package(error) == "timm"
    assert missing_package(ModuleNotFoundError("No module named 'detectron2'", name="detectron2"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model_type": "lama"}, ["no model type 'lama'", "llama"]),
        ({"model_type": "bert", "hidden_size": 63}, ["hidden size (63)", "attention heads"]),
        ({"model_type": "bert", "hidden_size": "many"}, ["hidden_size"]),
        ({"model_type": "bert", "num_hidden_layers": -1, "hidden_size": -8}, ["cannot be built"]),
        ({"model_type": "llama", "hidden_act": "nothing"}, ["nothing"]),
        ({"model_type": ["bert"]}, ["model_type"]),
        ({"hidden_size": 64}, ["model_type"]),
        ([1], ["a list, not an object"]),
        (
            {"model_type": "mine", "auto_map": {"AutoModel": "code.Model"}},
            ["code of its own, which is not run"],
        ),
    ],
)
def test_a_configuration_that_is_wrong(settings: object, words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(settings))
    (tmp_path / "code.py").write_text("open('ran', 'w')")
    before = contents(tmp_path)
    assert words_in(refusal(invoke("trace", f"hf:{path}")), words)
    assert contents(tmp_path) == before


def hostile(path: Path, change) -> Path:
    document = json.loads(path.read_text())
    change(document)
    out = path.with_name("hostile.json")
    out.write_text(json.dumps(document))
    return out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(schema="madstar.graph/2"), ["newer", "update madstar"]),
        (lambda d: d["blocks"][0]["items"].reverse(), ["not known here"]),
        (
            lambda d: d["blocks"][0]["items"].append(
                {
                    "call": d["root"],
                    "name": "again",
                    "paths": ["a"],
                    "in": ["%x"],
                    "out": ["y: float32[batch,8]"],
                }
            ),
            ["contains itself"],
        ),
        (lambda d: d.update(weights=["../../etc/passwd.safetensors"]), ["own folder"]),
        (lambda d: d.update(weights=["model.bin"]), ["own folder", "safetensors"]),
        (lambda d: d["blocks"][0].update(outputs=["%nothing"]), ["%nothing"]),
        (
            lambda d: d["blocks"][0]["items"][0].update(out=["a: float32[" + "9" * 5000 + "]"]),
            ["hostile.json"],
        ),
        (lambda d: d["blocks"][0]["items"][0].update(out=["a: float32[batch**9999999]"]), ["canonical"]),
        (
            lambda d: d["blocks"][0]["items"].append(
                {"call": "none", "paths": [{"path": "a", "times": 10**12}], "name": "c", "in": [], "out": []}
            ),
            ["hostile.json"],
        ),
        (lambda d: d.update(facts={"a": json.loads("[" * 400 + "]" * 400)}), ["facts"]),
        (lambda d: d.update(symbols={"batch": [10**400]}), ["hostile.json"]),
    ],
)
def test_a_hostile_graph_is_refused_in_a_line(written: Path, change, words: list[str]) -> None:
    path = hostile(written, change)
    for command in (("graph", "show", path), ("graph", "diff", path, written)):
        said = refusal(invoke(*command))
        assert words_in(said, words)
        assert len(said) < 600


def test_a_truncated_graph_is_refused_wherever_it_ends(written: Path, tmp_path: Path) -> None:
    data = written.read_bytes()
    path = tmp_path / "cut.json"
    for size in range(0, len(data) - 3, max(1, len(data) // 40)):
        path.write_bytes(data[:size])
        assert words_in(refusal(invoke("graph", "show", path)), ["cut.json"])
    packed = tmp_path / "cut.json.gz"
    save(load(written), packed)
    packed.write_bytes(packed.read_bytes()[:-20])
    assert words_in(refusal(invoke("graph", "show", packed)), ["cut.json.gz", "cut off"])


def test_names_do_not_steer_the_terminal(written: Path) -> None:
    def rename(document: dict) -> None:
        document["name"] = "a\x1b]0;title\x07\nb"
        document["blocks"][0]["kind"] = "K\x1b[2J"

    result = invoke("graph", "show", hostile(written, rename))
    if result.status == 0:
        assert "\x1b" not in result.stdout
        assert "\x07" not in result.stdout
    else:
        assert "\x1b" not in refusal(result)


class _Runs:
    def __reduce__(self):
        return (os.system, ("touch ran",))


@pytest.mark.parametrize("name", ["model.json", "model.json.gz", "model.pt", "model.pkl", "model.bin"])
def test_no_pickle_is_loaded(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    if name == "model.pt":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(_Runs()))
    else:
        path.write_bytes(pickle.dumps(_Runs()))
    for arguments in (("graph", "show", name), ("trace", f"hf:./{name}"), ("graph", "diff", name, name)):
        refusal(invoke(*arguments))
    refusal(invoke("trace", name))
    assert os.listdir(tmp_path) == [name]
