import io
import math
from pathlib import Path

import pytest
from rich.console import Console

from madstar.report import print_summary
from madstar.search import RunSummary

from .runs import Book, genomes, odd


def printed(summary: RunSummary, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_summary(summary, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def too_long(text: str, width: int) -> list[str]:
    """Lines that do not fit; genomes may be longer, so that they can be copied."""
    return [line for line in text.splitlines() if len(line) > width and not line.startswith("  ")]


def test_all_that_matters_is_there(book: Book) -> None:
    summary = book.summary()
    text = printed(summary)
    assert "Front at rung 3 of 3 (40 steps)" in text
    assert all(genome in text for genome in genomes(summary))
    assert "2.000 ± 0.020" in text
    assert "54.32k" in text
    assert "a text of tests" in text
    assert "R dA* M" in text
    assert "2 failed (1 diverged, 1 timeout)" in text
    assert "1 repaired, 1 rejected, 1 duplicate" in text
    assert f"{summary.hypervolume:.4g}" in text


def test_who_dominates_whom(book: Book) -> None:
    lines = printed(book.summary()).splitlines()
    row = next(line for line in lines if line.startswith("#5 ") and "±" in line)
    assert row.split()[-4:] == ["a", "b", "c", "d"]
    assert "loses to" not in "".join(lines)


def test_a_front_that_loses(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.baselines(quality=1.0)
    book.ok(book.candidate(), 2, quality=1.01, cache=2.0**22)
    text = printed(book.summary())
    assert "loses to" in text
    assert "a~ b~ c~ d~" in text
    assert "beats" not in text


def test_baselines_of_other_rungs_are_not_compared(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.baselines(rung=0)
    book.ok(book.candidate(), 2, quality=1.0, cache=1024.0)
    text = printed(book.summary())
    assert "Not measured at this rung, so not compared: Transformer++" in text.replace("\n", " ")
    assert "beats" not in text


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize(
    "objectives",
    [("quality",), ("quality", "cache"), ("quality", "cache", "parameters", "flops", "prefill@512")],
)
def test_tables_fit(tmp_path: Path, objectives: tuple[str, ...], width: int) -> None:
    book = Book(tmp_path, objectives=objectives)
    others = {"parameters": 54321.0, "flops": 123456789.0, "prefill@512": 0.0123}
    for name in ("convolution-attention hybrid", "Transformer++"):
        book.ok(book.candidate(role="baseline", name=name), 2, quality=2.0, cache=4096.0, **others)
    book.ok(book.candidate(), 2, quality=1.0, cache=1234567.0, **others)
    text = printed(book.summary(), width)
    assert not too_long(text, width)
    for name in objectives:
        assert name in text


def test_figures_that_are_not_finite(tmp_path: Path) -> None:
    assert "infinite" in printed(odd(tmp_path).summary())


def test_no_evaluation_yet(tmp_path: Path) -> None:
    book = Book(tmp_path)
    assert "No front yet" in printed(book.summary("running"))
    text = printed(book.summary("interrupted"))
    assert "No front: the run ended before" in text
    assert "more minutes" in text.replace("\n", " ")
    assert "none yet" in text
    assert math.isnan(book.summary().hypervolume)


def test_all_failed(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.baselines()
    for _ in range(3):
        book.failed(book.candidate(), "memory", "wanted 5 GB")
    book.failed(book.candidate(), "crash", "a worker\nended")
    text = " ".join(printed(book.summary()).split())
    assert "No front: 4 evaluations of candidates failed and none succeeded, mostly with 'memory'" in text
    assert "The last said: a worker ended." in text
    assert "raise the memory limit" in text
