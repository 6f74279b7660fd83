"""The run loop: fill idle workers, take in what they bring, until the budget is spent.

Every proposal and every result is a row before anything is built on it; a coordinator that dies
loses only evaluations that were under way. Resuming reads the rows and replays them to the strategy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..archive import Archive, CandidateRow, EvaluationRow, RunRow
from ..errors import ConfigurationError, OutputError
from ..genome import baselines, compile_genome
from ..genome.known import motifs_of
from ..tasks import TextTask
from ..workers import Job, Outcome, WorkerPool, row_fields
from .admission import Admission
from .agenda import Agenda
from .evaluation import FULL, TARGET, worker_setup
from .ledger import BASELINE, SEARCH, Ledger, Work
from .settings import SearchSettings
from .strategies import Proposal, Strategy, make_strategy

# Proposals in a row that cannot be trained, after which a space counts as exhausted.
_PATIENCE = 500
_TICK = 0.5
# Seconds that one hunt for a proposal that can be trained may take.
_HUNT = 1.0
# Seconds beyond the deadline that an evaluation may take to end.
_GRACE = 15.0


@dataclass(frozen=True)
class Running:
    """An evaluation under way."""

    candidate: CandidateRow
    rung: int
    step: int
    steps: int


@dataclass(frozen=True)
class Snapshot:
    """A look at a run for those who watch it. `fraction` is how much of its budget is spent."""

    seconds: float
    fraction: float
    seconds_left: float | None
    evaluations: int
    candidates: int
    failures: dict[str, int]
    running: tuple[Running, ...]
    restarts: int


class Watcher(Protocol):
    """Who is told what happens. All methods return quickly."""

    def began(self, run: RunRow, settings: SearchSettings, task: TextTask, resumed: bool) -> None:
        """The run begins or goes on."""

    def evaluated(self, candidate: CandidateRow, evaluation: EvaluationRow) -> None:
        """An evaluation has ended, well or not."""

    def tick(self, snapshot: Snapshot) -> None:
        """Called about twice a second."""


class Coordinator:
    """Runs one search to its end, or to an interrupt. `run` may be called once.

    `knowledge` is what the strategy knew when the run began (see `knowledge`). `pool` and `clock` (in
    seconds) may be replaced by ones that pretend (see `simulation`).
    """

    def __init__(
        self,
        settings: SearchSettings,
        archive: Archive,
        run: RunRow,
        task: TextTask,
        checkpoints: Path,
        import_paths: Sequence[str] = (),
        *,
        knowledge: Mapping[str, Any] | None = None,
        pool: Callable[..., WorkerPool] = WorkerPool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings, self.archive, self.run_row, self.task = settings, archive, run, task
        self.checkpoints, self.import_paths = checkpoints, import_paths
        self.space = settings.space(task.vocabulary_size)
        self.ledger = Ledger(
            settings.parsed_objectives,
            settings.budgets,
            settings.training.tokens_per_step,
            settings.training.decay_fraction,
        )
        self.admission = Admission(
            self.ledger.objectives, settings.parsed_constraints, self.space.sizes, settings.training.length
        )
        self.strategy = self._make_strategy(knowledge)
        self._pool, self._clock = pool, clock
        self._begun = clock()
        self._jobs: dict[str, Work] = {}
        self._fruitless = 0
        self._strategy_seconds = 0.0
        self.agenda = Agenda(settings, self.ledger, self.strategy, self._propose, lambda: self.seconds_left)
        self._take_in_history()

    # The loop --------------------------------------------------------------------------------

    def run(self, watcher: Watcher) -> None:
        """Search until the budget is spent. On KeyboardInterrupt workers are stopped and it is raised on."""
        self._begun = self._clock()
        self._add_baselines()
        if self.seconds_left is not None and self.seconds_left <= 0:
            return
        with self._pool(
            TARGET, self.settings.workers, setup=self._setup(), import_paths=self.import_paths
        ) as pool:
            while True:
                waiting = self._fill(pool)
                if not self._jobs and not waiting:
                    return
                self._stop_late_ones(pool)
                for outcome in pool.wait(_TICK):
                    evaluation = self._take_in(outcome)
                    watcher.evaluated(self.ledger.candidates[evaluation.candidate], evaluation)
                watcher.tick(self.snapshot(pool))

    @property
    def seconds(self) -> float:
        """Seconds of search so far, earlier sessions included."""
        return self.run_row.seconds + self._clock() - self._begun

    def book_time(self, status: str | None = None) -> None:
        """Write the seconds spent to the run's row, often, so that a killed run has used its budget too."""
        config = None
        if status is not None:
            spent = self.run_row.config.get("strategy_seconds", 0.0) + self._strategy_seconds
            config, self._strategy_seconds = {**self.run_row.config, "strategy_seconds": spent}, 0.0
        self.run_row = self.archive.update_run(
            self.run_row.id, status=status, add_seconds=max(0.0, self._clock() - self._begun), config=config
        )
        self._begun = self._clock()

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the deadline, None without one."""
        return None if self.settings.minutes is None else 60 * self.settings.minutes - self.seconds

    def _fill(self, pool: WorkerPool) -> bool:
        """Start what can be started. True while there is more to come that no worker was free for."""
        while pool.idle:
            job = self.agenda.next()
            if job is None:
                return 0 < self._fruitless < _PATIENCE
            self._start(pool, job)
        # Workers that are still starting up, or all busy: there may be work once one is free.
        left = self.seconds_left
        return bool(self._jobs) or left is None or left > 0

    def _stop_late_ones(self, pool: WorkerPool) -> None:
        """Evaluations that were expected to end by the deadline and did not are given up."""
        left = self.seconds_left
        if left is None or left > -_GRACE:
            return
        for name in list(self._jobs):
            pool.cancel(name)
            self.ledger.abandon(self._jobs.pop(name))

    def _start(self, pool: WorkerPool, work: Work) -> None:
        candidate = self.ledger.candidates[work.candidate]
        payload = {
            "index": work.candidate,
            "genome": candidate.genome,
            "rung": work.rung,
            "seed": work.seed(self.settings.seed),
            "stage": work.stage,
            "constrained": candidate.role == SEARCH and work.rung == 0 and not work.repeat,
            "known": self._known(work.candidate),
        }
        name = f"{work.candidate}-{work.rung}-{work.repeat}"
        pool.submit(Job(name, payload, self.settings.time_limit, self.settings.memory_limit))
        self._jobs[name] = work
        self.ledger.start(work)

    def _known(self, index: int) -> dict[str, tuple[float, float]]:
        """Figures that do not change from rung to rung, with their errors."""
        stable = {o.name for o in self.ledger.objectives if o.kind != "trained"}
        for row in reversed(self.ledger.evaluations):
            if row.candidate == index and row.status == "ok":
                return {n: (row.values[n], row.errors.get(n, 0.0)) for n in stable if n in row.values}
        return {}

    def _take_in(self, outcome: Outcome) -> EvaluationRow:
        work = self._jobs.pop(outcome.id)
        value: dict[str, Any] = outcome.value or {}
        if value.get("status") == FULL:
            # Not the candidate's doing: it has no row, and trains again when the run is resumed.
            self.ledger.abandon(work)
            raise OutputError(f"{value['error']}: free some room, then resume run {self.run_row.name}")
        row = self.archive.add_evaluation(
            self.run_row.id,
            candidate=work.candidate,
            rung=work.rung,
            seed=work.seed(self.settings.seed),
            stage=work.stage,
            **row_fields(outcome),
        )
        event = self.ledger.add_evaluation(row, self.settings.seed)
        if event is not None:
            self.strategy.observe(event)
        if row.status == "infeasible":
            self.archive.set_candidate_status(self.run_row.id, row.candidate, "infeasible", row.error)
        self.book_time()
        return row

    # Proposals -------------------------------------------------------------------------------

    def _propose(self) -> int | None:
        """Ask the strategy until a proposal can be trained; each one, trained or not, is a row."""
        if self.settings.candidates is not None and self.ledger.trained() >= self.settings.candidates:
            return None
        begun = self._clock()
        while self._fruitless < _PATIENCE:
            asked = time.perf_counter()
            proposal = self.strategy.propose(self.ledger.next_index)
            self._strategy_seconds += time.perf_counter() - asked
            if proposal is None:
                return None
            row = self._add_proposal(proposal)
            if row.status == "pending":
                self._fruitless = 0
                return row.index
            self._fruitless += 1
            # Results must not wait for a long hunt; but a repeatable run must not depend on the clock.
            if self.settings.mode == "async" and self._clock() - begun > _HUNT:
                return None
        if not self.ledger.costs:
            raise ConfigurationError(
                f"{_PATIENCE} proposals in a row were duplicates, rejected or infeasible: "
                "relax the constraints or widen the space"
            )
        return None

    def _add_proposal(self, proposal: Proposal) -> CandidateRow:
        return self._add(
            **self.admission.judge(proposal.offspring, self.ledger.architectures),
            parents=proposal.parents,
            generation=proposal.generation,
            staleness=len(self._jobs),
        )

    def _add_baselines(self) -> None:
        if not self.settings.baselines or any(self.ledger.of_role(BASELINE)):
            return
        for name, genome in baselines(self.settings.max_depth).items():
            self._add(
                role=BASELINE,
                name=name,
                genome=str(genome),
                architecture=genome.architecture,
                operator="baseline",
                values=self.admission.figures(genome)[0],
                spec=compile_genome(genome, self.space.sizes).to_dict(),
            )

    def _add(self, **fields: Any) -> CandidateRow:
        row = self.archive.add_candidate(self.run_row.id, index=self.ledger.next_index, **fields)
        event = self.ledger.add_candidate(row)
        if event is not None:
            self.strategy.observe(event)
        return row

    # Resuming --------------------------------------------------------------------------------

    def _take_in_history(self) -> None:
        """Rebuild the state from the rows: nothing else is kept between sessions."""
        for candidate in self.archive.candidates(self.run_row.id):
            self.ledger.add_candidate(candidate)
        for evaluation in self.archive.evaluations(self.run_row.id):
            self.ledger.add_evaluation(evaluation, self.settings.seed)
        last = max((c.generation for c in self.ledger.of_or_dropped(SEARCH)), default=0)
        for generation in range(last + 1):
            if generation:
                self.agenda.generational.close_generation()
            self.strategy.replay(self.ledger.history(generation))

    def _make_strategy(self, knowledge: Mapping[str, Any] | None) -> Strategy:
        settings = self.settings
        return make_strategy(
            settings.strategy,
            self.space,
            settings.seed,
            rates=settings.rates,
            population=settings.population,
            elitism=settings.elitism,
            generational=settings.mode == "generational",
            top_rung=self.ledger.top,
            screen=self.admission.screen,
            seeds=motifs_of(self.space) if settings.seeds == "motifs" else (),
            objectives=[objective.name for objective in self.ledger.objectives],
            unguided=settings.unguided,
            knowledge=knowledge,
        )

    def _setup(self) -> dict[str, Any]:
        return worker_setup(
            task=self.task.directory,
            checkpoints=self.checkpoints,
            sizes=self.space.sizes,
            training=self.settings.training,
            rungs=self.settings.rungs,
            objectives=self.settings.objectives,
            constraints=self.settings.constraints,
        )

    def snapshot(self, pool: WorkerPool) -> Snapshot:
        """How the run stands."""
        progress = pool.progress()
        running = []
        for name, work in self._jobs.items():
            told = progress.get(name, {})
            candidate = self.ledger.candidates[work.candidate]
            running.append(Running(candidate, work.rung, told.get("step", 0), told.get("total", 0)))
        fraction, left = self._fraction()
        return Snapshot(
            seconds=self.seconds,
            fraction=fraction,
            seconds_left=left,
            evaluations=len(self.ledger.evaluations),
            candidates=self.ledger.trained(),
            failures=dict(self.ledger.failures()),
            running=tuple(running),
            restarts=pool.restarts,
        )

    def _fraction(self) -> tuple[float, float | None]:
        """Share of the budget spent, by whichever limit is nearest, and the seconds left."""
        settings, fractions = self.settings, [0.0]
        if settings.minutes is not None:
            fractions.append(self.seconds / (60 * settings.minutes))
        searched = 0.0
        if settings.candidates is not None:
            searched = self.ledger.trained() / settings.candidates
        if settings.generations is not None:
            searched = max(searched, self.ledger.trained() / (settings.population * settings.generations))
        fractions.append((1 - settings.reevaluate) * searched)
        if settings.steps is not None:
            fractions.append(self.ledger.steps_begun() / settings.steps)
        fraction = min(1.0, max(fractions))
        if settings.minutes is not None:
            return fraction, max(0.0, 60 * settings.minutes - self.seconds)
        left = self.seconds * (1 - fraction) / fraction if fraction > 0.02 else None
        return fraction, left
