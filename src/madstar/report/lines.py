"""Lines to a stream that may go away: training must not end because it could not be told of."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

PROGRESS_SECONDS = 30.0
"""Between two lines on progress."""


class Lines:
    """Writes lines to a stream as far as its encoding goes. Where that fails, it falls silent."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._broken = stream, False

    def say(self, line: Callable[[], str]) -> None:
        """Write one line, made only if it can still be written."""
        if self._broken:
            return
        try:
            encoding = getattr(self._stream, "encoding", None) or "utf-8"
            self._stream.write(line().encode(encoding, "replace").decode(encoding) + "\n")
            self._stream.flush()
        except Exception:
            self._broken = True
