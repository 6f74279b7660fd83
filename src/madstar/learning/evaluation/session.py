"""All learners over all tasks and splits, in one go; rows that are there already are not done again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import ConfigurationError
from ..baselines.catalogue import learners
from ..baselines.learner import Learner
from ..baselines.networks.learner import ENCODERS, Network, Trained
from ..datasets.examples import TASKS
from ..predictor.learner import GraphProcess
from ..pretraining.settings import TrainingSettings
from ..transformer.config import find_size
from .rows import add_row, name_of, read_rows
from .running import Corpus, Division, key, tasks_with_examples, tried
from .table import MODEL


@dataclass(frozen=True)
class Wanted:
    """What is evaluated.

    Args:
        tasks: Of `datasets.examples.TASKS`.
        split: The name of the split; `split_seeds` are drawn.
        seeds: Of learning, on each split.
        learners: These alone, by name; all if there are none.
        networks: Whether networks are trained too, the graph transformer among them.
        settings: The budget of networks.
        size: How large they are, a name of `transformer.config.SIZES`.
        device: Where networks are trained.
        file: Rows are kept there and read from there.
    """

    tasks: tuple[str, ...] = TASKS
    split: str = "family"
    split_seeds: tuple[int, ...] = (0,)
    seeds: tuple[int, ...] = (0,)
    learners: tuple[str, ...] = ()
    networks: bool = False
    settings: TrainingSettings = field(default_factory=TrainingSettings)
    size: str = "base"
    device: str = "cpu"
    file: Path | None = None

    def __post_init__(self) -> None:
        if unknown := [task for task in self.tasks if task not in TASKS]:
            raise ConfigurationError(f"there is no task {unknown[0]!r}; the tasks are {', '.join(TASKS)}")
        if not self.split_seeds or not self.seeds:
            raise ConfigurationError("no seeds: give at least one split seed and one seed")
        find_size(self.size)
        names = [learner.name for task in TASKS for learner in learners(task)]
        names += [GraphProcess.name, *ENCODERS]
        if unknown := [name for name in self.learners if name not in names]:
            raise ConfigurationError(
                f"there is no learner {unknown[0]!r}; learners are {', '.join(dict.fromkeys(names))}"
            )


@dataclass(frozen=True)
class Step:
    """What is being done: a learner on a task of a split; of a training, steps done, in all, seconds left."""

    split_seed: int
    task: str
    learner: str
    done: int = 0
    total: int = 0
    seconds_left: float | None = None


OnStep = Callable[[Step], None]
OnRow = Callable[[dict[str, Any]], None]


def evaluate(
    corpus: Corpus,
    wanted: Wanted,
    trained: tuple[Trained, int] | None = None,
    on_step: OnStep | None = None,
    on_row: OnRow | None = None,
) -> list[dict[str, Any]]:
    """The rows of all that is wanted, those that were there first among them.

    Args:
        corpus: What is evaluated on.
        wanted: Which learners, tasks, splits and seeds.
        trained: A graph transformer and the split seed it was trained on; it is asked on that split alone,
            instead of one trained anew. Its rows are never kept: they have the name of one trained here.
        on_step: Told before each learner, and now and then while a network is trained.
        on_row: Told of each row that is new.

    Raises:
        DataError: the split leaves a part empty; the file of rows holds something else.
        ConfigurationError: nothing was asked; scikit-learn is missing.
    """
    session = _Session(corpus, wanted, on_step, on_row)
    for split_seed in wanted.split_seeds:
        division = Division(corpus, wanted.split, split_seed)
        tasks = list(tasks_with_examples(division, wanted.tasks))
        for seed in wanted.seeds:
            session.counted(division, tasks, seed)
            own = trained is not None and trained[1] == split_seed
            if wanted.networks:
                session.networks(division, tasks, seed, (MODEL,) if own else ())
        if trained is not None and trained[1] == split_seed:
            for task in tasks:
                if task != "performance":
                    session.one(trained[0], task, division, 0, 0.0, keep=False)
    if not session.rows:
        raise ConfigurationError(
            f"nothing was asked: the dataset has no examples of {', '.join(wanted.tasks)}"
        )
    return session.rows


class _Session:
    def __init__(self, corpus: Corpus, wanted: Wanted, on_step: OnStep | None, on_row: OnRow | None) -> None:
        self.corpus, self.wanted, self.on_step, self.on_row = corpus, wanted, on_step, on_row
        kept = read_rows(wanted.file) if wanted.file is not None else []
        self.known = {name_of(row): row for row in kept}
        self.rows: list[dict[str, Any]] = []

    def counted(self, division: Division, tasks: Sequence[str], seed: int) -> None:
        """The learners of each task that are no networks."""
        for task in tasks:
            found = learners(task)
            if task == "performance":
                found.append(GraphProcess(self.corpus.graph))
            for learner in found:
                if not self.wanted.learners or learner.name in self.wanted.learners:
                    self.one(learner, task, division, seed)

    def networks(
        self, division: Division, tasks: Sequence[str], seed: int, without: Sequence[str] = ()
    ) -> None:
        """Networks, each trained once for all tasks but performance."""
        asked = [task for task in tasks if task != "performance"]
        for name in ENCODERS:
            if name in without or (self.wanted.learners and name not in self.wanted.learners) or not asked:
                continue
            network = Network(
                name,
                config=find_size(self.wanted.size),
                settings=self.wanted.settings,
                device=self.wanted.device,
                families=self.corpus.families(),
                progress=self._progress(division, name),
            )
            seconds = 0.0
            if any(self._kept(name, task, division, seed) is None for task in asked):
                begun = time.monotonic()
                network.fit(division.together("train"), division.together("valid"), self.corpus.views, seed)
                seconds = round(time.monotonic() - begun, 1)
            for task in asked:
                self.one(network, task, division, seed, seconds)

    def one(
        self,
        learner: Learner,
        task: str,
        division: Division,
        seed: int,
        fitted_in: float | None = None,
        keep: bool = True,
    ) -> None:
        """One learner on one task: its row is there, or is made."""
        row = self._kept(learner.name, task, division, seed) if keep else None
        if row is None:
            if self.on_step is not None:
                self.on_step(Step(division.seed, task, learner.name))
            row = tried(learner, task, division, seed, fitted_in)
            if isinstance(learner, Network):
                row |= {"size": self.wanted.size, "steps": learner.settings.steps}
                row |= {"parameters": learner.parameter_count}
            if self.on_row is not None:
                self.on_row(row)
            if keep and self.wanted.file is not None:
                add_row(self.wanted.file, row)
        self.rows.append(row)

    def _kept(self, learner: str, task: str, division: Division, seed: int) -> dict[str, Any] | None:
        return self.known.get(name_of(key(self.corpus, task, learner, division, seed)))

    def _progress(self, division: Division, name: str) -> Callable[[int, int], None]:
        begun = time.monotonic()

        def progress(done: int, total: int) -> None:
            if self.on_step is not None:
                left = (time.monotonic() - begun) / done * (total - done)
                self.on_step(Step(division.seed, "all tasks", name, done, total, left))

        return progress
