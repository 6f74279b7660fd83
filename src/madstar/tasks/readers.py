"""Each file format, streamed: a file becomes fragments of UTF-8, never a whole file in memory.

A fragment carries bytes rather than strings: bytes are what the default tokenisation wants, and
their number is known. Every reader has checked that they are UTF-8 without NUL.
"""

import codecs
import gzip
import io
import json
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from madstar.errors import DataError

TEXT_ENDINGS = (".txt", ".md", ".py", ".rst")
RECORD_ENDINGS = (".jsonl", ".parquet")
ENDINGS = TEXT_ENDINGS + RECORD_ENDINGS
"""File name endings that can be read, each also followed by ".gz"."""

CHUNK_BYTES = 1 << 16
LINE_BYTES = 1 << 26
"""The longest JSON line that is read; a line has to be parsed in one piece."""
_BATCH_ROWS = 64

Position = Callable[[int], None]
"""Told, now and then, how many bytes of the file on disk have been read."""


class Fragment(NamedTuple):
    """A stretch of one document; `last` when the document ends after it."""

    text: bytes
    last: bool


class NotTextError(DataError):
    """A file that is not UTF-8 text: alone it is an error, in a folder it is passed over."""


def ending(path: Path) -> str | None:
    """Return the accepted ending of a file's name, without ".gz", or None if there is none."""
    name = path.name.lower().removesuffix(".gz")
    return next((known for known in ENDINGS if name.endswith(known)), None)


def accepted_endings() -> str:
    """Return the endings for a message to a person."""
    return f"{', '.join(ENDINGS)}, each also with .gz"


def read_file(path: Path, field: str, position: Position, workspace: Path) -> Iterator[Fragment]:
    """Yield the documents of one file as fragments.

    `field` names the JSON field or parquet column; `workspace` is a folder for the one format that
    has to be unpacked before it can be read (.parquet.gz).

    Raises DataError for a file that is corrupt, unreadable, binary or without that field.
    """
    kind = ending(path)
    if kind == ".jsonl":
        yield from _read_jsonl(path, field, position)
    elif kind == ".parquet":
        yield from _read_parquet(path, field, position, workspace)
    elif kind is not None:
        yield from _read_text(path, position)
    else:
        raise DataError(f"{path}: cannot read this kind of file; accepted are {accepted_endings()}")


def check_text(path: Path) -> None:
    """Read a text or JSON lines file to its end; raise NotTextError if it is binary or not UTF-8."""
    for _ in _read_text(path, lambda _: None):
        pass


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Open for reading, unpacked if the name says .gz; yields (content, the file on disk)."""
    try:
        with open(path, "rb") as disk:
            if path.name.lower().endswith(".gz"):
                with gzip.GzipFile(fileobj=disk) as packed, io.BufferedReader(packed, CHUNK_BYTES) as content:
                    yield content, disk
            else:
                yield disk, disk
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: corrupt gzip ({error}); make the file again or leave it out") from error


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn the system's refusal to read `path` into a DataError."""
    try:
        yield
    except PermissionError as error:
        raise DataError(f"{path}: no permission to read it; change its mode or leave it out") from error
    except OSError as error:
        reason = error.strerror or str(error).partition("\n")[0]
        raise DataError(f"{path}: cannot be read ({reason}); check the file") from error


def _read_text(path: Path, position: Position) -> Iterator[Fragment]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with _reading(path), _opened(path) as (content, disk):
        first = True
        while chunk := content.read(CHUNK_BYTES):
            if b"\0" in chunk:
                raise NotTextError(f"{path}: binary data (it has NUL bytes); give UTF-8 text")
            _decode(decoder, chunk, path)
            yield Fragment(chunk.removeprefix(codecs.BOM_UTF8) if first else chunk, last=False)
            first = False
            position(disk.tell())
        _decode(decoder, b"", path)
    yield Fragment(b"", last=True)


def _decode(decoder: codecs.IncrementalDecoder, chunk: bytes, path: Path) -> None:
    try:
        decoder.decode(chunk, final=not chunk)
    except UnicodeDecodeError as error:
        raise NotTextError(f"{path}: not UTF-8 text ({error.reason}); convert it to UTF-8") from error


