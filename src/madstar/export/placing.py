"""A directory that appears whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..errors import OutputError


def place(directory: Path, contents: Mapping[str, bytes], known: Collection[str], mark: str) -> Path:
    """Write files by name into a directory, which is renamed into place when all are written.

    A directory that is there already is replaced if it is empty, or an earlier one of the same
    kind: its config.json has a "format" that begins with `mark`, and no file but the `known` is in
    it. Raises OutputError for any other, and where nothing can be written; then nothing has changed.
    Returns the directory with links resolved.
    """
    missing: list[Path] = []
    try:
        directory = directory.resolve()
        _require_free(directory, known, mark)
        missing = [parent for parent in directory.parents if not parent.exists()]
        directory.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as room:
            # A directory inside, for a temporary one itself can be read by its owner only.
            new = Path(room) / "new"
            new.mkdir()
            for name, content in contents.items():
                with (new / name).open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            _exchange(new, directory, Path(room) / "earlier")
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, a name with a null byte
        for parent in missing:
            with suppress(OSError):
                parent.rmdir()
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"cannot write {directory}: {reason}; choose another directory") from error
    return directory


def _require_free(directory: Path, known: Collection[str], mark: str) -> None:
    if not os.path.lexists(directory):
        return
    if not directory.is_dir():
        raise OutputError(f"{directory} is a file: choose another directory for the export")
    names = {path.name for path in directory.iterdir()} - {"__pycache__"}
    if not names:
        return
    if not _format(directory / "config.json").startswith(mark):
        raise OutputError(f"{directory} is not empty and no earlier export: choose another directory")
    if strange := sorted(names - set(known)):
        raise OutputError(
            f"{directory} is an earlier export, but {strange[0]} in it is not: "
            "move that away, or choose another directory"
        )


def _format(path: Path) -> str:
    """What a config.json says of its format; nothing where it is not one."""
    try:
        config: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(config.get("format", "")) if isinstance(config, dict) else ""


def _exchange(new: Path, directory: Path, earlier: Path) -> None:
    """Rename the new directory into place; an earlier one comes back if that fails."""
    if not directory.exists():
        new.rename(directory)
        return
    directory.rename(earlier)
    try:
        new.rename(directory)
    except OSError:
        earlier.rename(directory)
        raise
