"""Bringing an archive's schema to the revision that this madstar knows.

A new archive runs through the same revisions as an old one, so there is one way to every schema. Each
upgrade is one transaction: it happens whole or not at all.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from madstar.archive.failures import damaged
from madstar.archive.location import APPLICATION_ID, Location, foreign, writing
from madstar.archive.schema import REVISION, VERSION_TABLE, Base
from madstar.errors import ArchiveError, OutputError
from madstar.version import __version__

_SCRIPTS = Path(__file__).parent / "migrations"
_AGAIN = 0.02
"""Seconds until WAL mode is asked for again."""
_UPGRADE_LOCK = 0x4D535441  # any number, the same for all: PostgreSQL's advisory lock


def prepare(engine: Engine, location: Location, create: bool) -> None:
    """Create or upgrade the schema behind `engine`, if it is not at `REVISION` yet.

    A SQLite file is first copied beside itself, as `<name>.bak-<revision>`. Raises ArchiveError where
    there is no archive and `create` is false, where the database is another program's, damaged, or newer
    than this madstar.
    """
    with engine.connect() as connection:
        revision = _revision(connection, location)
        if location.path is not None and revision is not None:
            _check_pages(connection, location)
    if revision == REVISION:
        _settle(engine, location)
        return
    _check_known(revision, location, create)
    with writing(engine).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
        revision = _revision(connection, location)  # another process may have been faster
        if revision != REVISION:
            _check_known(revision, location, create)
            if revision is None and location.is_sqlite:
                connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
            elif revision is not None and location.path is not None:
                back_up(location.path, revision)
            upgrade(connection, REVISION)
    _settle(engine, location)


def upgrade(connection: Connection, revision: str) -> None:
    """Run all revisions up to `revision` within the connection's transaction."""
    # Alembic is loaded only here: an archive that is up to date opens without it.
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    command.upgrade(config, revision)


def known_revisions() -> tuple[str, ...]:
    """All revisions of this madstar, oldest first."""
    from alembic.script import ScriptDirectory

    return tuple(script.revision for script in ScriptDirectory(str(_SCRIPTS)).walk_revisions())[::-1]


def back_up(path: Path, revision: str) -> Path:
    """Copy the SQLite file at `path`, with what its log holds, and return the copy's path.

    An older copy is never overwritten: the new one then gets a number. Raises OutputError.
    """
    copy = path.with_name(f"{path.name}.bak-{revision}")
    number = 1
    while copy.exists():
        number += 1
        copy = path.with_name(f"{path.name}.bak-{revision}-{number}")
    partial = copy.with_name(copy.name + ".partial")
    try:
        partial.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(partial)) as target:
            source.backup(target)
        os.replace(partial, copy)
    except (OSError, sqlite3.Error) as failure:
        raise OutputError(
            f"the archive {path} must be upgraded, but no copy of it could be written to {copy}: make room "
            f"there: {failure}"
        ) from failure
    return copy


def _revision(connection: Connection, location: Location) -> str | None:
    """The schema's revision, or None for no schema at all. Raises ArchiveError for a foreign database."""
    tables = set(inspect(connection).get_table_names())
    if VERSION_TABLE not in tables:
        # A server's database may well be shared with others, but not the names of our tables.
        if tables & Base.metadata.tables.keys() or (tables and location.is_sqlite):
            raise foreign(location)
        return None
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars().all()
    if len(found) != 1:
        raise damaged(str(location))
    return str(found[0])


def _check_known(revision: str | None, location: Location, create: bool) -> None:
    if revision is None:
        if not create:
            raise ArchiveError(f"{location} does not exist: check the name, or start a search to create it")
    elif revision not in known_revisions():
        raise ArchiveError(
            f"{location} has schema revision {revision!r}, but madstar {__version__} knows revisions up to "
            f"{REVISION!r}: upgrade madstar"
        )


def _check_pages(connection: Connection, location: Location) -> None:
    """Read every page once, so that damage is found now and not in the middle of a search."""
    if connection.exec_driver_sql("PRAGMA quick_check(1)").scalars().all() != ["ok"]:
        raise damaged(str(location))


def _settle(engine: Engine, location: Location) -> None:
    """Let readers and a writer work at once (WAL mode, which the file remembers), and mark the file as ours.

    Only after the schema is there: as a file enters WAL mode after its first transaction, its header
    always tells whose it is.
    """
    if location.path is None:
        return
    with closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        (patience,) = cursor.execute("PRAGMA busy_timeout").fetchone()
        until = time.monotonic() + patience / 1000
        while cursor.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            try:
                # The mark is lost where an SQL dump was restored.
                cursor.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                cursor.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as failure:
                # SQLite does not wait for others here, who may be opening the same new archive.
                if failure.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
                time.sleep(_AGAIN)
