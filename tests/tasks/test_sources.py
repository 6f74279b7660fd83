import sys
import types
from pathlib import Path

import pytest

from madstar.errors import DataError
from madstar.tasks.sources import FileSource, Tally, distinct_topics, find_source


def text_of(source, workspace: Path) -> tuple[str, Tally]:
    tally = Tally(source.total_bytes, None)
    return b"".join(part.text for part in source.fragments(tally, workspace)).decode(), tally


def test_a_folder_is_read_through_in_order_without_what_is_hidden(tmp_path, write):
    root = tmp_path / "corpus"
    for name in ("b.txt", "a/z.md", "a/deep/er/y.rst", ".git/config.txt", "c.csv", ".hidden.txt", "d.py"):
        write(root / name, [f"<{name}>"])
    text, tally = text_of(find_source(root, "text"), tmp_path)
    assert text == "<b.txt><d.py><a/z.md><a/deep/er/y.rst>"
    assert tally.files == 4


def test_what_is_not_text_is_passed_over_in_a_folder_but_counted(tmp_path, write):
    root = tmp_path / "corpus"
    write(root / "good.txt", ["good"])
    (root / "image.txt").write_bytes(b"\x89PNG\0\0")
    (root / "latin.md").write_bytes(b"\xe9\xe8")
    (root / "utf16.jsonl").write_bytes('{"text": "x"}'.encode("utf-16"))
    text, tally = text_of(find_source(root, "text"), tmp_path)
    assert text == "good"
    assert tally.skipped == ["image.txt", "latin.md", "utf16.jsonl"]
    (root / "good.txt").unlink()
    with pytest.raises(DataError, match=r"none of its 3 files is UTF-8 text \(first: image.txt\)"):
        text_of(find_source(root, "text"), tmp_path)


def test_places_without_text_are_refused(tmp_path, write):
    with pytest.raises(DataError, match=r"no such file or folder; built-in texts are python-reference"):
        find_source(tmp_path / "missing", "text")
    with pytest.raises(DataError, match=r"no readable files .* accepted are \.txt, .*\.parquet, each also"):
        find_source(tmp_path, "text")
    with pytest.raises(DataError, match=r"this kind of file; accepted are \.txt"):
        find_source(write(tmp_path / "a.csv", ["x"]), "text")
    with pytest.raises(DataError, match="no text was named"):
        find_source("", "text")


def test_an_unreadable_folder_is_refused(tmp_path, write, monkeypatch):
    write(tmp_path / "a.txt", ["x"])

    def walk(root, onerror):
        onerror(PermissionError(13, "Permission denied", str(root)))
        return iter(())

    monkeypatch.setattr("madstar.tasks.sources.os.walk", walk)
    with pytest.raises(DataError, match="folder cannot be read"):
        find_source(tmp_path, "text")


def test_identity_follows_content_not_place(tmp_path, write):
    one, two = (write(tmp_path / name / "a.txt", ["text"]) for name in ("one", "two"))
    import os

    for path in (one, two):
        os.utime(path, ns=(0, 10**9))
    assert find_source(one, "text").identity == find_source(two, "text").identity
    assert find_source(one, "text").identity != find_source(one, "body").identity
    two.write_text("more text")
    assert find_source(one, "text").identity != find_source(two, "text").identity


def test_progress_reaches_the_whole(tmp_path, write):
    for name in ("a.txt", "b.txt", "c.txt.gz"):
        write(tmp_path / "corpus" / name, ["some text\n" * 200_000])
    source = find_source(tmp_path / "corpus", "text")
    told: list[tuple[int, int | None]] = []
    for _ in source.fragments(Tally(source.total_bytes, lambda *at: told.append(at)), tmp_path):
        pass
    assert len(told) >= 4
    assert told == sorted(told)
    assert told[-1] == (source.total_bytes, source.total_bytes)


def test_topics_that_repeat_a_longer_one_are_left_out():
    section = "The first section\n\nSays this.\n\nAnd that."
    chapter = f"The chapter\n\n{section}\n\nAnd much more that only the chapter says, at some length."
    topics = {
        "section": section,
        "chapter": chapter,
        "other": "Something else\n\nSays this.",
        "copy": section,
    }
    assert distinct_topics(topics) == [chapter, topics["other"]]


def test_the_language_reference_is_there():
    source = find_source("python-reference", "text")
    documents = source.documents
    assert sum(map(len, documents)) > 100_000
    assert len(documents) == len(set(documents)) > 20
    assert "language reference" in source.description


def test_a_python_without_its_reference_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(DataError, match="carries no language reference"):
        find_source("python-reference", "text")
    for empty in (
        types.SimpleNamespace(),
        types.SimpleNamespace(topics={}),
        types.SimpleNamespace(topics=[1]),
    ):
        monkeypatch.setitem(sys.modules, "pydoc_data.topics", empty)
        with pytest.raises(DataError, match="carries no language reference"):
            find_source("python-reference", "text")


def test_the_standard_library_leaves_out_what_is_not_it():
    source = find_source("stdlib", "text")
    assert isinstance(source, FileSource)
    inside = {path.relative_to(source.root).as_posix() for path in source.files}
    assert {"argparse.py", "json/decoder.py"} <= inside
    parts = {part for name in inside for part in name.split("/")}
    assert not parts & {"site-packages", "test", "tests", "idlelib", "__pycache__"}
    assert all(name.endswith(".py") for name in inside)


def test_an_installation_without_sources_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "madstar.tasks.sources.sysconfig.get_paths", lambda: {"stdlib": str(tmp_path / "zip")}
    )
    with pytest.raises(DataError):
        find_source("stdlib", "text")
