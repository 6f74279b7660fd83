"""`madstar benchmark`, `train` and `compare`: tiny trainings as processes, the rest on rows by hand."""

import dataclasses
import inspect
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import madstar
from madstar.archive import Archive, EvaluationRow
from madstar.cli import benchmark, compare, train  # noqa: F401  they register themselves
from madstar.cli.benchmark import gathered, joined
from madstar.errors import ConfigurationError
from madstar.protocol.budgets import BUDGETS, QUICK
from madstar.tasks.mechanistic import find_task, write_layout

from ..report.benchmark_runs import plan, write
from .commands import ENVIRONMENT, as_process, invoke, refusal, strict_json, words_in

LAYERS = """
import time, torch
from torch import nn

class Base(nn.Module):
    def __init__(self, dim, max_length):
        super().__init__()
        self.map = nn.Linear(dim, dim)
    def forward(self, x):
        return self.map(x)

class Fragile(Base):
    def forward(self, x):
        if x.shape[1] > 8:
            raise RuntimeError("no more than 8 tokens")
        return self.map(x)

class Hanging(Base):
    def forward(self, x):
        if self.training:
            time.sleep(600)
        return self.map(x)

class Narrow(Base):
    def forward(self, x):
        return self.map(x)[..., :1]

class NotANumber(Base):
    def forward(self, x):
        return self.map(x) / torch.zeros(1)

class Oracle(Base):
    def forward(self, x):
        return self.map(x).flip(1)

class Short(nn.Module):
    def __init__(self, dim):
        super().__init__()

def make_model_fn(task, vocab_size, max_length):
    return nn.Sequential(nn.Embedding(vocab_size, 4), nn.Linear(4, vocab_size))
"""
SETTINGS = """
task = "in-context-recall"
[baseline]
vocabulary_size = 8
length = 8
train_examples = 64
test_examples = 64
validation_examples = 64
[changes]
length = [16]
"""
TINY = ("--dim", "8", "--workers", "0")
ONE = ("--vocabulary-size", "8", "--length", "8", "--train-examples", "64")
SMALL = (*ONE, "--set", "test_examples=32", "--set", "validation_examples=32")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("benchmarked")
    (place / "own.py").write_text(LAYERS)
    (place / "s.toml").write_text(SETTINGS)
    return place


def rows_of(home: Path, run: str | int = "latest") -> tuple[EvaluationRow, ...]:
    with Archive.open(home / "archive.sqlite", create=False) as archive:
        return archive.evaluations(archive.run(run).id)


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place with the user's files as the working directory, and a quick budget that is very quick."""
    monkeypatch.chdir(place)
    short = dataclasses.replace(QUICK, steps=32, warmup=4, evaluations=4, looked=32)
    monkeypatch.setitem(BUDGETS, "quick", short)
    return place


def test_a_setting_that_crashes_is_told_and_the_rest_goes_on(here: Path) -> None:
    asked = (
        "benchmark",
        "--layers",
        "own.py:Fragile",
        "mlp",
        "--settings",
        "s.toml",
        *TINY,
        "--home",
        "home",
    )
    result = invoke(*asked, "--json")
    assert result.status == 0, result.stderr
    document = strict_json(result.stdout)
    good, bad = document["tasks"][0]["settings"]
    assert good["score"] > 0
    assert good["failure"] is None
    assert bad["score"] is None
    assert "no more than 8 tokens" in bad["failure"]
    last = result.stderr.splitlines()[-1]
    assert words_in(last, ["failed: in-context-recall length=16", "no more than 8 tokens"])
    assert "Traceback" not in result.stderr
    assert (here / document["report"]).read_text(encoding="utf-8").startswith("<!doctype html>")

    rows = rows_of(here / "home")
    table = invoke(*asked)
    assert rows_of(here / "home") == rows, "something was trained twice"
    assert table.status == 0
    words = [
        "own.py:Fragile mlp",
        "in-context-recall",
        "failed",
        f"madstar compare {document['run']} --home home",
    ]
    assert words_in(table.stdout, words)
    assert table.stderr.splitlines()[-1] == last


def test_an_interrupted_training_goes_on(place: Path) -> None:
    asked = ["train", "--task", "in-context-recall", "--layers", "own.py:Base", "mlp", *SMALL, "--dim", "8"]
    asked += ["--steps", "60", "--seeds", "4", "--workers", "0", "--home", "interrupted"]
    process = subprocess.Popen(
        [sys.executable, "-m", "madstar", *asked],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=place,
        env=ENVIRONMENT,
        start_new_session=True,
    )
    assert process.stderr is not None
    first = next((line for line in process.stderr if " 60 steps " in line), None)
    assert first is not None, "it ended before its first training"
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, "")
    assert "Traceback" not in stderr
    last = stderr.splitlines()[-1]
    assert words_in(last, ["every training that ended is kept", f"Go on with: madstar {shlex.join(asked)}"])
    home = place / "interrupted"
    before = rows_of(home)
    assert 0 < len(before) < 4
    with Archive.open(home / "archive.sqlite", create=False) as archive:
        assert archive.run("latest").status == "interrupted"

    result = as_process(*asked, "--json", cwd=place)
    assert result.status == 0, result.stderr
    rows = rows_of(home)
    assert rows[: len(before)] == before
    assert [row.seed for row in rows] == list(range(4))
    assert {row.status for row in rows} == {"ok"}
    assert strict_json(result.stdout)["complete"] is True


