"""Subjects to measure, and files of user's functions."""

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from madstar.genome import Genome, Sizes
from madstar.objectives import Measurement, Subject

SIZES = Sizes(vocabulary_size=64, width=32, heads=4, window=8)


def subject(genome: str = "11111-91111", sizes: Sizes = SIZES, length: int = 48) -> Subject:
    return Subject(
        Genome.parse(genome),
        sizes,
        length,
        {"bits_per_byte": Measurement(2.5, 0.1), "perplexity": Measurement(9.0)},
    )


@pytest.fixture
def user_file(tmp_path: Path) -> Callable[..., Path]:
    """A Python file of the user's."""

    def write(source: str, name: str = "mine.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(source))
        return path

    return write
