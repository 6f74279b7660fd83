"""Files that are whole or absent: written under another name, which becomes their own at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import OutputError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; what is there at the end becomes `path`, and replaces it.

    The folder is made. If writing fails, `path` is as it was and nothing else is left. Raises OutputError
    where the system refuses.
    """
    partial = path.with_name(f".{path.name[:40]}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another place") from None
    finally:
        with suppress(OSError):  # its folder is none, or may not be written: nothing is there to remove
            partial.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is whole or absent; see `whole`."""
    with whole(path) as partial:
        partial.write_bytes(data)
