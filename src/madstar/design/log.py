"""The run's log: a line of JSON for all that is proposed, trained, fitted, decided; lines are only added."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import OutputError

LOG = "log.jsonl"


class Log:
    """Appends lines to a file; each is on disk before `write` returns.

    A line that a killed process left half written is ended, so that what follows can be read. Raises
    OutputError where the file cannot be written.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            size = os.fstat(self._descriptor).st_size
            if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
                os.write(self._descriptor, b"\n")
        except OSError as error:
            raise OutputError(f"cannot write {file}: {error.strerror or error}") from None

    def write(self, event: str, **facts: Any) -> None:
        """Add one line: when, what, and facts of it. Raises OutputError."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = json.dumps({"at": now, "event": event, **plain(facts)}, allow_nan=False)
        try:
            os.write(self._descriptor, line.encode() + b"\n")
            os.fsync(self._descriptor)
        except OSError as error:
            raise OutputError(f"cannot write {self._file}: {error.strerror or error}") from None

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


def plain(data: Any) -> Any:
    """JSON data without nan and infinities, which become null."""
    if isinstance(data, dict):
        return {str(key): plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [plain(value) for value in data]
    if isinstance(data, float) and not math.isfinite(data):
        return None
    return data


def read_log(file: Path) -> Iterator[dict[str, Any]]:
    """The lines that are whole."""
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found
