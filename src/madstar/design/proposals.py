"""A round's proposals: asked of workers, looked at anew, chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import MadstarError
from ..genome import Sizes
from . import asking
from .admission import ADMITTED, Admission, admit, choose
from .asking import GENERATOR, PREDICTOR, Asked
from .candidates import GENOME, GRAPH, Candidate, of_dict
from .jobs import Work
from .ledger import Ledger
from .limits import Limits

SETTLING = 120.0
"""Seconds that any work may take beside what it is given."""
_PARENTS = 12

Answers = Callable[[Sequence[Work], str], dict[str, dict[str, Any]]]
"""What a batch of work came to, by name, and what it is called while it runs."""


@dataclass(frozen=True)
class Proposals:
    """Makes proposals for round `number` of a run; `seed` gives one for each thing that is drawn."""

    ledger: Ledger
    limits: Limits
    sizes: Sizes
    number: int
    answers: Answers
    seed: Callable[[int], int]

    def made(self, models: dict[str, Any], seconds: float) -> tuple[list[Admission], dict[str, Any]]:
        """The round's proposals, admitted or not, and what making them came to."""
        settings = self.ledger.settings
        room = self.limits.candidates - self.ledger.trained
        blocks, genomes = asking.split(settings)
        predictor = models.get(PREDICTOR, {}).get("folder")
        free = {kind: asking.free_share(n, settings.free) for kind, n in ((GRAPH, blocks), (GENOME, genomes))}
        share = max(2.0, settings.proposing * seconds)
        if GENERATOR not in models:
            blocks, genomes = 0, blocks + genomes
        pool = settings.pool if predictor else 2
        batch = []
        for kind, wanted in ((GRAPH, blocks), (GENOME, genomes)):
            if wanted:
                most = (wanted - free[kind]) * pool
                asked = Asked(
                    free=free[kind],
                    # Genomes fill the places of blocks that were not found.
                    pool=most if kind == GRAPH else max(most, settings.candidates),
                    seconds=share,
                    seed=self.seed(3 if kind == GRAPH else 4),
                    known=frozenset(each.candidate.key for each in self.ledger.tried.values()),
                    parents=self._parents(),
                )
                payload = {**asked.to_dict(), "predictor": predictor}
                if kind == GRAPH:
                    payload["generator"] = models[GENERATOR]["folder"]
                batch.append(Work(f"{kind}s", f"{kind}s", payload, 3 * share + SETTLING))
        answers = self.answers(batch, "proposing")
        made = {name: self._read(name, answer) for name, answer in answers.items()}
        wanted = sum(free.values())
        chosen_free = asking.sequence([found["free"] for found in made.values()])[:wanted]
        everything = [each for found in made.values() for each in found["pool"]]
        rest = min(settings.candidates, room) - len(chosen_free)
        guided = self._choice(everything, max(0, rest))
        order = asking.sequence([chosen_free, guided])
        return self._admitted(order, room), {name: found["counts"] for name, found in made.items()}

    def _choice(self, pool: Sequence[Candidate], wanted: int) -> list[Candidate]:
        """The best of the pool that are admitted; those that are not are kept, to be told."""
        self.ledger.log.write(
            "pool",
            round=self.number,
            keys=[each.key for each in pool],
            predicted=[None if each.prediction is None else each.prediction.value for each in pool],
        )
        if any(each.prediction is not None for each in pool):
            return choose(pool, wanted)
        # Without a predictor nothing guides: blocks and genomes in turn, as they came.
        kinds = [[each for each in pool if each.kind == kind] for kind in (GRAPH, GENOME)]
        return asking.sequence(kinds)[:wanted]

    def _read(self, name: str, answer: dict[str, Any]) -> dict[str, Any]:
        """A worker's answer as candidates; what is none is left out and counted."""
        found: dict[str, Any] = {"free": [], "pool": [], "counts": {}}
        try:
            found["counts"] = {str(word)[:40]: int(count) for word, count in answer["counts"].items()}
            for part in ("free", "pool"):
                found[part] = [of_dict(each).chosen(False) for each in answer[part]][:10_000]
        except (MadstarError, KeyError, TypeError, ValueError, AttributeError) as error:
            self.ledger.log.write("answer refused", what=name, error=str(error)[:300])
        return found

    def _admitted(self, order: Sequence[Candidate], room: int) -> list[Admission]:
        known = {each.candidate.key for each in self.ledger.tried.values()}
        found: list[Admission] = []
        taken = 0
        for candidate in order:
            looked = admit(candidate, self.ledger.settings, self.sizes, self.limits, known)
            if looked.status == ADMITTED:
                if taken >= room:
                    continue
                known.add(candidate.key)
                taken += 1
            found.append(looked)
        return found

    def _parents(self) -> tuple[tuple[int, str], ...]:
        scored = [
            each
            for each in self.ledger.tried.values()
            if each.score is not None and each.candidate.kind == GENOME
        ]
        scored.sort(key=lambda each: each.score or 0.0)
        return tuple((each.index, each.candidate.text) for each in scored[:_PARENTS])
