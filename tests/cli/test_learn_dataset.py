"""`madstar learn dataset`: made, told of, gone on with; what it refuses."""

from pathlib import Path

import pytest

from madstar.cli import learn_dataset  # noqa: F401  it registers itself

from ..learning.corpus.made_museum import write_museum
from .commands import contents, invoke, refusal, strict_json, words_in

NOTHING_MADE = ("--genomes", "0", "--no-layers", "--no-itself", "--edits", "0")


@pytest.fixture(scope="module")
def museum(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_museum(tmp_path_factory.mktemp("museum"), few=5)


def test_a_dataset_is_made_and_found_again(museum: Path, tmp_path: Path) -> None:
    arguments = ("learn", "dataset", "--museum", museum, "--out", tmp_path / "data", *NOTHING_MADE)
    first = invoke(*arguments)
    assert first.status == 0, first.stderr
    said = ["4 graphs in", "4 transformers", "1 more were equal", "README.md", "--archive HOME"]
    assert words_in(first.stdout, said)
    assert words_in(first.stderr, ["[5/5]"])
    before = contents(tmp_path / "data")
    again = invoke(*arguments, "--json")
    assert again.status == 0
    document = strict_json(again.stdout)
    assert document["counts"]["sources"] == {"transformers": 4}
    assert document["schema"] == "madstar.learning.dataset/1"
    assert contents(tmp_path / "data") == before


def test_the_museum_beside_is_taken_unasked(museum: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "museum").symlink_to(museum)
    result = invoke("learn", "dataset", "--genomes", "0", "--no-layers", "--edits", "1", "--json")
    assert result.status == 0, result.stderr
    assert strict_json(result.stdout)["settings"]["museum"] is True
    assert (tmp_path / "data" / "schema.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--museum", "nowhere"), ["nowhere is no museum", "madstar zoo trace makes one"]),
        (("--graphs", "nowhere"), ["nowhere is no folder"]),
        (("--archive", "nowhere"), ["does not exist"]),
        ((*NOTHING_MADE,), ["nothing to make a dataset of", "madstar zoo trace"]),
        (("--genomes", "-1"), ["--genomes is -1", "0 or more"]),
        (("--seed", "-1"), ["--seed is -1"]),
    ],
)
def test_what_cannot_be_made_is_told_in_one_line(arguments, said, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = arguments if arguments == NOTHING_MADE else (*NOTHING_MADE, *arguments)
    result = invoke("learn", "dataset", *given)
    assert words_in(refusal(result), said)
    assert not (tmp_path / "data" / "schema.json").exists()


def test_another_schema_and_another_seed_are_refused(museum: Path, tmp_path: Path) -> None:
    arguments = ("learn", "dataset", "--museum", museum, "--out", tmp_path, *NOTHING_MADE)
    assert invoke(*arguments).status == 0
    assert words_in(refusal(invoke(*arguments, "--seed", "4")), ["other settings or seed", "--redo"])
    schema = tmp_path / "schema.json"
    whole = schema.read_text()
    schema.write_text(whole.replace("dataset/1", "dataset/9"))
    assert words_in(refusal(invoke(*arguments)), ["is of schema madstar.learning.dataset/9"])
    assert invoke(*arguments, "--seed", "4", "--redo").status == 0
    assert schema.read_text() != whole
