import fcntl
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from .commands import TINY, FinishedRun, Result, as_process


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 40 kB of sentences, no two alike, from a vocabulary of a few hundred made-up words."""
    rng = np.random.default_rng([5, 1])

    def chosen(letters: str) -> str:
        return letters[int(rng.integers(len(letters)))]

    words = ["".join(chosen("bdfgklmnprst") + chosen("aeiou") for _ in range(1 + i % 3)) for i in range(500)]
    sentences = [
        " ".join(words[int(rng.integers(len(words)))] for _ in range(int(rng.integers(5, 11)))).capitalize()
        for _ in range(1000)
    ]
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(".\n".join(sentences) + ".\n")
    return path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, text: Path) -> FinishedRun:
    """A search of three candidates that has run to its end.

    Processes that test side by side share one search; each has a copy of its home.
    """
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    searched, told = base / "finished-search" / "home", base / "finished-search.json"
    with (base / "finished-search.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            arguments = ("search", "--data", str(text), *TINY, "--home", str(searched), "--json")
            result = as_process(*arguments)
            assert result.status == 0, result.stderr
            told.write_text(json.dumps([arguments, result.stdout, result.stderr]))
    home = tmp_path_factory.mktemp("finished") / "home"
    shutil.copytree(searched, home)

    def here(said: str) -> str:
        return said.replace(str(searched), str(home))

    arguments, stdout, stderr = json.loads(told.read_text())
    return FinishedRun(home, tuple(map(here, arguments)), Result(0, here(stdout), here(stderr)))
