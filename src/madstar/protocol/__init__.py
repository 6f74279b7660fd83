"""The MAD protocol: an architecture trained on settings of synthetic tasks, raced, scored, kept in rows."""

from .api import benchmark
from .architecture import Architecture, GenomeStack, LayerStack, ModelFunction
from .budgets import BUDGETS, BenchmarkBudget, find_budget
from .plan import Plan, level_settings
from .protocols import PROTOCOLS, Protocol, SweepPoint, find_protocol
from .scores import Scores, SettingScore, TaskScore
from .session import BenchmarkProgress, BenchmarkWatcher, Resources, read_scores, run_plan

__all__ = [
    "BUDGETS",
    "PROTOCOLS",
    "Architecture",
    "BenchmarkBudget",
    "BenchmarkProgress",
    "BenchmarkWatcher",
    "GenomeStack",
    "LayerStack",
    "ModelFunction",
    "Plan",
    "Protocol",
    "Resources",
    "Scores",
    "SettingScore",
    "SweepPoint",
    "TaskScore",
    "benchmark",
    "find_budget",
    "find_protocol",
    "level_settings",
    "read_scores",
    "run_plan",
]
