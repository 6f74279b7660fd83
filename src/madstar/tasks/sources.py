"""Where documents come from: a file, a folder, or text that every Python installation carries."""

import hashlib
import importlib
import json
import os
import platform
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from madstar.errors import DataError
from madstar.tasks.readers import (
    Fragment,
    NotTextError,
    accepted_endings,
    check_text,
    ending,
    read_file,
)

BUILT_IN = ("python-reference", "stdlib")
"""Names of the texts that need no download."""

Progress = Callable[[int, int | None], None]
"""Called with (bytes read, bytes in all or None if unknown)."""

_PROGRESS_BYTES = 1 << 20
_OUTSIDE_STDLIB = frozenset(
    {"site-packages", "dist-packages", "test", "tests", "idlelib", "idle_test", "__pycache__"}
)


class Tally:
    """Counts kept while a source is read: files read, files passed over, and the progress told."""

    def __init__(self, total: int | None, progress: Progress | None) -> None:
        self.files = 0
        self.skipped: list[str] = []
        self._total = total
        self._progress = progress
        self._told = 0

    def at(self, position: int) -> None:
        """Tell the progress once another mebibyte has been read."""
        if self._progress is not None and position >= self._told + _PROGRESS_BYTES:
            self._told = position
            self._progress(position, self._total)

    def finish(self, position: int) -> None:
        """Tell the progress that everything has been read."""
        if self._progress is not None:
            self._progress(position, self._total)


class Source(Protocol):
    """Documents that can be streamed, and enough about them to know them again."""

    @property
    def description(self) -> str:
        """What the text is, in a few words."""

    @property
    def identity(self) -> str:
        """A hash that changes when the text does (for files: their names, sizes and times)."""

    @property
    def total_bytes(self) -> int:
        """The bytes that progress counts up to."""

    def fragments(self, tally: Tally, workspace: Path) -> Iterator[Fragment]:
        """Yield every document in a fixed order."""


def find_source(data: str | Path, field: str) -> Source:
    """Return the source that `data` names.

    Raises DataError for a path that does not exist, and for a folder or file with nothing readable.
    """
    if isinstance(data, str) and data == "python-reference":
        return _python_reference()
    if isinstance(data, str) and data == "stdlib":
        return _standard_library()
    if not str(data):
        raise DataError(f"no text was named; give a file, a folder, or one of {', '.join(BUILT_IN)}")
    path = Path(data).expanduser()
    try:
        if path.is_dir():
            return _folder(path, field)
        if not path.exists():
            raise DataError(f"{path}: no such file or folder; built-in texts are {', '.join(BUILT_IN)}")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); check the path") from error
    if not path.is_file():
        raise DataError(f"{path}: is neither a file nor a folder; give a file of {accepted_endings()}")
    if ending(path) is None:
        raise DataError(f"{path}: cannot read this kind of file; accepted are {accepted_endings()}")
    return FileSource(path.name, path.parent, (path,), field, forgiving=False)


@dataclass(frozen=True)
class FileSource:
    """Files read one after another; when `forgiving`, those that are not text are passed over."""

    description: str
    root: Path
    files: tuple[Path, ...]
    field: str
    forgiving: bool

    @property
    def identity(self) -> str:
        """A hash of the files' names, sizes and times of change, not of where they stand."""
        stats = [(path.relative_to(self.root).as_posix(), _stat(path)) for path in self.files]
        listed = [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]
        return _hash([json.dumps([self.field, listed])])

    @property
    def total_bytes(self) -> int:
        """The sizes of the files on disk, packed where they are packed."""
        return sum(_stat(path).st_size for path in self.files)

    def fragments(self, tally: Tally, workspace: Path) -> Iterator[Fragment]:
        """Yield the documents of every file, in the order of their names.

        Raises DataError as `readers.read_file` does, and if every file had to be passed over.
        """
        before = 0
        for path in self.files:
            size = _stat(path).st_size
            if self.forgiving and not self._is_text(path):
                tally.skipped.append(path.relative_to(self.root).as_posix())
            else:
                tally.files += 1
                yield from read_file(path, self.field, _shifted(tally.at, before), workspace)
            before += size
        tally.finish(before)
        if not tally.files:
            raise DataError(
                f"{self.root}: none of its {len(self.files)} files is UTF-8 text "
                f"(first: {tally.skipped[0]}); convert them to UTF-8"
            )

    def _is_text(self, path: Path) -> bool:
        """Read a file through before its first document is handed on, for then it is too late to skip it."""
        if ending(path) == ".parquet":
            return True
        try:
            check_text(path)
        except NotTextError:
            return False
        return True


