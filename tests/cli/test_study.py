"""`madstar study`, on runs that are written by hand."""

from pathlib import Path

import pytest

from madstar.cli import study  # noqa: F401  it registers itself

from ..studies.written import write
from .commands import invoke, refusal, strict_json, words_in


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("studied")
    for seed in range(2):
        write(home, f"n{seed}", [(2.0 + seed / 100, 100.0)], seed=seed)
        write(home, f"r{seed}", [(3.0, 100.0)], seed=seed, strategy="random")
    write(home, "wide", [(3.0, 100.0)], width=64)
    write(home, "empty", [])
    return home


RUNS = ("n0", "n1", "r0", "r1")


def test_strategies_side_by_side(home: Path) -> None:
    result = invoke("study", *RUNS, "--home", home)
    assert (result.status, result.stderr) == (0, "")
    assert words_in(result.stdout, ["nsga2 − random", "−0.995", "better", "worker seconds"])
    assert "\x1b" not in result.stdout


def test_one_document(home: Path, tmp_path: Path) -> None:
    page = tmp_path / "study.html"
    result = invoke("study", *RUNS, "--home", home, "--json", "--out", page)
    assert (result.status, result.stderr) == (0, "")
    document = strict_json(result.stdout)
    assert document["report"] == str(page)
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    verdicts = {(d["metric"], d["verdict"]) for d in document["differences"]}
    assert ("quality", "better") in verdicts
    assert [run["run"] for run in document["runs"]] == [*RUNS]


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        (("n0", "wide"), ["width", "32 in n0", "64 in wide"]),
        (("n0", "empty"), ["empty", "no front"]),
        (("n0", "n0"), ["n0", "twice"]),
        (("n0", "missing"), ["missing"]),
    ],
)
def test_what_cannot_be_compared_is_refused(home: Path, runs: tuple[str, ...], words: list[str]) -> None:
    assert words_in(refusal(invoke("study", *runs, "--home", home)), words)


def test_no_run_is_a_wrong_call(home: Path) -> None:
    result = invoke("study", "--home", home)
    assert result.status == 2
    assert result.stdout == ""


def test_an_unwritable_page_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "study.html"
    assert words_in(refusal(invoke("study", *RUNS, "--home", home, "--out", place)), ["cannot write"])
