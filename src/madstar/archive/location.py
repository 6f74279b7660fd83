"""Where an archive lives, whether a file there may be touched, and how connections to it behave.

A file is looked at byte by byte before SQLite may open it, because merely opening another program's
database can write to it. But not while this process has it open: closing any descriptor of a file drops
all locks that the process has on it (POSIX), and with them SQLite's. Another process that then closes
the archive takes itself for the last, and removes the write-ahead log with what is being written.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, StaticPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from madstar.archive.failures import damaged
from madstar.archive.schema import VERSION_TABLE
from madstar.errors import ArchiveError, OutputError

APPLICATION_ID = 0x4D535441  # "MSTA", in the header of every SQLite archive
_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\x00"
_APPLICATION_ID_AT = slice(68, 72)


@dataclass(frozen=True)
class Location:
    """A database `url`, and the `path` of its file where it is an SQLite file."""

    url: URL
    path: Path | None

    @classmethod
    def parse(cls, location: str | Path) -> Location:
        """Read a file path or an SQLAlchemy URL. Raises ArchiveError for a URL that cannot be read."""
        if isinstance(location, Path) or "://" not in location:
            return cls._of_path(Path(location), str(location))
        try:
            url = make_url(location)
        except (ArgumentError, ValueError) as failure:
            raise ArchiveError(
                "the archive's URL cannot be read: write it as postgresql+psycopg://user@host/database"
            ) from failure
        if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
            return cls(url, None)
        if url.query:
            raise ArchiveError(f"the archive {url}: SQLite files take no options: write the file's path")
        return cls._of_path(Path(str(url.database)), str(url))

    @classmethod
    def _of_path(cls, path: Path, shown: str) -> Location:
        if not path.name or "\x00" in shown:
            raise ArchiveError(f"the archive {shown!r} is not a file's path: write one, like archive.sqlite")
        return cls(URL.create("sqlite", database=str(path.absolute())), path)

    @property
    def is_sqlite(self) -> bool:
        """Whether SQLite holds the archive, in a file or in memory."""
        return self.url.get_backend_name() == "sqlite"

    def __str__(self) -> str:
        """The path or the URL without its password, as errors name it."""
        return f"the archive {self.path or self.url.render_as_string(hide_password=True)}"


class _Held:
    """Files that this process has open as archives, by device and inode, as POSIX locks count them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count: Counter[tuple[int, int]] = Counter()

    def __contains__(self, path: Path) -> bool:
        with self._lock:
            return self._count[_identity(path)] > 0

    def add(self, path: Path) -> tuple[int, int]:
        """Note that it is open; returns what `remove` is to be told."""
        key = _identity(path)
        with self._lock:
            self._count[key] += 1
        return key

    def remove(self, key: tuple[int, int]) -> None:
        """Note that it has been closed."""
        with self._lock:
            self._count[key] -= 1


held = _Held()


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def check_file(location: Location, path: Path, create: bool) -> None:
    """Make sure that `path` is an archive or, if `create`, may become one; make its directory if so.

    Raises ArchiveError for a missing, foreign or damaged file, OutputError for an impossible place. No
    file that is not an archive is written to.
    """
    try:
        if path.is_dir():
            raise ArchiveError(
                f"{location} is a directory: name a file in it, like {path / 'archive.sqlite'}"
            )
        if path.exists() and path in held:
            return
        if path.exists() and path.stat().st_size > 0:
            with path.open("rb") as file:
                header = file.read(_HEADER_BYTES)
            _check_header(location, path, header)
        elif not create:
            raise ArchiveError(f"{location} does not exist: check the path, or start a search to create it")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise OutputError(
            f"{location} cannot be reached or created: choose another place: {failure.strerror}"
        ) from failure


def _check_header(location: Location, path: Path, header: bytes) -> None:
    if not header.startswith(_MAGIC):
        raise ArchiveError(f"{location} is not an SQLite file, or is damaged: name another, or restore it")
    if len(header) < _HEADER_BYTES:
        raise damaged(str(location))
    if int.from_bytes(header[_APPLICATION_ID_AT], "big") != APPLICATION_ID and not _has_our_tables(path):
        raise foreign(location)


def _has_our_tables(path: Path) -> bool:
    """Whether a file without our mark is an archive all the same, say one restored from an SQL dump."""
    # "immutable" makes SQLite take no locks and create no files beside this one.
    uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            found = connection.execute(
                "SELECT 1 FROM sqlite_master WHERE name = ?", (VERSION_TABLE,)
            ).fetchone()
    except sqlite3.Error:
        return False
    return found is not None


def foreign(location: Location) -> ArchiveError:
    """The error for another program's database."""
    return ArchiveError(f"{location} is another program's database: it was left as it is; name another place")


def connect(location: Location, busy_seconds: float) -> Engine:
    """An engine for `location`; nothing is opened yet.

    On SQLite a transaction of `writing(engine)` takes the write lock when it begins, waiting for it up to
    `busy_seconds`, so that it can never fail half way for having read too early; others only read, from
    one consistent snapshot. Raises ArchiveError for an unknown dialect or a missing driver.
    """
    options: dict[str, Any] = {}
    if location.is_sqlite:
        options["connect_args"] = {"timeout": busy_seconds}
        if location.path is None:  # in memory: all threads must share the one connection that holds it
            options["connect_args"]["check_same_thread"] = False
            options["poolclass"] = StaticPool
    else:
        options["pool_pre_ping"] = True
    try:
        engine = create_engine(location.url, **options)
    except ModuleNotFoundError as failure:
        raise ArchiveError(
            f"{location} needs the Python package {failure.name}: install it, or name another driver in the "
            "URL, as in postgresql+psycopg://"
        ) from failure
    except ArgumentError as failure:
        raise ArchiveError(
            f"{location}: no such kind of database: name a file or a postgresql:// URL"
        ) from failure
    if location.is_sqlite:
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", _on_begin)
    return engine


def writing(engine: Engine) -> Engine:
    """The same engine, whose transactions may write."""
    return engine.execution_options(madstar_writes=True)


def _on_connect(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # transactions begin where _on_begin says, not where sqlite3 guesses
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")


def _on_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("madstar_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