@dataclass(frozen=True)
class TextSource:
    """Documents that are already in memory."""

    description: str
    documents: tuple[str, ...]

    @property
    def identity(self) -> str:
        """A hash of the text itself."""
        return _hash(self.documents)

    @property
    def total_bytes(self) -> int:
        """Bytes of UTF-8."""
        return sum(len(text.encode()) for text in self.documents)

    def fragments(self, tally: Tally, workspace: Path) -> Iterator[Fragment]:
        """Yield each document as one fragment."""
        read = 0
        for text in self.documents:
            encoded = text.encode()
            read += len(encoded)
            yield Fragment(encoded, last=True)
            tally.at(read)
        tally.finish(read)


def distinct_topics(topics: dict[str, str]) -> list[str]:
    """Return the topics in the order of their names, less those that repeat a longer one.

    The help system prints a chapter whole and then its sections again, each as a topic. A topic is
    left out when at least half of its text stands, paragraph by paragraph, in longer topics: else
    text held out would stand in the training set under another name.
    """
    seen: set[str] = set()
    kept: list[str] = []
    for name in sorted(topics, key=lambda name: (-len(topics[name]), name)):
        paragraphs = [" ".join(part.split()) for part in topics[name].split("\n\n")]
        repeated = sum(len(part) for part in paragraphs if part in seen)
        if 2 * repeated < sum(map(len, paragraphs)):
            kept.append(name)
            seen.update(paragraphs)
    return [topics[name] for name in sorted(kept)]


def _python_reference() -> TextSource:
    missing = (
        "this Python carries no language reference (pydoc_data.topics); use stdlib or a file of your own"
    )
    try:
        topics = importlib.import_module("pydoc_data.topics").topics
    except (ImportError, AttributeError) as error:
        raise DataError(missing) from error
    if not isinstance(topics, dict) or not all(isinstance(text, str) for text in topics.values()):
        raise DataError(missing)
    documents = distinct_topics(topics)
    if not documents:
        raise DataError(missing)
    version = platform.python_version()
    return TextSource(f"Python {version} language reference, {len(documents)} topics", tuple(documents))


def _standard_library() -> FileSource:
    root = Path(sysconfig.get_paths()["stdlib"])
    files = tuple(path for path in _walk(root, skip=_OUTSIDE_STDLIB) if path.name.endswith(".py"))
    if not files:
        raise DataError(f"{root}: no sources of the standard library here; use python-reference or a file")
    name = f"Python {platform.python_version()} standard library, {len(files)} files"
    return FileSource(name, root, files, "text", forgiving=True)


def _folder(root: Path, field: str) -> FileSource:
    files = tuple(path for path in _walk(root, skip=frozenset()) if ending(path) is not None)
    if not files:
        raise DataError(f"{root}: no readable files in this folder; accepted are {accepted_endings()}")
    return FileSource(f"{root.resolve().name}, {len(files)} files", root, files, field, forgiving=True)


def _walk(root: Path, skip: frozenset[str]) -> Iterator[Path]:
    """Yield the files under `root` in the order of their names; hidden ones are left alone."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: this folder cannot be read ({error.strerror}); change its mode")

    for folder, folders, names in os.walk(root, onerror=refuse):
        folders[:] = sorted(name for name in folders if name not in skip and not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if not name.startswith(".") and path.is_file():
                yield path


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the file") from error


def _shifted(at: Callable[[int], None], before: int) -> Callable[[int], None]:
    return lambda position: at(before + position)


def _hash(parts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()
