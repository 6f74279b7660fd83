"""`madstar learn train` and `madstar learn similar` on a small dataset of a user's own graphs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.graph.graphs import alternating, bert, llama, unrolled
from typer.testing import CliRunner

import madstar.cli.graph_edit
import madstar.cli.learn_train
import madstar.cli.trace  # noqa: F401  (registers the commands)
from madstar.cli.app import app
from madstar.graph.folding import fold
from madstar.graph.json_format import save
from madstar.graph.statistics import statistics
from madstar.learning.datasets.building import DatasetSettings, build_dataset
from madstar.learning.pretraining.checkpoint import load_model

runner = CliRunner()
_SMALL = ["--size", "small", "--split", "random", "--device", "cpu"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with graphs, a dataset of them, and a model trained on it."""
    folder = tmp_path_factory.mktemp("made")
    graphs = {
        "llama": fold(llama()),
        "wide": fold(llama(3, 64)),
        "deep": llama(3),
        "bert": fold(bert()),
        "bert-wide": bert(2, 48),
        "alternating": alternating(),
        "pairs": alternating(5, 32),
        "unrolled": unrolled(),
    }
    (folder / "graphs").mkdir()
    for name, graph in graphs.items():
        save(graph, folder / "graphs" / f"{name}.graph.json")
    build_dataset(folder / "data", DatasetSettings(own=folder / "graphs"))
    done = train(folder, "--steps", "4", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["step"] <= 4
    return folder


def train(folder: Path, *more: str, out: str = "model"):
    return runner.invoke(
        app, ["learn", "train", "--data", str(folder / "data"), "--out", str(folder / out), *_SMALL, *more]
    )


def similar(folder: Path, *more: str):
    place = ["--data", str(folder / "data"), "--model", str(folder / "model")]
    return runner.invoke(app, ["learn", "similar", *place, *more])


def refused(done, said: str) -> None:
    assert done.exit_code == 2
    assert said in done.output
    (line,) = [each for each in done.stderr.splitlines() if not each.startswith("Reading")]
    assert line.startswith("madstar: ")


def test_the_facts_say_what_it_was_trained_on(made):
    document = json.loads((made / "model" / "model.json").read_text())
    assert document["facts"]["split"] == "random"
    assert document["facts"]["split_seed"] == 0
    assert len(document["facts"]["dataset"]) == 16


def test_the_most_similar_graph_is_itself(made):
    done = similar(made, str(made / "graphs" / "bert.graph.json"), "--n", "3", "--json")
    assert done.exit_code == 0, done.output
    nearest = json.loads(done.stdout)["nearest"]
    assert len(nearest) == 3
    assert nearest[0]["similarity"] == pytest.approx(1.0, abs=1e-3)
    assert "bert" in nearest[0]["entry"]
    again = similar(made, str(made / "graphs" / "bert.graph.json"), "--n", "3")  # vectors are kept now
    assert nearest[0]["entry"] in again.stdout.splitlines()[0]
    assert "vectors" not in again.stderr


def test_what_cannot_be_is_one_line(made, tmp_path):
    refused(train(made, "--steps", "3"), "holds a model")
    refused(train(made, "--resume", "--steps", "3", out="nothing"), "no training to resume")
    refused(train(made, "--steps", "3", "--minutes", "1", out="a"), "give one of them")
    refused(train(made, "--steps", "0", out="a"), "steps")
    refused(train(made, "--steps", "1", "--processes", "0", out="a"), "--processes 0")
    refused(train(made, "--steps", "1", "--size", "vast", out="a"), "vast")
    refused(train(made, "--steps", "1", "--split", "alphabet", out="a"), "alphabet")
    refused(train(tmp_path, "--steps", "1"), "no dataset")
    refused(similar(made, str(made / "graphs" / "bert.graph.json"), "--n", "0"), "--n 0")
    refused(similar(made, "no.graph.json"), "no.graph.json")
    refused(similar(made, str(made / "graphs" / "bert.graph.json"), "--model", str(tmp_path)), "learn train")


def test_the_encoder_itself_is_traced_edited_and_trained(made, tmp_path):
    traced, edited = tmp_path / "encoder.graph.json", tmp_path / "edited.graph.json"
    size = "tiny,layers=2,dropout=0"
    done = runner.invoke(app, ["trace", f"madstar:graph-encoder?{size}", "--out", str(traced)])
    assert done.exit_code == 0, done.output
    change = ["--rewrite", "swap_activation", "--to", "relu", "--out", str(edited)]
    assert runner.invoke(app, ["graph", "edit", str(traced), *change]).exit_code == 0
    done = train(made, "--steps", "2", "--size", size, "--encoder", str(edited), out="evolved")
    assert done.exit_code == 0, done.output
    model, _ = load_model(made / "evolved")
    assert model.encoder_graph is not None
    assert statistics(model.encoder_graph).operations.keys() >= {"relu"}
    place = ["--data", str(made / "data"), "--model", str(made / "evolved")]
    assert runner.invoke(app, ["learn", "similar", str(traced), *place]).exit_code == 0


def test_what_is_no_encoder(made, tmp_path):
    llama_file = str(made / "graphs" / "llama.graph.json")
    refused(train(made, "--steps", "2", "--encoder", llama_file, out="no"), "is no encoder: it takes tokens")
    assert not (made / "no").exists()
    missing = train(made, "--steps", "2", "--encoder", str(tmp_path / "none.graph.json"), out="no")
    refused(missing, "none.graph.json")
    both = train(made, "--resume", "--encoder", llama_file, out="no")
    refused(both, "leave out --encoder")
    done = runner.invoke(app, ["trace", "madstar:graph-decoder"])
    refused(done, "did you mean graph-encoder?")
