"""The texts of a home: each prepared once, for all runs there that read it in the same way."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from madstar.errors import DataError
from madstar.tasks.prepare import prepare_text
from madstar.tasks.text import TextTask

DATA_NAME = "data"
"""The folder of a home in which prepared texts lie."""


@dataclass(frozen=True)
class HomeText:
    """A text as runs of one home read it; its parts are those of `prepare_text`."""

    data: str
    tokenizer: str | None
    length: int
    seed: int
    field: str

    def directory(self, home: Path) -> Path:
        """Where it lies prepared: a folder for each source, tokenizer, length and split."""
        parts = [self.data, self.tokenizer, self.length, self.seed, self.field]
        return home / DATA_NAME / hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]

    def prepare(self, home: Path) -> TextTask:
        """Prepare it, or find that this was done. Raises the errors of `prepare_text`."""
        return prepare_text(
            self.data,
            directory=self.directory(home),
            tokenizer=self.tokenizer,
            length=self.length,
            seed=self.seed,
            field=self.field,
        )

    def reopen(self, home: Path) -> TextTask:
        """As it was prepared before; from its source only where that is gone."""
        try:
            return TextTask.open(self.directory(home))
        except DataError:
            return self.prepare(home)
