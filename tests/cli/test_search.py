"""What a search that runs to its end says and leaves."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from madstar.archive import Archive
from madstar.genome import Genome

from .commands import FinishedRun

BASELINES = [
    "Transformer++",
    "Transformer++ GQA",
    "recurrence-attention hybrid",
    "convolution-attention hybrid",
]


def test_stdout_is_one_json_document_on_the_run(finished: FinishedRun) -> None:
    document = finished.document
    assert document["status"] == "finished"
    assert document["candidates"] == 3
    assert document["failed"] == 0
    assert document["failures"] == {}
    assert [entry["name"] for entry in document["baselines"]] == BASELINES
    assert [objective["name"] for objective in document["objectives"]] == ["quality", "cache@4096"]
    assert document["hypervolume"] > 0
    assert len(document["hypervolume_reference"]) == 2
    validity = document["offspring_validity"]
    assert validity["valid"] + validity["repaired"] == 3
    assert validity["rejected"] == 0
    for entry in (*document["front"], *document["baselines"]):
        assert str(Genome.parse(entry["genome"])) == entry["genome"]
        assert {"quality", "cache@4096", "bits_per_byte", "perplexity"} <= entry["values"].keys()
        assert entry["errors"]["quality"] > 0
    assert document["front"]
    assert all(entry["name"] is None for entry in document["front"])


def test_the_document_agrees_with_the_archive(finished: FinishedRun) -> None:
    document = finished.document
    with Archive.open(finished.home / "archive.sqlite", create=False) as archive:
        run = archive.run("latest")
        evaluations = archive.evaluations(run.id)
    assert run.name == document["run"]
    assert len(evaluations) == document["evaluations"]
    measured: dict[tuple[int, int], list[dict[str, float]]] = {}
    for row in evaluations:
        measured.setdefault((row.candidate, row.rung), []).append(row.values)
    assert any(row.stage == "repeat" for row in evaluations)
    for entry in document["front"]:
        rows = measured[entry["index"], entry["rung"]]
        assert len(rows) == entry["seeds"]
        for name, value in entry["values"].items():
            assert value == pytest.approx(sum(row[name] for row in rows) / len(rows))


def test_stderr_has_a_plain_line_for_each_evaluation(finished: FinishedRun) -> None:
    stderr = finished.result.stderr
    assert "\x1b" not in stderr
    told = re.findall(
        r"^\[ *\d+:\d\d\] .+  rung [12]/2  [24] steps  (?:again with seed \d+  )?ok  quality ",
        stderr,
        re.MULTILINE,
    )
    assert len(told) == finished.document["evaluations"]
    assert all(f"] {name}  rung 2/2" in stderr for name in BASELINES)


class _Resources(HTMLParser):
    """Everything that a browser would fetch for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        loads = {"src", "srcset", "data", "poster"} | ({"href"} if tag == "link" else set())
        self.found += [value or "" for name, value in attributes if name in loads]


def test_the_report_stands_alone(finished: FinishedRun) -> None:
    path = Path(finished.document["report"])
    assert path == finished.home / finished.name / "report.html"
    page = path.read_text()
    resources = _Resources()
    resources.feed(page)
    assert [link for link in resources.found if not link.startswith("data:")] == []
    for styles in re.findall(r"<style[^>]*>(.*?)</style>", page, re.DOTALL):
        assert "@import" not in styles
        assert "url(" not in styles.replace("url(data:", "")
    assert re.search(r"plotly\.js v\d", page)
    for entry in (*finished.document["front"], *finished.document["baselines"]):
        assert entry["genome"] in page
