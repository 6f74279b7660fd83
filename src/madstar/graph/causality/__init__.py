"""Whether outputs look into the future: how far ahead each value looks, followed through the operations."""

from __future__ import annotations

from .analysis import CAUSAL, LEAKS, UNDECIDED, Causality, Verdict, causality
from .route import route

__all__ = ["CAUSAL", "LEAKS", "UNDECIDED", "Causality", "Verdict", "causality", "route"]
