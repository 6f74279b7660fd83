"""What has been tried: runs, candidates and evaluations, kept in a database."""

from madstar.archive.rows import CandidateRow, EvaluationRow, RunRow
from madstar.archive.store import Archive

__all__ = ["Archive", "CandidateRow", "EvaluationRow", "RunRow"]
