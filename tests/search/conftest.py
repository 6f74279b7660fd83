from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

WORDS = [
    *("the", "a", "of", "in", "and", "model", "layer", "token", "state", "reads", "writes", "keeps", "drops"),
    *("mixes", "first", "second", "long", "short", "sequence", "channel", "head", "value", "key", "query"),
    *("gate", "window", "cache", "rate", "seed", "run"),
]


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty kilobytes of sentences with enough structure to be learned from."""
    rng = np.random.default_rng(7)
    lines = []
    for _ in range(900):
        words = rng.choice(WORDS, size=int(rng.integers(5, 12)))
        lines.append(" ".join(words).capitalize() + ".")
    path = tmp_path_factory.mktemp("text") / "corpus.txt"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="session")
def tiny(text: Path) -> dict:
    """Settings of a search of a few seconds."""
    return {
        "data": str(text),
        "width": 16,
        "heads": 4,
        "min_depth": 2,
        "max_depth": 2,
        "population": 3,
        "elitism": 1,
        "rungs": ("2", "4"),
        "training": {"length": 32, "batch": 2, "warmup": 2, "validation_windows": 8},
        "workers": 1,
    }