def test_one_training_shows_its_curve(here: Path) -> None:
    asked = ("train", "--task", "memorization", "--layers", "mlp", "--length", "8", "--vocabulary-size", "16")
    asked = (*asked, "--steps", "20", "--batch", "8", *TINY, "--home", "once")
    result = invoke(*asked)
    assert result.status == 0, result.stderr
    assert words_in(
        result.stdout, ["vocabulary_size 16", "Accuracy on validation", "At the end", "batch macro"]
    )
    assert re.search(r"^ +20 +0\.\d{3} +[█·|]{32} *$", result.stdout, re.MULTILINE)
    two = invoke(*asked, "--seeds", "2")
    assert words_in(two.stdout, ["seed 0", "seed 1", "Seed 1"])
    document = strict_json(invoke(*asked, "--seeds", "2", "--json").stdout)
    assert len(rows_of(here / "once")) == 2
    assert [each["seed"] for each in document["trainings"]] == [0, 1]
    assert document["trainings"][0]["curve"][-1][0] == 20


def test_a_layer_that_hangs_is_ended(here: Path) -> None:
    asked = ("train", "--task", "in-context-recall", "--layers", "own.py:Hanging", *SMALL, "--dim", "8")
    result = invoke(*asked, "--workers", "1", "--time-limit", "1", "--home", "hung", "--json")
    assert result.status == 0, result.stderr
    assert words_in(result.stderr.splitlines()[-1], ["failed: in-context-recall", "timeout"])
    document = strict_json(result.stdout)
    assert document["score"] is None
    assert document["trainings"][0]["status"] == "timeout"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--layers", "mh-atention", "swiglu"), ["mh-atention", "did you mean mh-attention"]),
        (("--layers", "mlp", "--tasks", "memorisation"), ["memorisation", "did you mean memorization"]),
        (("--layers", "own.py:Narrow"), ["own.py:Narrow", "shape", "(2, 8, 1)", "(2, 8, 8)"]),
        (("--layers", "own.py:NotANumber"), ["own.py:NotANumber", "nan", "position 0"]),
        (("--layers", "own.py:Oracle"), ["own.py:Oracle", "position 4", "looks into the future"]),
        (("--layers", "own.py:Short"), ["own.py:Short", "takes no max_length"]),
        (("--layers", "own.py:Missing"), ["Missing"]),
        (("mlp", "swiglu"), ["mlp", "--layers"]),
        ((), ["nothing given"]),
        (("--layers", "mlp", "--genome", "1"), ["layers and a genome"]),
        (("--layers", "mlp", "--model-id", "mine"), ["no model"]),
        (("--layers", "mlp", "--protocol", "soun"), ["did you mean sound"]),
        (("--layers", "mlp", "--budget", "ful"), ["did you mean full"]),
        (("--layers", "mlp", "--seeds", "0"), ["0 seeds"]),
        (("--layers", "mlp", "--workers", "-1"), ["-1 workers"]),
        (("--layers", "mlp", "--dim", "0"), ["width 0"]),
        (("--layers", "mlp", "--device", "tpu"), ["tpu"]),
        (("--layers", "mlp", "--time-limit", "0"), ["time limit"]),
        (("--layers", "mlp", "--settings", "none.toml", "--tasks", ""), ["none.toml"]),
        (("--layers", "mlp", "--settings", "odd.toml"), ["length is 9", "even length"]),
    ],
)
def test_what_cannot_be_benchmarked_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: list[str]
) -> None:
    monkeypatch.chdir(place)
    (place / "odd.toml").write_text(SETTINGS.replace("length = 8", "length = 9"))
    own = () if {"--tasks", "--settings"} & set(arguments) else ("--settings", "s.toml")
    dim = () if "--dim" in arguments else ("--dim", "8")
    assert words_in(refusal(invoke("benchmark", *arguments, *own, *dim, "--home", "refused")), words)
    assert not (place / "refused").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--set", "noise_fraction=0.5"), ["noise without a noise vocabulary"]),
        (("--set", "nois_fraction=0.5"), ["nois_fraction", "did you mean noise_fraction"]),
        (("--set", "noise_fraction"), ["NAME=VALUE"]),
        (("--set", "noise_fraction=much"), ["no number"]),
        (("--set", "length=8"), ["length is given twice"]),
        (("--steps", "0"), ["steps 0"]),
        (("--learning-rate", "0"), ["learning rate 0"]),
    ],
)
def test_a_training_that_cannot_be_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: list[str]
) -> None:
    monkeypatch.chdir(place)
    asked = ("train", "--task", "in-context-recall", "--layers", "mlp", *ONE, *arguments)
    assert words_in(refusal(invoke(*asked, "--home", "refused")), words)
    assert not (place / "refused").exists()


