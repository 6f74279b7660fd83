from collections.abc import Iterator
from pathlib import Path

import pytest

from madstar.archive import Archive, RunRow


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "archive.sqlite"


@pytest.fixture
def archive(path: Path) -> Iterator[Archive]:
    with Archive.open(path) as opened:
        yield opened


@pytest.fixture
def run(archive: Archive) -> RunRow:
    return archive.create_run("first", {})
