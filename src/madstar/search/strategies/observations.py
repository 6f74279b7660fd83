"""What a strategy has observed, in the forms that strategies ask for.

A resumed run hears of all proposals of a generation first and of the results after them, in their
order. So nothing here depends on how proposals and results were interleaved.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ...genome import Genome
from ..ranking import Costs, Standing
from .contract import Event, Proposed


class Observations:
    """Candidates by number: their genomes, and their costs by rung."""

    def __init__(self) -> None:
        self.genomes: dict[int, Genome] = {}
        self.costs: dict[int, dict[int, Costs]] = {}
        self._ended: set[int] = set()
        self._dropped: set[int] = set()
        self._known: set[Genome] = set()
        self._architectures: dict[int, str] = {}

    def observe(self, event: Event) -> None:
        """Take note of a proposal's fate or of a result."""
        if isinstance(event, Proposed):
            if event.genome is None:
                self._dropped.add(event.index)
            else:
                self.genomes[event.index] = event.genome
                self._known.add(event.genome)
        else:
            self._ended.add(event.index)
            if event.costs is not None:
                self.costs.setdefault(event.index, {})[event.rung] = event.costs

    def replay(self, history: Iterable[Event]) -> None:
        """Observe a whole history."""
        for event in history:
            self.observe(event)

    @property
    def measured(self) -> list[int]:
        """Candidates with a result, in the order in which their first results came."""
        return [index for index in self.costs if index in self.genomes]

    @property
    def pending(self) -> list[int]:
        """Candidates that nothing has been heard of since they were accepted, oldest first."""
        return sorted(set(self.genomes) - self._ended)

    @property
    def refused(self) -> int:
        """How many proposals have been dropped since one was accepted."""
        last = max(self.genomes, default=-1)
        return sum(index > last for index in self._dropped)

    def standings(self, among: Collection[int] | None = None) -> list[Standing]:
        """What candidates have shown, in the order of their numbers; all of them, or those named."""
        chosen = self.measured if among is None else among
        return [Standing(index, self.costs[index]) for index in sorted(chosen)]

    def holds(self, genome: Genome) -> bool:
        """Whether this very genome is a candidate. Fast; another genome may express the same."""
        return genome in self._known

    def expresses(self, genome: Genome) -> bool:
        """Whether a candidate has the architecture of this genome."""
        if self.holds(genome):
            return True
        for index in self.genomes.keys() - self._architectures.keys():
            self._architectures[index] = self.genomes[index].architecture
        return genome.architecture in set(self._architectures.values())
