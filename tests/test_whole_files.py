"""Files that are whole or absent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from madstar.errors import OutputError
from madstar.whole_files import whole, write_whole


def test_a_file_is_written_and_replaced_and_its_folder_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / ("long" * 40 + ".json")
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def fail(path: Path, error: type[BaseException]) -> None:
    with whole(path) as partial:
        partial.write_bytes(b"half")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_what_fails_leaves_all_as_it_was(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file"
    write_whole(path, b"before")
    with pytest.raises(OutputError if error is OSError else error):
        fail(path, error)
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["file"]


def test_where_nothing_can_be_written_one_line_says_so(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b"")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "below", tmp_path / "folder"):
        with pytest.raises(OutputError, match="choose another place") as raised:
            write_whole(path, b"x")
        assert "\n" not in str(raised.value)


def test_a_process_that_is_killed_while_it_writes_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"before")
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom madstar.whole_files import whole\n"
        "with whole(Path(sys.argv[1])) as partial:\n"
        "    partial.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"before"
