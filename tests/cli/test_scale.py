"""`madstar scale`: what it prints, and what it refuses in one line."""

from pathlib import Path

import pytest

from madstar.archive import Archive
from madstar.cli import scale  # noqa: F401  it registers itself
from madstar.search.run import ARCHIVE_NAME

from .commands import FinishedRun, invoke, refusal, strict_json, words_in


@pytest.fixture(scope="module")
def home(finished: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished.copy(tmp_path_factory.mktemp("scale") / "home")


def test_it_prints_a_table_and_one_document(finished: FinishedRun, home: Path) -> None:
    command = ("scale", finished.name, "--width", "24", "--budget", "2", "--seeds", "1", "--home", home)
    plain = invoke(*command)
    assert plain.status == 0
    best = finished.document["front"][0]["index"]
    assert words_in(
        plain.stdout,
        [
            "width 24",
            "2 steps",
            "Transformer++ GQA",
            "less baseline",
            "tie: open",
            f"run {finished.name}-w24",
        ],
    )
    assert "[5/5]" in plain.stderr
    again = invoke(*command, "--json")
    assert again.status == 0
    assert "5 trainings, 5 done before" in again.stderr
    document = strict_json(again.stdout)
    assert document["from"] == finished.name
    assert document["sizes"]["width"] == 24
    assert [entry["index"] for entry in document["entries"] if entry["role"] == "search"] == [best]
    assert len(document["entries"]) == 5
    assert document["entries"][0]["scaled"]["low"] is None


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (("--width", "22"), ["width 22 does not divide", "give 16 or 24"]),
        (("--depth", "7"), ["depth 7 is no multiple", "give 6 or 8"]),
        ((), ["nothing to scale to"]),
        (("--depth", "4", "--how", "sideways"), ["choose stack or stretch"]),
        (("--width", "24", "--seeds", "0"), ["0 seeds"]),
    ],
)
def test_impossible_sizes(finished: FinishedRun, home: Path, wish: tuple[str, ...], said: list[str]) -> None:
    before = sorted(home.iterdir())
    assert words_in(refusal(invoke("scale", finished.name, *wish, "--home", home)), said)
    assert sorted(home.iterdir()) == before


def test_no_such_run_and_no_front(finished: FinishedRun, home: Path) -> None:
    assert words_in(refusal(invoke("scale", "nobody", "--width", "24", "--home", home)), ["nobody"])
    with Archive.open(home / ARCHIVE_NAME) as archive:
        archive.create_run("bare", archive.run(finished.name).config)
    assert words_in(refusal(invoke("scale", "bare", "--width", "24", "--home", home)), ["no front"])