def test_layers_are_taken_as_people_write_them(tmp_path: Path) -> None:
    assert gathered(["a"], ["b", "c"]) == ["a", "b", "c"]
    assert gathered(["a", "b"], None) == ["a", "b"]
    assert gathered(["a b", "c"], []) == ["a", "b", "c"]
    spaced = tmp_path / "my layers.py"
    spaced.write_text("")
    assert gathered([f"{spaced}:Mine"], ["b c"]) == [f"{spaced}:Mine", "b", "c"]
    assert joined(["a,b c", "d"]) == ["a", "b", "c", "d"]
    with pytest.raises(ConfigurationError, match="once"):
        gathered(["a", "b"], ["c"])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("compared")
    write(home, plan(("mh-attention", "swiglu")), top=lambda setting: 0.95)
    write(home, plan(("mamba", "swiglu")), top=lambda setting: 0.6)
    write(home, plan(("mamba", "mlp"), protocol="mad-lab"), name="published")
    write(home, plan(("hyena", "mlp"), budget="standard", tasks=("memorization",)), name="longer")
    return home


def test_runs_side_by_side_by_parts_of_their_names(home: Path, tmp_path: Path) -> None:
    page = tmp_path / "compare.html"
    result = invoke("compare", "attention-sw", "mamba-sw", "--home", home, "--html", page)
    assert (result.status, result.stderr) == (0, "")
    assert words_in(
        result.stdout, ["A  mh-attention swiglu", "B  mamba swiglu", "MAD score", "0.950 ± 0.007 *"]
    )
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    document = strict_json(invoke("compare", "mamba-sw", "attention-sw", "--home", home, "--json").stdout)
    assert document["overall"]["best"] == 1
    assert document["overall"]["differences"][0]["verdict"] == "lower"


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        (("attention", "published"), ["protocol", "sound", "mad-lab"]),
        (("attention", "longer"), ["budget", "quick", "standard"]),
        (("attention",), ["1 run"]),
        (("attention", "attention"), ["twice"]),
        (("mad-sound", "longer"), ["several", "mh-attention-swiglu", "mamba-swiglu"]),
        (("attention", "nothing-like-it"), ["nothing-like-it"]),
    ],
)
def test_what_cannot_be_compared_is_refused(home: Path, runs: tuple[str, ...], words: list[str]) -> None:
    assert words_in(refusal(invoke("compare", *runs, "--home", home)), words)


def test_runs_and_reports_of_benchmarks(home: Path, tmp_path: Path) -> None:
    listed = strict_json(invoke("runs", "--home", home, "--json").stdout)
    assert [row["kind"] for row in listed] == ["benchmark"] * 4
    assert listed[0]["protocol"] == "sound"
    shown = invoke("runs", "--home", home).stdout
    assert words_in(shown, [listed[0]["run"], "benchmark", "mh-attention swiglu"])
    page = tmp_path / "page.html"
    result = invoke("report", "--home", home, "--html", page)
    assert result.status == 0
    assert words_in(result.stdout, ["hyena mlp", "memorization", "Run: longer", f"Report: {page}"])
    document = strict_json(invoke("report", "published", "--home", home, "--json").stdout)
    assert document["metric"] == "test_batch_macro"
    assert Path(document["report"]) == home / "published" / "report.html"


def test_a_function_that_makes_models_on_data_of_ones_own(here: Path) -> None:
    setting = find_task("memorization").setting(
        vocabulary_size=16, length=8, train_examples=32, test_examples=32
    )
    write_layout(here / "data", [setting], seed=1)
    asked = ("benchmark", "--model", "own.py:make_model_fn", "--model-id", "mine", "--data", "data")
    result = invoke(*asked, "--workers", "0", "--home", "modelled", "--json")
    assert result.status == 0, result.stderr
    document = strict_json(result.stdout)
    assert document["label"] == "mine"
    assert [each["task"] for each in document["tasks"]] == ["memorization"]


def test_names_are_loaded_from_the_package() -> None:
    assert inspect.isfunction(madstar.benchmark)
    assert madstar.benchmark.__module__ == "madstar.protocol.api"
    assert madstar.LayerChoice.of("mlp").name == "mlp"
    assert {"benchmark", "LanguageModel", "AutoEncoder", "LayerChoice"} <= set(madstar.__all__)
    assert madstar.LanguageModel is not madstar.AutoEncoder
