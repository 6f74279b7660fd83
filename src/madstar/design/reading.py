"""A design run as it stands in the archive, for who looks at it; nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..archive import Archive, CandidateRow
from .asking import QUALITY
from .ledger import KIND
from .limits import Limits
from .loop import REASONS
from .session import ARCHIVE_NAME, read_config
from .settings import DesignSettings

GUIDED = " guided"
"""What the origin of a proposal ends with that a model had a part in."""


@dataclass(frozen=True)
class Proposed:
    """A proposal: its round, where it came from, what was predicted of it, what became of it.

    `score` is in bits per byte on validation windows; None where it was not trained, or failed.
    """

    index: int
    round: int
    genome: str
    origin: str
    guided: bool
    block: bool
    parameters: int | None
    predicted: float | None
    low: float | None
    high: float | None
    score: float | None
    status: str
    reason: str

    @property
    def group(self) -> str:
        """ "block, guided", "genome, unguided"."""
        return f"{'block' if self.block else 'genome'}, {'guided' if self.guided else 'unguided'}"


@dataclass(frozen=True)
class DesignRun:
    """A run: why it stopped, None while it goes on; its rounds, without proposals; all proposals."""

    name: str
    directory: Path
    version: str
    status: str
    reason: str | None
    settings: DesignSettings
    limits: Limits
    task: str
    rounds: tuple[dict[str, Any], ...]
    proposals: tuple[Proposed, ...]
    agreement: dict[str, Any]
    tested: dict[int, float]
    held: dict[str, dict[str, bool]]
    seconds: float

    @property
    def best(self) -> Proposed | None:
        """The proposal with the best score."""
        scored = [each for each in self.proposals if each.score is not None]
        return min(scored, key=lambda each: (each.score, each.index), default=None)

    @property
    def stopped(self) -> str:
        """Why it stopped, in words."""
        if self.reason is None:
            return "it goes on, or was interrupted"
        return REASONS[self.reason].format(patience=self.settings.patience)

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        best = self.best
        return {
            "run": self.name,
            "status": self.status,
            "reason": self.reason,
            "directory": str(self.directory),
            "rounds": list(self.rounds),
            "best": None if best is None else {**vars(best), "test": self.tested.get(best.index)},
            "agreement": self.agreement,
            "seconds": self.seconds,
            "settings": self.settings.model_dump(mode="json"),
            "limits": self.limits.to_dict(),
            "held": self.held,
        }


def read(name: str = "latest", home: str | Path = "runs") -> DesignRun:
    """A run by its name. Raises ArchiveError where there is none, or another version began it."""
    home = Path(home)
    with Archive.open(home / ARCHIVE_NAME, create=False) as archive:
        row = archive.run(name, kind=KIND)
        settings, limits = read_config(row)
        scores = {each.candidate: each for each in archive.evaluations(row.id) if each.stage == "search"}
        proposals = []
        for candidate in archive.candidates(row.id):
            trained = scores.get(candidate.index)
            score = None if trained is None or trained.status != "ok" else trained.values.get(QUALITY)
            status = candidate.status if trained is None else trained.status
            reason = candidate.reason if trained is None else trained.error
            proposals.append(_proposed(candidate, score, status, reason or ""))
    config = row.config
    reason = config.get("stopped")
    return DesignRun(
        name=row.name,
        directory=home / row.name,
        version=row.version,
        status=row.status,
        reason=reason if reason in REASONS else None,
        settings=settings,
        limits=limits,
        task=str(config["task"]["description"]),
        rounds=tuple(config.get("rounds", ())),
        proposals=tuple(proposals),
        agreement=config.get("agreement", {"tau": None, "n": 0}),
        tested={int(index): float(score) for index, score in config.get("tested", {}).items()},
        held={"loop": config.get("held", {}), "workers": config.get("workers_held", {})},
        seconds=row.seconds,
    )


def _proposed(row: CandidateRow, score: float | None, status: str, reason: str) -> Proposed:
    values, guided = row.values, row.operator.endswith(GUIDED)
    parameters = values.get("parameters")
    return Proposed(
        index=row.index,
        round=row.generation,
        genome=row.genome,
        origin=row.operator.removesuffix(GUIDED),
        guided=guided,
        block=row.genome.startswith("graph:"),
        parameters=None if parameters is None else int(parameters),
        predicted=values.get("predicted"),
        low=values.get("low"),
        high=values.get("high"),
        score=score,
        status=status,
        reason=reason,
    )
