"""What a database says when it fails, said again as one of madstar's own errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError

from madstar.errors import ArchiveError, MadstarError, OutputError

_PRIMARY_CODE = 0xFF  # SQLite's extended codes carry the primary code in their lowest byte


@contextmanager
def told_plainly(where: str) -> Iterator[None]:
    """Turn what the database raises inside the block into an ArchiveError or OutputError about `where`."""
    try:
        yield
    except MadstarError:
        raise
    except DBAPIError as failure:
        raise _from_database(where, failure) from failure
    except sqlite3.Error as failure:
        raise _from_sqlite(where, failure) from failure
    except SQLAlchemyError as failure:
        raise ArchiveError(f"{where}: {_first_line(failure)}") from failure
    except UnicodeEncodeError as failure:
        raise ArchiveError(f"{where}: text that is not valid Unicode cannot be stored: clean it") from failure
    except OverflowError as failure:
        raise ArchiveError(f"{where}: a whole number beyond 64 bits cannot be stored") from failure


@contextmanager
def readable(where: str) -> Iterator[None]:
    """Turn stored JSON that does not parse, or parses to another shape, into an ArchiveError."""
    try:
        yield
    except (ValueError, AttributeError, TypeError, KeyError) as failure:
        # Only someone else's writing into the tables leads here.
        raise ArchiveError(
            f"{where}: a stored value is damaged: restore the archive from a copy"
        ) from failure


def _from_database(where: str, failure: DBAPIError) -> MadstarError:
    original = failure.orig
    if isinstance(original, sqlite3.Error):
        return _from_sqlite(where, original)
    if isinstance(failure, IntegrityError):
        return ArchiveError(f"{where}: the row contradicts rows already there: {_first_line(original)}")
    if isinstance(failure, OperationalError):
        return ArchiveError(
            f"{where}: the database does not answer as it should: check that it runs and that the URL is "
            f"right: {_first_line(original)}"
        )
    return ArchiveError(f"{where}: {_first_line(original)}")


def _from_sqlite(where: str, failure: sqlite3.Error) -> MadstarError:
    match getattr(failure, "sqlite_errorcode", 0) & _PRIMARY_CODE:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return ArchiveError(
                f"{where} is locked by another process: end that process or try again when it is done"
            )
        case sqlite3.SQLITE_FULL:
            return OutputError(f"{where} cannot grow: free some disk space, then resume")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return OutputError(
                f"{where} cannot be written: make it and its directory writable, or choose another place"
            )
        case sqlite3.SQLITE_IOERR:
            return OutputError(
                f"{where} cannot be read or written: check the disk and its room: {_first_line(failure)}"
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return damaged(where)
        case _:
            return ArchiveError(f"{where}: {_first_line(failure)}")


def damaged(where: str) -> ArchiveError:
    """The error for a file that is or was an archive and cannot be trusted any more."""
    return ArchiveError(
        f"{where} is damaged: restore it from a copy, or save what is left with sqlite3's .recover command"
    )


def _first_line(failure: BaseException | None) -> str:
    lines = str(failure).strip().splitlines()
    return lines[0] if lines else type(failure).__name__