def _read_jsonl(path: Path, field: str, position: Position) -> Iterator[Fragment]:
    with _reading(path), _opened(path) as (content, disk):
        number = 0
        while line := content.readline(LINE_BYTES + 1):
            number += 1
            if len(line) > LINE_BYTES:
                raise DataError(
                    f"{path}, line {number}: longer than {LINE_BYTES >> 20} MiB; split the record"
                )
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip():
                yield Fragment(_record_text(line, field, f"{path}, line {number}"), last=True)
            position(disk.tell())


def _record_text(line: bytes, field: str, where: str) -> bytes:
    try:
        record = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise NotTextError(f"{where}: not UTF-8 text ({error.reason}); convert it to UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not valid JSON ({error}); mend or remove the line") from error
    if not isinstance(record, dict):
        raise DataError(f"{where}: holds a {type(record).__name__}, not a JSON object with a field {field!r}")
    if field not in record:
        raise DataError(f"{where}: has no field {field!r}; it has {_names(record)}")
    return _checked(record[field], field, where)


def _names(names: object) -> str:
    shown = [repr(str(name)) for name in names]  # type: ignore[attr-defined]
    more = f" and {len(shown) - 10} more" if len(shown) > 10 else ""
    return (", ".join(shown[:10]) + more) or "none"


def _checked(value: object, field: str, where: str) -> bytes:
    """Return a record's text as UTF-8; null counts as empty."""
    if value is None:
        return b""
    if not isinstance(value, str):
        raise DataError(
            f"{where}: {field!r} is a {type(value).__name__}, not text; name a field that holds text"
        )
    try:
        text = value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where}: {field!r} is not valid Unicode ({error.reason}); mend the record"
        ) from error
    if b"\0" in text:
        raise DataError(f"{where}: {field!r} has a NUL character; remove it, NUL marks the end of a document")
    return text


def _read_parquet(path: Path, field: str, position: Position, workspace: Path) -> Iterator[Fragment]:
    size = _size(path)
    if not path.name.lower().endswith(".gz"):
        yield from _read_columns(path, path, field, size, position)
        return
    unpacked = (
        workspace / "unpacked.parquet"
    )  # a parquet file is read from its end: it cannot be streamed packed
    try:
        _unpack(path, unpacked)
        yield from _read_columns(unpacked, path, field, size, position)
    finally:
        unpacked.unlink(missing_ok=True)


def _size(path: Path) -> int:
    with _reading(path):
        return path.stat().st_size


def _unpack(path: Path, target: Path) -> None:
    """Write the content of a .gz; an OSError from here is about `target`, a DataError about `path`."""
    chunks = _chunks(path)
    with open(target, "wb") as out:
        shutil.copyfileobj(_Chunks(chunks), out)


def _chunks(path: Path) -> Iterator[bytes]:
    with _reading(path), _opened(path) as (content, _):
        while chunk := content.read(CHUNK_BYTES):
            yield chunk


class _Chunks:
    """The little of a file that copyfileobj needs, over an iterator of chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def read(self, _size: int = -1) -> bytes:
        return next(self._chunks, b"")


def _read_columns(stored: Path, path: Path, field: str, size: int, position: Position) -> Iterator[Fragment]:
    """Yield one document a row from `stored`; messages and positions speak of `path`."""
    import pyarrow  # here, because it is slow to import and most runs never need it
    from pyarrow import parquet

    row = 0
    try:
        with _reading(path), parquet.ParquetFile(stored, pre_buffer=False, buffer_size=CHUNK_BYTES) as table:
            _check_column(table.schema_arrow, field, path)
            rows = max(1, table.metadata.num_rows)
            for batch in table.iter_batches(_BATCH_ROWS, columns=[field], use_threads=False):
                for value in batch.column(0):
                    row += 1
                    yield Fragment(_checked(value.as_py(), field, f"{path}, row {row}"), last=True)
                position(size * row // rows)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}, row {row}: not UTF-8 text ({error.reason}); convert it to UTF-8") from error
    except pyarrow.ArrowException as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: corrupt parquet after row {row} ({reason}); make the file again") from error


def _check_column(schema: object, field: str, path: Path) -> None:
    from pyarrow import types

    names = schema.names  # type: ignore[attr-defined]
    if field not in names:
        raise DataError(f"{path}: has no column {field!r}; it has {_names(names)}")
    kind = schema.field(field).type  # type: ignore[attr-defined]
    plain = kind.value_type if types.is_dictionary(kind) else kind
    if not (types.is_string(plain) or types.is_large_string(plain) or types.is_null(plain)):
        raise DataError(f"{path}: column {field!r} holds {kind}, not text; name a column that holds text")
