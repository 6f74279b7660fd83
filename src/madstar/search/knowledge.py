"""What a strategy knows before its run begins: read once from other archives, and then never changed.

It lies beside the run as JSON, since a resumed run must replay with what the first session knew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ArchiveError, ConfigurationError
from ..whole_files import write_whole
from .settings import SearchSettings
from .strategies.choice import STRATEGIES, find_strategy

FILE_NAME = "knowledge.json"


def learn(settings: SearchSettings, vocabulary_size: int) -> dict[str, Any] | None:
    """What the run's strategy takes from the archives that `settings.knowledge` names; None without any.

    Raises ConfigurationError where the strategy has no use for them, and what reading them raises.
    """
    if not settings.knowledge:
        return None
    read = getattr(find_strategy(settings.strategy), "learn", None) if _foreign(settings.strategy) else None
    if read is None:
        raise ConfigurationError(
            f"strategy '{settings.strategy}' has no use for the knowledge of other archives: "
            "leave --knowledge out, or choose --strategy guided"
        )
    found: dict[str, Any] = read(
        tuple(map(Path, settings.knowledge)), settings, settings.space(vocabulary_size)
    )
    return found


def keep(knowledge: Mapping[str, Any] | None, directory: Path) -> None:
    """Write what was learned into the run's directory; nothing where nothing was."""
    if knowledge is not None:
        directory.mkdir(parents=True, exist_ok=True)
        write_whole(directory / FILE_NAME, (json.dumps(knowledge) + "\n").encode())


def recall(settings: SearchSettings, directory: Path) -> dict[str, Any] | None:
    """What the run's first session knew. Raises ArchiveError where the file is gone or damaged."""
    if not settings.knowledge:
        return None
    path = directory / FILE_NAME
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArchiveError(
            f"{path}, what the run knew of other archives, cannot be read ({type(error).__name__}): "
            "put it back, or begin a new run"
        ) from None
    if not isinstance(found, dict):
        raise ArchiveError(f"{path} does not hold what the run knew: put it back, or begin a new run")
    return found


def _foreign(strategy: str) -> bool:
    return strategy not in STRATEGIES
