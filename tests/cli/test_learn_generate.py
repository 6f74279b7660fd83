"""`madstar learn generate` and `complete`: graphs that other commands take, refusals in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.graph.graphs import llama
from tests.learning.generator.test_generator import SIZES, WORLD, part_of
from typer.testing import CliRunner

import madstar.cli.learn_generate  # noqa: F401  (registers the commands)
from madstar.cli.app import app
from madstar.graph.checking import check
from madstar.graph.json_format import load, save
from madstar.graph.statistics import statistics
from madstar.learning.generator import fit

runner = CliRunner()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generator")
    fit(WORLD, 0, steps=100, sizes=SIZES).save(folder)
    return folder


def run(*words: object) -> tuple[int, str, str]:
    result = runner.invoke(app, ["learn", *map(str, words)])
    return result.exit_code, result.stdout, result.stderr


def test_generate(model: Path, tmp_path: Path) -> None:
    status, out, err = run(
        *("generate", "--model", model, "--n", 3, "--max-params", "5e3", "--out", tmp_path / "new", "--json")
    )
    assert status == 0, err
    rows = json.loads(out)["graphs"]
    assert len({row["hash"] for row in rows}) == 3
    for row in rows:
        assert row["parameters"] <= 5000
        assert not check(load(row["file"]), causal=False).errors
    status, out, err = run("generate", "--model", model, "--n", 1, "--domain", "block", "--width", 16)
    assert status == 0, err
    assert "parameters:" in out


def test_complete(model: Path, tmp_path: Path) -> None:
    save(part_of(), tmp_path / "part.graph.json")
    status, out, err = run(
        *("complete", tmp_path / "part.graph.json", "--model", model, "--out", tmp_path / "done")
    )
    assert status == 0, err
    assert str(tmp_path / "done" / "0.graph.json") in out
    found = load(tmp_path / "done" / "0.graph.json")
    assert found.input_names == ("tokens",)
    assert len(found.main.items) > 2


def test_like(model: Path, tmp_path: Path) -> None:
    save(WORLD[1], tmp_path / "one.graph.json")
    words = ("generate", "--model", model, "--n", 1, "--like", tmp_path / "one.graph.json", "--json")
    status, out, err = run(*words)
    assert status == 0, err
    size = json.loads(out)["graphs"][0]["parameters"]
    wanted = statistics(WORLD[1]).parameters
    assert wanted / 3 - 1 <= size <= wanted * 3


def test_a_bound_counts_for_more_than_what_it_should_be_like(model: Path, tmp_path: Path) -> None:
    large = max(WORLD, key=lambda graph: statistics(graph).parameters)
    save(large, tmp_path / "large.graph.json")
    most = statistics(large).parameters // 4
    words = ("generate", "--model", model, "--n", 1, "--like", tmp_path / "large.graph.json")
    status, out, err = run(*words, "--max-params", most, "--json")
    assert status == 0, err
    assert json.loads(out)["graphs"][0]["parameters"] <= most


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("generate", "--n", "0"), "--n 0"),
        (("generate", "--max-nodes", "0"), "--max-nodes 0"),
        (("generate", "--max-params=-3"), "--max-params -3"),
        (("generate", "--domain", "music"), "nothing of the domain 'music'"),
        (("generate", "--max-params", "3"), "the smallest graph"),
        (("generate", "--grade", "bets"), "did you mean best"),
        (("generate", "--grade", "best"), "fit a generator to graphs that were measured"),
        (("generate", "--min-params", "50", "--max-params", "20"), "no graph has both"),
        (  # weights of that width have multiples of 32
            ("generate", "--width", "32", "--min-params", "257", "--max-params", "263"),
            "allow more: the smallest of 16 of any size has",
        ),
        (("generate", "--model", "none"), "madstar learn generate --data makes one"),
    ],
)
def test_refusals(model: Path, words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    where = () if "--model" in words else ("--model", str(model))
    status, out, err = run(*words, *where)
    assert status == 2
    assert not out
    assert said in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_what_cannot_be_completed(model: Path, tmp_path: Path) -> None:
    save(llama(1), tmp_path / "llama.graph.json")
    status, _, err = run("complete", tmp_path / "llama.graph.json", "--model", model)
    assert status == 2
    assert "does not make" in err
    assert err.count("\n") == 1
