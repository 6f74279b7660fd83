"""`madstar learn predict` with a predictor of a few measured graphs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.graph.graphs import llama
from typer.testing import CliRunner

import madstar.cli.learn_predict  # noqa: F401  (registers the command)
from madstar.cli.app import app
from madstar.graph.folding import fold
from madstar.graph.json_format import save as save_graph
from madstar.learning.datasets.building import DatasetSettings, build_dataset
from madstar.learning.datasets.examples import Measured
from madstar.learning.predictor import describe, fit, save

runner = CliRunner()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A predictor, a graph that it has not seen, and a dataset without measurements."""
    folder = tmp_path_factory.mktemp("predict")
    graphs = {
        f"{layers}x{width}": fold(llama(layers, width)) for layers in range(1, 9, 2) for width in (16, 32)
    }
    measured = [
        Measured(key, "quality", f"{steps} steps", 4 - float(np.log(int(key[0]))) - steps / 100, None, 1)
        for key in graphs
        for steps in (50, 100)
    ]
    described = {key: describe(graph) for key, graph in graphs.items()}
    save(fit(described, measured, rng=np.random.default_rng(0)), folder / "predictor")
    (folder / "own").mkdir()
    save_graph(fold(llama(4, 32)), folder / "own" / "new.graph.json")
    for key in list(graphs)[:3]:
        save_graph(graphs[key], folder / "own" / f"{key}.graph.json")
    build_dataset(folder / "data", DatasetSettings(own=folder / "own"))
    return folder


def predict(folder: Path, *more: str, graph: str = "own/new.graph.json"):
    return runner.invoke(
        app, ["learn", "predict", str(folder / graph), *[part.format(folder=folder) for part in more]]
    )


KNOWN = ("--predictor", "{folder}/predictor")


def test_all_figures_with_intervals_and_the_nearest(made):
    done = predict(made, *KNOWN, "--json", "--n", "2")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert [each["budget"] for each in document["figures"]] == ["100 steps", "50 steps"]
    for each in document["figures"]:
        assert each["low"] < each["value"] < each["high"]
    by_budget = {each["budget"]: each["value"] for each in document["figures"]}
    assert by_budget["50 steps"] > by_budget["100 steps"]
    assert {each["entry"] for each in document["nearest"]} <= {"3x32", "5x32", "3x16", "5x16"}
    assert len(document["nearest"]) == 2


def test_one_figure_in_words(made):
    done = predict(made, *KNOWN, "--figure", "quality after 50 steps", "--level", "0.5")
    assert done.exit_code == 0, done.output
    assert "50% of the time" in done.stdout
    assert "100 steps" not in done.stdout
    assert "Nearest of 8 measured architectures" in done.stdout


def test_a_wider_level_gives_a_wider_interval(made):
    def width(level: str) -> float:
        (figure, _) = json.loads(predict(made, *KNOWN, "--json", "--level", level).stdout)["figures"]
        return figure["high"] - figure["low"]

    assert width("0.95") > width("0.5")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "--data or --predictor"),
        ((*KNOWN, "--data", "{folder}/data"), "--data or --predictor"),
        ((*KNOWN, "--figure", "speed"), "never measured"),
        ((*KNOWN, "--figure", "quality"), "several figures"),
        ((*KNOWN, "--level", "1"), "--level 1"),
        ((*KNOWN, "--n", "-1"), "--n -1"),
        (("--data", "{folder}/data"), "run madstar search"),
        (("--data", "{folder}/nothing"), "nothing"),
        (("--predictor", "{folder}/data"), "no predictor"),
    ],
)
def test_bad_requests_are_refused_in_one_line(made, more, said):
    done = predict(made, *more)
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.output


def test_a_genome_may_be_given_as_it_is(made):
    done = runner.invoke(
        app, ["learn", "predict", "21211", "--predictor", str(made / "predictor"), "--json", "--n", "0"]
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["nearest"] == []


def test_a_graph_that_is_not_there_is_refused(made):
    done = predict(made, *KNOWN, graph="own/none.graph.json")
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
