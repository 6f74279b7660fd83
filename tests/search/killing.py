"""A search in a process that kills itself at a given row: a SIGKILL that no clock can make miss."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

SCRIPT = """
import json, os, signal, sys
import madstar

home, rows, settings = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])


class Killer:
    seen = 0

    def began(self, *rest): pass

    def tick(self, snapshot): pass

    def evaluated(self, candidate, evaluation):
        self.seen += 1
        if self.seen == rows:
            os.kill(os.getpid(), signal.SIGKILL)


if settings:
    madstar.search(**settings, home=home, name="run", watcher=Killer())
else:
    madstar.resume("run", home=home, watcher=Killer())
"""


def search_until_killed(home: Path, rows: int, settings: dict[str, Any] | None = None) -> None:
    """Begin the run "run", or go on with it if no settings are given; killed once it has `rows` more rows."""
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), str(home), str(rows), json.dumps(settings)],
        check=False,
        capture_output=True,
        timeout=300,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()[-2000:]
