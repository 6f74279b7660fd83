"""Where candidates are tried: a pool of processes that survives whatever a job does.

A `WorkerPool` runs `Job`s, one per process at a time, each under a limit of seconds and of
bytes, and answers every one of them with an `Outcome`. Messages are JSON in both directions.
"""

from madstar.workers.job import Job, Outcome, Status
from madstar.workers.pool import WorkerPool
from madstar.workers.reporting import Report, row_fields, steps_told

__all__ = ["Job", "Outcome", "Report", "Status", "WorkerPool", "row_fields", "steps_told"]
