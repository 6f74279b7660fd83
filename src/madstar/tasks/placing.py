"""A folder that appears whole or not at all: written beside its place, then renamed into it."""

import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from madstar.errors import DataError, OutputError
from madstar.tasks.manifest import MANIFEST_FILE, TOKENIZER_FILE, is_ours
from madstar.tasks.split import SPLITS

_OWN_FILES = frozenset({MANIFEST_FILE, TOKENIZER_FILE, *(f"{name}.bin" for name in SPLITS)})


def check_place(directory: Path) -> None:
    """Raise unless `directory` is free, empty, or an earlier preparation that may be replaced.

    Raises OutputError for a file in its place, and DataError for a folder that holds anything else.
    """
    try:
        if directory.exists() and not directory.is_dir():
            raise OutputError(f"{directory}: is a file; choose another folder for the prepared text")
        names = sorted(path.name for path in directory.iterdir()) if directory.exists() else []
    except OSError as error:
        raise OutputError(
            f"{directory}: {_reason(error)}; choose another folder for the prepared text"
        ) from error
    if names and not is_ours(directory):
        raise DataError(
            f"{directory}: holds files that are not a prepared text ({names[0]}); choose another folder"
        )
    foreign = [name for name in names if name not in _OWN_FILES]
    if foreign:
        raise DataError(f"{directory}: a file {foreign[0]!r} would be lost; move it or choose another folder")


@contextmanager
def new_folder(directory: Path, good: Callable[[], bool]) -> Iterator[Path]:
    """Yield a fresh folder beside `directory`; on leaving it takes that place, on an error it is removed.

    `good` says whether another process has meanwhile put an equal preparation there; that one stays.
    Raises OutputError for every OSError inside, a full disk among them.
    """
    partial = directory.parent / f".{directory.name}.{uuid.uuid4().hex[:12]}.partial"
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        try:
            yield partial
            if not good():
                _replace(partial, directory, good)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"{directory}: {_reason(error)}") from error


def _replace(partial: Path, directory: Path, good: Callable[[], bool]) -> None:
    check_place(directory)
    aside = partial.with_suffix(".old")
    old = directory.exists()
    if old:
        os.rename(directory, aside)
    try:
        os.rename(partial, directory)
    except OSError:
        if not good():  # another process was quicker, and made something else
            if old and not directory.exists():
                os.rename(aside, directory)
            raise
    shutil.rmtree(aside, ignore_errors=True)


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space or choose another folder"
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return "cannot be written to; choose another folder or change its mode"
    return f"cannot be written ({error.strerror or error})"
