"""The sections of a page that a run may have or not: lineage, motifs, retrained; and figures over seeds."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

import madstar.report.findings as findings
from madstar.report import PlainWatcher, full_report, gather, print_summary, write_html
from madstar.report.method import finalists, motif_seeds, strategy
from madstar.report.tally import Tally
from madstar.search import Run, make_settings
from madstar.studies.lineage import lineage_of
from madstar.studies.retrained import Validation, read

from .runs import EVIL, PLAIN, Book
from .test_html import PLOTLY, Page, check_figures


def validated(path: Path, *, seeds: int = 3) -> tuple[Book, Validation]:
    """A front of one, trained again: better than the baselines but for the last, which it ties with."""
    book = Book(path)
    rows = book.baselines()
    member = book.candidate(PLAIN)
    book.ok(member, 2, quality=2.0, cache=4096.0)
    indices = [member.index, *(row.index for row in rows)]
    config = {**book.run.config, "validations": [{"budget": "160", "seeds": 3, "candidates": indices}]}
    book.run = book.archive.update_run(book.run.id, config=config)
    for seed in range(seeds):
        for row in (member, *rows):
            quality = {member.index: 1.0, rows[-1].index: 1.0 + 0.2 * (seed - 1)}.get(row.index, 1.5)
            scores = {"test_bits_per_byte": quality + 0.001 * seed, "bits_per_byte": quality + 0.1}
            book.archive.add_evaluation(
                book.run.id, candidate=row.index, rung=0, seed=1000 + seed, stage="validation", status="ok",
                steps=160, tokens=0, values={**scores, "cache@4096": 4096.0}, started_at=0, finished_at=1,
            )  # fmt: skip
    return book, read(book.archive, book.run, 0)


def written(book: Book, path: Path, **given: Any) -> Page:
    return Page(write_html(book.summary(), path / "report.html", **given).read_text(encoding="utf-8"))


def test_nothing_is_said_of_what_is_not_there(book: Book, tmp_path: Path) -> None:
    page = written(book, tmp_path)
    for heading in ("Retrained", "Motifs", "Lineage and validity"):
        assert heading not in page.text


def test_lineage(book: Book, tmp_path: Path) -> None:
    page = written(book, tmp_path, lineage=lineage_of(book.summary()))
    text = page.words
    assert page.count("svg", "pedigree") == 0  # all of the front are founders
    assert re.search(r"operator sparsity repaired 11% \(2–43\) 1 11%", text)
    assert "In every proposal valid: backbone featurizer group" in text
    assert text.count("Genes repaired, or rejected for") == 1
    # Only child 8 was measured at the first rung: 7.5 and 512 KiB against 4 and 2 MiB.
    assert "mutation +3.500 0 of 1 −1.500 MiB 1 of 1" in text


def test_the_ancestry_of_the_front_is_drawn(tmp_path: Path) -> None:
    book = Book(tmp_path)
    first, second = book.candidate(PLAIN), book.candidate(PLAIN)
    book.ok(book.candidate(PLAIN, parents=(first.index, second.index)), 0, quality=2.0, cache=1.0)
    page = written(book, tmp_path, lineage=lineage_of(book.summary()))
    assert "The ancestry of #2" in page.words
    assert page.count("svg", "pedigree") == 1
    assert "#2 1 2 #0 50%, #1 50%" in page.words


def test_a_lineage_of_nothing(tmp_path: Path) -> None:
    book = Book(tmp_path)
    page = written(book, tmp_path, lineage=lineage_of(book.summary()))
    assert "Lineage and validity" in page.text
    assert "Operators of variation" not in page.text


def test_operators_are_text(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.ok(book.candidate(operator=EVIL), 2, quality=1.0, cache=1.0)
    page = written(book, tmp_path, lineage=lineage_of(book.summary()))
    assert page.count("script") == 3
    assert EVIL in page.text


def test_retrained(tmp_path: Path) -> None:
    book, validation = validated(tmp_path)
    page = written(book, tmp_path, validation=validation)
    text = page.words
    assert "trained again from scratch to 160" in text
    assert "1.00100 ± 0.00058" in text
    assert "#4 +0.000 −0.497 to +0.497 tie −0.500 −0.500 to −0.500 better" in text
    assert "No member of the front is better than every baseline" in text
    assert "Of the 1 candidate that reached" in text
    check_figures(page)


def test_a_validation_that_goes_on(tmp_path: Path) -> None:
    book, validation = validated(tmp_path, seeds=1)
    text = written(book, tmp_path, validation=validation).words
    assert "5 of 15 trainings have ended" in text
    assert "better" not in text[text.index("Differences to") :].split("Below")[1].split("Hit rates")[0][200:]


def test_full_report_gathers_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book, _ = validated(tmp_path)
    path = full_report(Run.open("by-hand", book.path))
    assert path == book.path / "by-hand" / "report.html"
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert "Retrained" in page.text
    assert "Lineage and validity" in page.text
    assert "Motifs" not in page.text  # of one winner
    assert not re.search(r"https?://|url\(|@import|fetch\(|XMLHttpRequest", text.replace(PLOTLY, ""))
    document = gather(Run.open("by-hand", book.path)).to_dict()
    assert document["validation"]["budget"] == "160"
    assert document["lineage"]["ancestries"][0]["member"] == 4


def test_motifs_are_there_with_enough_winners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book(tmp_path, settings={"min_depth": 2, "max_depth": 2})
    for place, genome in enumerate(["71111-91111", "71111-71111", "71111-81111"] * 4):
        book.ok(book.candidate(genome), 2, quality=2.0 - place / 10, cache=1024.0 + place)
    monkeypatch.setattr(findings, "_BACKGROUND", 100)
    monkeypatch.setattr(findings, "_REPLICATES", 10)
    page = Page(full_report(Run.open("by-hand", tmp_path)).read_text(encoding="utf-8"))
    assert "Motifs" in page.text
    assert any("motif" in key or "place" in key for key in page.figures)


def test_a_section_that_fails_does_not_take_the_report_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Book(tmp_path)
    book.ok(book.candidate(PLAIN), 2, quality=2.0, cache=1024.0)
    monkeypatch.setattr(findings, "_FEWEST_WINNERS", 0)
    monkeypatch.setattr("madstar.studies.motifs.motifs", lambda *_, **__: 1 / 0)
    with pytest.warns(UserWarning, match="no motifs in the report: ZeroDivisionError"):
        page = Page(full_report(Run.open("by-hand", tmp_path)).read_text(encoding="utf-8"))
    assert "Lineage and validity" in page.text
    assert "Motifs" not in page.text


def test_nor_does_one_that_cannot_be_drawn(book: Book, tmp_path: Path) -> None:
    broken: Any = object()
    with pytest.warns(UserWarning, match="no motifs in the report"):
        page = written(book, tmp_path, motifs=broken)
    assert "All candidates" in page.text


def repeated(path: Path) -> Book:
    """A finalist trained thrice, at 2, 3 and 4 bits per byte, and one trained once."""
    book = Book(path)
    row = book.candidate(PLAIN)
    book.ok(row, 2, quality=2.0, cache=4096.0, error=0.0)
    for seed, quality in ((1, 3.0), (2, 4.0)):
        book.archive.add_evaluation(
            book.run.id, candidate=row.index, rung=2, seed=seed, stage="repeat", status="ok", steps=40,
            tokens=0, values={"quality": quality, "bits_per_byte": quality, "cache@4096": 4096.0},
            errors={"quality": 0.0}, started_at=0, finished_at=1,
        )  # fmt: skip
    book.ok(book.candidate(PLAIN), 2, quality=5.0, cache=1024.0)
    return book


def test_means_over_seeds_are_called_so(tmp_path: Path) -> None:
    book = repeated(tmp_path)
    text = written(book, tmp_path).words
    assert re.search(r"#0 n = 3 seeds 3\.00 ± 0\.58", text)
    assert re.search(r"#1 n = 1 5\.000 ± 0\.020", text)
    assert "Figures are means, n = 3 seeds." in text
    console = Console(file=io.StringIO(), width=100)
    print_summary(book.summary(), console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert re.search(r"#0 +3\.00 ± 0\.58.*n = 3", printed)
    assert "n trainings with different seeds" in printed


def test_seeds_are_not_mentioned_where_all_figures_are_of_one(book: Book, tmp_path: Path) -> None:
    assert "n = " not in written(book, tmp_path).text


def test_a_watchers_tally_takes_means_over_seeds(tmp_path: Path) -> None:
    book = repeated(tmp_path)
    tally = Tally(book.summary().objectives)
    by_index = {row.index: row for row in book.archive.candidates(book.run.id)}
    for row in book.archive.evaluations(book.run.id):
        tally.add(by_index[row.candidate], row)
        tally.add(by_index[row.candidate], replace(row, stage="validation", rung=7))
    assert [(f.label, f.values["quality"], f.seeds) for f in tally.front] == [("#0", 3.0, 3), ("#1", 5.0, 1)]
    assert tally.rung == 2


def test_plain_lines_say_what_is_trained_again(tmp_path: Path) -> None:
    book, stream = repeated(tmp_path), io.StringIO()
    watcher = PlainWatcher(stream)
    watcher.began(book.run, book.chosen, None, False)  # type: ignore[arg-type]
    rows = {row.index: row for row in book.archive.candidates(book.run.id)}
    for row in book.archive.evaluations(book.run.id):
        watcher.evaluated(rows[row.candidate], row)
    again = [line for line in stream.getvalue().splitlines() if "again with seed" in line]
    assert [line.split("again with ")[1].split("  ")[0] for line in again] == ["seed 1", "seed 2"]


def test_which_strategy_ran(tmp_path: Path) -> None:
    book = Book(tmp_path, settings={"strategy": "random", "seeds": "motifs", "reevaluate": 0.25})
    text = written(book, tmp_path).words
    assert "random search (random), asynchronous, seed 0" in text
    assert "on: known motifs were among the founders" in text
    assert "25% of the budget to train them again" in text
    plain = make_settings(minutes=1.0, reevaluate=0.0, strategy="nsga2")
    assert strategy(plain).startswith("NSGA-II (nsga2)")
    assert motif_seeds(plain).startswith("off")
    assert finalists(plain) == "not trained again"
    # Runs of strategies that this version has no words for are still told.
    other: Any = SimpleNamespace(strategy="new", mode="async", seed=3)
    assert strategy(other) == "new, asynchronous, seed 3"


def test_verdicts_in_a_terminal(tmp_path: Path) -> None:
    book, validation = validated(tmp_path)
    console = Console(file=io.StringIO(), width=200)
    print_summary(book.summary(), console, validation)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Retrained to 160" in printed
    line = next(line for line in printed.splitlines() if "better than" in line)
    last = validation.baselines[0].label if validation.baselines[0].test.mean < 1.2 else ""
    assert line.startswith("#4")
    assert f"a tie with {last}" in line
    assert line.count("Transformer++") == 2
