"""Texts of a home."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from madstar.errors import DataError
from madstar.tasks import DATA_NAME, HomeText


def test_prepared_once_and_reopened_without_its_source(tmp_path: Path) -> None:
    """What reads a text alike finds one folder; what reads it otherwise has its own."""
    source = tmp_path / "a.txt"
    source.write_text(
        "\n".join(f"line {number} of a text, with {number**2} at its end" for number in range(900))
    )
    text = HomeText(str(source), None, 32, 0, "text")
    first = text.prepare(tmp_path)
    assert text.directory(tmp_path).parent == tmp_path / DATA_NAME
    assert replace(text, seed=1).directory(tmp_path) != text.directory(tmp_path)
    source.unlink()
    assert text.reopen(tmp_path).fingerprint == first.fingerprint
    with pytest.raises(DataError):
        replace(text, length=64).reopen(tmp_path)
