import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from madstar.report import LiveWatcher, PlainWatcher
from madstar.search import Running, Snapshot, Watcher

from .runs import EVIL, Book

TASK: Any = None


def snapshot(book: Book, **fields: Any) -> Snapshot:
    first, second, *_ = book.archive.candidates(book.run.id)
    given: dict[str, Any] = {
        "seconds": 83.0,
        "fraction": 0.37,
        "seconds_left": 141.0,
        "evaluations": 20,
        "candidates": 9,
        "failures": {"diverged": 1, "timeout": 2},
        "running": (Running(first, 1, 13, 20), Running(second, 0, 0, 0)),
        "restarts": 0,
    }
    return Snapshot(**{**given, **fields})


def tell(watcher: Watcher, book: Book, resumed: bool = False) -> None:
    """Everything that has happened."""
    watcher.began(book.run, book.chosen, TASK, resumed)
    by_index = {row.index: row for row in book.archive.candidates(book.run.id)}
    for evaluation in book.archive.evaluations(book.run.id):
        watcher.evaluated(by_index[evaluation.candidate], evaluation)


def screen(book: Book, width: int = 80, height: int = 24, resumed: bool = False, **fields: Any) -> list[str]:
    """The lines that were drawn last."""
    file = io.StringIO()
    watcher = LiveWatcher(Console(file=file, width=width, height=height, force_terminal=True))
    tell(watcher, book, resumed)
    file.seek(file.truncate(0))
    watcher.tick(snapshot(book, **fields))
    drawn = file.getvalue()
    watcher.close()
    watcher.close()
    assert file.getvalue().endswith("\x1b[2K") or "\x1b[?25h" in file.getvalue()
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", drawn).splitlines()


def test_live_shows_how_the_run_stands(book: Book) -> None:
    lines = screen(book)
    text = "\n".join(lines)
    assert lines[0].startswith("by-hand ━")
    assert lines[0].rstrip().endswith("37%  1:23, 2:21 left")
    assert "20 evaluations of 9 candidates; 3 failed (1 diverged, 2 timeout)" in text
    assert "Last failure: #10 timeout: stopped after 600 s <script>" in text
    assert re.search(r"Transformer\+\+ +rung 2/3 +[━╸╺]+ +step +13/20", text)
    assert re.search(r"Transformer\+\+ GQA +rung 1/3 +━+ +preparing", text)
    assert "Front of 3 at rung 3 (40 steps)" in text
    assert re.search(r"#4 +2\.000 ± 0\.020 +2 MiB +54\.32k", text)
    assert re.search(r"recurrence-attention hybrid +3\.000 ± 0\.020 +1 MiB", text)
    assert "#7" not in text


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 12), (40, 10), (20, 8), (200, 60)])
def test_live_fits_the_terminal(book: Book, width: int, height: int) -> None:
    lines = screen(book, width, height)
    assert max(map(len, lines)) <= width
    assert len(lines) <= height
    assert "#4" in "\n".join(lines)


def test_live_shows_twelve_rows_at_most(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.baselines()
    for place in range(30):
        book.ok(book.candidate(), 2, quality=2.0 - place / 100, cache=2.0**18 + place)
    lines = screen(book, height=60)
    heading = next(place for place, line in enumerate(lines) if "Front of 30" in line)
    assert "the first 8" in lines[heading]
    assert len([line for line in lines[heading + 2 :] if line.strip()]) == 12


def test_live_before_anything(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.candidate()
    book.candidate()
    text = "\n".join(screen(book, running=(), seconds_left=None, failures={}, fraction=0.0, evaluations=0))
    assert "no candidate evaluated yet" in text
    assert "left" not in text
    assert "failed" not in text


def test_live_says_that_a_resumed_run_had_more(book: Book) -> None:
    assert "since the run was resumed" in "\n".join(screen(book, resumed=True))


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError("nobody reads this")


@pytest.mark.parametrize("live", [True, False])
def test_a_broken_terminal_does_not_end_a_search(book: Book, live: bool) -> None:
    watcher = LiveWatcher(Console(file=Broken(), force_terminal=True)) if live else PlainWatcher(Broken())
    tell(watcher, book)
    watcher.tick(snapshot(book))
    watcher.close()


def test_watchers_that_were_never_told_of_a_beginning(book: Book) -> None:
    for watcher in (LiveWatcher(Console(file=io.StringIO())), PlainWatcher(io.StringIO())):
        watcher.tick(snapshot(book))
        watcher.evaluated(book.archive.candidates(book.run.id)[0], book.archive.evaluations(book.run.id)[0])
        watcher.close()


def test_plain_lines(book: Book) -> None:
    stream, now = io.StringIO(), [100.0]
    watcher = PlainWatcher(stream, clock=lambda: now[0])
    watcher.began(replace(book.run, seconds=60.0), book.chosen, TASK, True)
    now[0] = 125.0
    candidates, evaluations = book.archive.candidates(book.run.id), book.archive.evaluations(book.run.id)
    watcher.evaluated(candidates[0], evaluations[0])
    watcher.evaluated(candidates[4], next(e for e in evaluations if e.candidate == 4 and e.rung == 2))
    for failed in (e for e in evaluations if e.status != "ok"):
        watcher.evaluated(candidates[failed.candidate], failed)
    assert stream.getvalue().splitlines() == [
        "[   1:25] Transformer++  rung 1/3  10 steps  ok  quality 5.000 ± 0.020  cache@4096 1 MiB",
        "[   1:25] #4  rung 3/3  40 steps  ok  quality 2.000 ± 0.020  cache@4096 2 MiB",
        "[   1:25] #9  rung 1/3  0 steps  diverged at step 3: loss 99",
        f"[   1:25] #10  rung 1/3  0 steps  timeout: stopped after 600 s {EVIL}",
    ]


def test_plain_tells_progress_every_half_minute(book: Book) -> None:
    stream = io.StringIO()
    watcher = PlainWatcher(stream)
    watcher.began(book.run, book.chosen, TASK, False)
    for second in range(0, 70):
        watcher.tick(snapshot(book, seconds=float(second), seconds_left=None if second > 40 else 141.0))
    assert stream.getvalue().splitlines() == [
        "[   0:30] 37% of the budget, 2:21 left, 20 evaluations, 3 failed",
        "[   1:00] 37% of the budget, 20 evaluations, 3 failed",
    ]


def test_plain_on_a_stream_that_knows_ascii_only(book: Book) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    tell(PlainWatcher(stream), book)
    stream.seek(0)
    assert "quality 5.000 ? 0.020" in stream.read()
