"""Running the command line, as a process and within this one, and telling a good refusal."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from madstar.cli import export, genes, report, runs, search, show  # noqa: F401  they register themselves
from madstar.cli.app import app

TINY = (
    *("--length", "32", "--batch", "2", "--width", "16", "--heads", "4", "--depth", "2"),
    *("--rungs", "2,4", "--population", "2", "--candidates", "3", "--workers", "1"),
)
# One thread, as in this process: on models as small as these more only wait for each other.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("MADSTAR_HOME", "COLUMNS")}
ENVIRONMENT["OMP_NUM_THREADS"] = "1"


@dataclass(frozen=True)
class Result:
    """What a command has said, and how it ended."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class FinishedRun:
    """A home with one run in it, the arguments that made it, and what the command said."""

    home: Path
    arguments: tuple[str, ...]
    result: Result

    @property
    def document(self) -> dict[str, Any]:
        document = strict_json(self.result.stdout)
        assert isinstance(document, dict)
        return document

    @property
    def name(self) -> str:
        return str(self.document["run"])

    def copy(self, to: Path) -> Path:
        """The same home at another place, which a test may spoil."""
        shutil.copytree(self.home, to)
        return to


def as_process(*arguments: object, **options: Any) -> Result:
    """The result of `python -m madstar` with these arguments."""
    command = [sys.executable, "-m", "madstar", *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, **{"env": ENVIRONMENT, **options}
    )
    return Result(done.returncode, done.stdout, done.stderr)


def invoke(*arguments: object) -> Result:
    """The same without a process of its own, which takes seconds to start."""
    environment = {"MADSTAR_HOME": None, "COLUMNS": "100"}
    done = CliRunner().invoke(app, [*map(str, arguments)], env=environment)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Result(done.exit_code, done.stdout, done.stderr)


def refusal(result: Result) -> str:
    """The one line that a refused command says."""
    assert result.status == 2, result
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert re.fullmatch(r"madstar: [^\n]+\n", result.stderr), result.stderr
    return result.stderr.removeprefix("madstar: ").strip()


def strict_json(text: str) -> Any:
    """The one JSON document that a text is; nan and infinities are no JSON."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


def contents(directory: Path) -> dict[str, bytes | None] | None:
    """Every file of a directory with its content, every folder; None where there is no directory."""
    if not directory.is_dir():
        return None
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() if path.is_file() else None
        for path in directory.rglob("*")
    }


def words_in(text: str, words: Sequence[str]) -> bool:
    """Whether all words stand in a text."""
    missing = [word for word in words if word not in text]
    assert not missing, f"{missing} not in {text!r}"
    return True
