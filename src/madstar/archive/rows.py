"""The rows of an archive as plain frozen values, the only shape in which other rooms see them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

RUN_KINDS = ("search", "benchmark", "design")
RUN_STATUSES = ("running", "finished", "interrupted", "failed")
ROLES = ("search", "baseline")
VALIDITIES = ("valid", "repaired", "rejected")
CANDIDATE_STATUSES = ("pending", "rejected", "infeasible", "duplicate")
STAGES = ("search", "repeat", "validation", "benchmark")
EVALUATION_STATUSES = ("ok", "diverged", "timeout", "memory", "crash", "error", "infeasible")


@dataclass(frozen=True)
class RunRow:
    """One search, benchmark or design, over all its resumptions.

    `created` is aware and in UTC. `status` is one of `RUN_STATUSES`, `kind` of `RUN_KINDS`. `config`
    is JSON data, so a tuple comes back as a list. `version` is the madstar that created the run. `seconds`
    is the wall time spent so far, summed over resumptions.
    """

    id: int
    name: str
    created: datetime
    status: str
    config: dict[str, Any]
    version: str
    seconds: float
    kind: str = "search"


@dataclass(frozen=True)
class CandidateRow:
    """One proposal of a run, trained or not.

    `index` counts proposals within the run; `parents` are such indices. `role` is one of `ROLES`,
    `validity` of `VALIDITIES`, `status` of `CANDIDATE_STATUSES`; "pending" means to be, or being,
    evaluated. `architecture` is the hexadecimal hash of what the genome compiles to, empty for a genome
    that could not be compiled. `values` are the objectives known before training. `staleness` counts the
    evaluations still under way when the candidate was proposed. `proposed_at` is in seconds since 1970.
    """

    id: int
    run_id: int
    index: int
    role: str
    name: str | None
    genome: str
    architecture: str
    operator: str
    parents: tuple[int, ...]
    validity: str
    repaired_genes: tuple[str, ...]
    status: str
    reason: str | None
    values: dict[str, float]
    staleness: int
    generation: int
    proposed_at: float


@dataclass(frozen=True)
class EvaluationRow:
    """One training of one candidate at one rung with one seed.

    `stage` is one of `STAGES`: "search" for what the search itself did, "repeat" for a candidate trained
    again from scratch at the top rung with another seed, "validation" for one trained from scratch with a
    larger budget once the search was over. For the first two `rung` counts the run's rungs; for
    "validation" it is the number of the validation in the run's config. "benchmark" is a training on
    `setting`, a setting of a synthetic task, at `point`, a point of a sweep; both are empty elsewhere.

    `candidate` is the candidate's index; `sequence` is the order of observation within the run (0, 1, 2,
    ...), which a replay follows. `status` is one of `EVALUATION_STATUSES`. `errors` are standard errors
    of `values`, in the same units. `curve` holds pairs of step and training loss in bits per byte.
    `timings` are in seconds, `started_at` and `finished_at` in seconds since 1970.
    """

    id: int
    run_id: int
    candidate: int
    sequence: int
    rung: int
    steps: int
    tokens: int
    seed: int
    status: str
    error: str | None
    values: dict[str, float]
    errors: dict[str, float]
    curve: tuple[tuple[float, float], ...]
    timings: dict[str, float]
    worker: int
    started_at: float
    finished_at: float
    stage: str = "search"
    setting: str = ""
    point: str = ""
