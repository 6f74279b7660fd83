"""Several trainings side by side, as one program or one by one: one interface, chosen by the machine."""

from __future__ import annotations

from collections.abc import Sequence

from .examples import ExampleTrainer, Progress
from .stacked import Examples, NotStackableError, Scored, StackedTrainer
from .trainer import DivergedError


class SeparateTrainers:
    """Members trained one by one, with a stack's interface; `reason` says why, where a stack was tried."""

    def __init__(self, trainers: Sequence[ExampleTrainer], reason: str = "") -> None:
        self.trainers, self.reason = list(trainers), reason
        self.diverged: dict[int, DivergedError] = {}

    def __len__(self) -> int:
        return len(self.trainers)

    @property
    def step(self) -> int:
        """Steps that those not diverged have done, the least of them."""
        sound = [one.step for place, one in enumerate(self.trainers) if place not in self.diverged]
        return min(sound, default=0)

    def advance_to(self, step: int, progress: Progress | None = None) -> None:
        """As `StackedTrainer.advance_to`."""
        for place, one in enumerate(self.trainers):
            if place in self.diverged:
                continue
            try:
                one.advance_to(step, progress)
            except DivergedError as error:
                self.diverged[place] = error

    def scores(self, examples: Sequence[Examples]) -> list[Scored]:
        """As `StackedTrainer.scores`."""
        found: list[Scored] = []
        for place, (one, pair) in enumerate(zip(self.trainers, examples, strict=True)):
            try:
                found.append(self.diverged[place] if place in self.diverged else one.score(*pair))
            except DivergedError as error:
                found.append(error)
        return found

    def unstack(self) -> list[ExampleTrainer]:
        """As `StackedTrainer.unstack`."""
        return self.trainers


def together(
    trainers: Sequence[ExampleTrainer],
    *,
    stacked: bool | None = None,
    compiled: bool = False,
    captured: bool = True,
) -> StackedTrainer | SeparateTrainers:
    """Members to be trained side by side: as one program on a GPU, one by one on a CPU.

    `stacked` overrides that. Members whose layers cannot be mapped are trained one by one, and the
    `reason` is kept. Raises ConfigurationError for members that do not go together.
    """
    if stacked is None:
        stacked = trainers[0].device.type == "cuda" and len(trainers) > 1
    if not stacked:
        return SeparateTrainers(trainers)
    try:
        return StackedTrainer(trainers, compiled=compiled, captured=captured)
    except NotStackableError as error:
        return SeparateTrainers(trainers, str(error))
