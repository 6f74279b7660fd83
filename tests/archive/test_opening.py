"""Places that are not archives, or cannot be: one line each, and nothing of another's is touched."""

import shutil
import sqlite3
import sys
import threading
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import text

from madstar.archive import Archive
from madstar.archive.location import Location
from madstar.errors import ArchiveError, MadstarError, OutputError


def refusal(location: str | Path, kind: type[MadstarError] = ArchiveError, create: bool = True) -> str:
    with pytest.raises(kind) as caught:
        Archive.open(location, create=create)
    assert type(caught.value) is kind
    message = str(caught.value)
    assert "\n" not in message
    return message


def fill(path: Path, candidates: int = 40) -> None:
    with Archive.open(path) as archive:
        run = archive.create_run("first", {})
        for index in range(candidates):
            archive.add_candidate(
                run.id, index=index, genome="g" * 500, architecture=f"{index:x}", operator="random"
            )


def test_directories_are_made(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "with space %41" / "archive.sqlite"
    with Archive.open(place) as archive:
        archive.create_run("first", {})
    with Archive.open(f"sqlite:///{quote(str(place))}", create=False) as archive:
        assert archive.run("first").name == "first"


def test_a_relative_place_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with Archive.open("archive.sqlite") as archive:
        archive._engine.dispose()
        monkeypatch.chdir(tmp_path / "elsewhere")
        archive.create_run("first", {})
    assert not any((tmp_path / "elsewhere").iterdir())


def test_without_create_nothing_is_made(tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "archive.sqlite"
    assert f"{missing} does not exist" in refusal(missing, create=False)
    assert not missing.parent.exists()
    empty = tmp_path / "empty.sqlite"
    empty.touch()
    assert "does not exist" in refusal(empty, create=False)
    assert empty.stat().st_size == 0
    assert "does not exist" in refusal("sqlite://", create=False)


def test_an_empty_file_becomes_an_archive(path: Path) -> None:
    path.touch()
    with Archive.open(path) as archive:
        assert archive.runs() == ()


def test_wal_keys_and_durability_are_on(path: Path) -> None:
    with Archive.open(path) as archive, archive._engine.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_random_bytes_are_no_archive(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 40)
    assert "not an SQLite file, or is damaged" in refusal(path)
    assert path.read_bytes() == bytes(range(256)) * 40


@pytest.mark.parametrize("kept", [20, 3000, 4096, 30_000])
def test_a_truncated_archive_is_damaged(path: Path, kept: int) -> None:
    fill(path)
    assert path.stat().st_size > 40_000
    with path.open("r+b") as file:
        file.truncate(kept)
    assert "is damaged: restore it from a copy" in refusal(path)


def test_overwritten_pages_are_damage(path: Path) -> None:
    fill(path)
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 20_000)
    assert "is damaged" in refusal(path)


def test_damage_that_appears_later_is_named(path: Path) -> None:
    fill(path)
    with Archive.open(path) as archive:
        with archive._writer.begin() as connection:
            connection.execute(text("""UPDATE candidates SET "values" = '[1' WHERE candidate = 3"""))
        with pytest.raises(ArchiveError, match="a stored value is damaged"):
            archive.candidates(1)
        with archive._writer.begin() as connection:
            connection.execute(text("""UPDATE candidates SET "values" = '[1]' WHERE candidate = 3"""))
        with pytest.raises(ArchiveError, match="a stored value is damaged"):
            archive.candidates(1)


def test_another_programs_database_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE runs (id INTEGER PRIMARY KEY, distance REAL)")
        connection.execute("INSERT INTO runs (distance) VALUES (42.2)")
        connection.commit()
    before, age = path.read_bytes(), path.stat().st_mtime_ns
    for create in (True, False):
        assert "another program's database: it was left as it is" in refusal(path, create=create)
    assert path.read_bytes() == before
    assert path.stat().st_mtime_ns == age
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_another_programs_unfinished_log_is_left_alone(path: Path, tmp_path: Path) -> None:
    # SQLite would fold the log into the file if it only opened it.
    with closing(sqlite3.connect(tmp_path / "busy.sqlite")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE songs (title TEXT)")
        shutil.copy(tmp_path / "busy.sqlite", path)
        shutil.copy(tmp_path / "busy.sqlite-wal", tmp_path / "archive.sqlite-wal")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert len(before["archive.sqlite-wal"]) > 4096
    assert "another program's database" in refusal(path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_who_reads_a_new_archive_is_waited_for(path: Path) -> None:
    """Another process may have the archive open as it is to become one for many."""
    fill(path)
    reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    reader.execute("PRAGMA journal_mode = DELETE")  # as it is between its schema and its first use
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM runs").fetchall()
    threading.Timer(0.5, reader.close).start()
    with Archive.open(path) as archive, archive._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_who_reads_a_new_archive_for_long_is_named(path: Path) -> None:
    fill(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("PRAGMA journal_mode = DELETE")
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM runs").fetchall()
        with pytest.raises(ArchiveError, match="is locked by another process"):
            Archive.open(path, busy_seconds=0.2)


def test_an_archive_restored_from_an_sql_dump_is_known(path: Path, tmp_path: Path) -> None:
    fill(path, candidates=2)
    restored = tmp_path / "restored.sqlite"
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(restored)) as target:
        target.executescript("\n".join(source.iterdump()))
    for _ in range(2):
        with Archive.open(restored, create=False) as archive:
            assert len(archive.candidates(1)) == 2


def test_a_copied_archive_is_an_archive(path: Path, tmp_path: Path) -> None:
    fill(path, candidates=2)
    shutil.copy(path, tmp_path / "copy.sqlite")
    with Archive.open(tmp_path / "copy.sqlite", create=False) as archive:
        assert archive.run("latest").name == "first"


def test_a_lost_revision_is_damage(path: Path) -> None:
    fill(path, candidates=1)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM madstar_version")
        connection.commit()
    assert "is damaged" in refusal(path)


def test_impossible_places(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    assert "choose another place" in refusal(tmp_path / "file" / "archive.sqlite", OutputError)
    assert "choose another place" in refusal(tmp_path / ("x" * 300), OutputError)
    assert "is a directory: name a file in it" in refusal(tmp_path)
    assert "not a file's path" in refusal("")
    assert "not a file's path" in refusal("a\x00b")


def test_urls_that_lead_nowhere() -> None:
    assert "no such kind of database" in refusal("nosuchdatabase://host/name")
    assert "URL cannot be read" in refusal("postgresql://host:port/name")
    assert "take no options" in refusal("sqlite:///file.sqlite?mode=ro")


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    message = refusal("postgresql+psycopg2://user:secret@host/name")
    assert "needs the Python package psycopg2: install it" in message
    assert "secret" not in message


def test_messages_hide_passwords() -> None:
    place = str(Location.parse("postgresql+psycopg://user:secret@host/name"))
    assert "secret" not in place
    assert "user:***@host/name" in place


def test_a_locked_archive_says_so_and_recovers(path: Path) -> None:
    with Archive.open(path, busy_seconds=0.05) as archive, closing(sqlite3.connect(path)) as other:
        run = archive.create_run("first", {})
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ArchiveError, match="is locked by another process"):
            archive.create_run("second", {})
        assert archive.runs() == (run,)  # readers do not wait
        other.rollback()
        archive.create_run("second", {})


def test_a_locked_archive_cannot_be_created(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ArchiveError, match="is locked by another process"):
            Archive.open(path, busy_seconds=0.05)


def test_a_full_disk_says_so_and_loses_nothing(path: Path) -> None:
    with Archive.open(path) as archive:
        run = archive.create_run("first", {})
        kept = archive.add_candidate(run.id, index=0, genome="g", architecture="aa", operator="random")
        with archive._engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(OutputError, match="cannot grow: free some disk space"):
            archive.add_candidate(run.id, index=1, genome="g" * 10**6, architecture="", operator="random")
        assert archive.candidates(run.id) == (kept,)


def test_a_read_only_archive_says_so(path: Path) -> None:
    with Archive.open(path) as archive:
        with archive._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA query_only = ON")
        with pytest.raises(OutputError, match="cannot be written"):
            archive.create_run("first", {})
        assert archive.runs() == ()
