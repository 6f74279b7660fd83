"""What a round came to: gain, best and median by who proposed, and how right the predictor was beforehand."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.stats import kendalltau

from .candidates import Candidate

_LEAST = 3


@dataclass(frozen=True)
class Tried:
    """A candidate of a round and what became of it: its score in bits per byte if it was trained well."""

    index: int
    candidate: Candidate
    status: str
    reason: str = ""
    score: float | None = None
    parameters: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON data, without the candidate's text and description, which stand elsewhere."""
        told = self.candidate.prediction
        return {
            "index": self.index,
            "kind": self.candidate.kind,
            "key": self.candidate.key,
            "genome": self.candidate.genome,
            "origin": self.candidate.origin,
            "guided": self.candidate.guided,
            "parents": list(self.candidate.parents),
            "parameters": self.parameters,
            "predicted": None if told is None else told.value,
            "low": None if told is None else told.low,
            "high": None if told is None else told.high,
            "predictor": None if told is None else told.model,
            "status": self.status,
            "reason": self.reason,
            "score": self.score,
        }


def agreement(pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Kendall's tau between what was predicted before training and what was measured; none of too few."""
    if len(pairs) < _LEAST:
        return {"tau": None, "n": len(pairs)}
    tau = float(kendalltau([p for p, _ in pairs], [m for _, m in pairs]).statistic)
    return {"tau": tau if math.isfinite(tau) else None, "n": len(pairs)}


def predicted_pairs(tried: Sequence[Tried]) -> list[tuple[float, float]]:
    """What was predicted and what came of it, of those that have both."""
    return [
        (each.candidate.prediction.value, each.score)
        for each in tried
        if each.candidate.prediction is not None and each.score is not None
    ]


def by_group(tried: Sequence[Tried]) -> dict[str, dict[str, Any]]:
    """Of each kind and guidance: how many were proposed, trained, failed, and their best and median score."""
    groups: defaultdict[str, list[Tried]] = defaultdict(list)
    for each in tried:
        groups[each.candidate.group].append(each)
        groups["guided" if each.candidate.guided else "free"].append(each)
    found = {}
    for name, members in sorted(groups.items()):
        scores = [each.score for each in members if each.score is not None]
        found[name] = {
            "proposed": len(members),
            "trained": len(scores),
            "best": min(scores, default=None),
            "median": statistics.median(scores) if scores else None,
        }
    return found


def data_hash(measured: Mapping[str, float]) -> str:
    """A hash of what was measured: which architectures, with which scores."""
    text = json.dumps(sorted(measured.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def record(
    number: int,
    tried: Sequence[Tried],
    best_before: float | None,
    *,
    measured: Mapping[str, float],
    models: Mapping[str, Any],
    counts: Mapping[str, Any],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """The record of a round, plain data. `measured` is what the models of this round had learned from."""
    scores = [each.score for each in tried if each.score is not None]
    best = min(scores, default=None)
    known = [score for score in (best, best_before) if score is not None]
    return {
        "round": number,
        "proposals": [each.to_dict() for each in tried],
        "trained": len(scores),
        "failed": sum(each.status not in ("ok", "rejected", "infeasible", "duplicate") for each in tried),
        "best": best,
        "best_so_far": min(known, default=None),
        "gain": None if best is None or best_before is None else best_before - best,
        "groups": by_group(tried),
        "agreement": agreement(predicted_pairs(tried)),
        "data": {"measured": len(measured), "hash": data_hash(measured)},
        "models": dict(models),
        "generated": dict(counts),
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
    }
