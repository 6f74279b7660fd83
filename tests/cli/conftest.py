from pathlib import Path

import numpy as np
import pytest

from .commands import TINY, FinishedRun, as_process


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
    """A search of three candidates that has run to its end."""
    home = tmp_path_factory.mktemp("finished") / "home"
    arguments = ("search", "--data", str(text), *TINY, "--home", str(home), "--json")
    result = as_process(*arguments)
    assert result.status == 0, result.stderr
    return FinishedRun(home, arguments, result)
