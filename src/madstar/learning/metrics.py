"""Accuracies, F1, AUC, reciprocal ranks and rank correlations, in numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.stats import kendalltau, rankdata

NOT_KNOWN = float("nan")
"""What a measure is where there is nothing to measure."""


def mean(values: Sequence[float]) -> float:
    """The mean; nan of nothing."""
    return float(np.mean(values)) if len(values) else NOT_KNOWN


def accuracy(truths: Sequence[str], answers: Sequence[str]) -> float:
    """The share of answers that are right."""
    return mean([float(t == a) for t, a in zip(truths, answers, strict=True)])


def macro_f1(truths: Sequence[str], answers: Sequence[str]) -> float:
    """The mean F1 over the classes among the truths."""
    if not truths:
        return NOT_KNOWN
    names = {name: i for i, name in enumerate(dict.fromkeys((*truths, *answers)))}
    t, a = (np.array([names[each] for each in given]) for given in (truths, answers))
    right = np.bincount(t[t == a], minlength=len(names))
    asked, given = (np.bincount(each, minlength=len(names)) for each in (t, a))
    present = asked > 0
    return float((2 * right[present] / (asked + given)[present]).mean())


def auc(labels: Sequence[bool], scores: Sequence[float]) -> float:
    """The chance that a positive has a higher score than a negative, equal ones half; nan without both."""
    positive = np.asarray(labels, bool)
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return NOT_KNOWN
    ranks = rankdata(np.asarray(scores, float))
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def above_others(entries: Sequence[str], gaps: Sequence[bool], scores: Sequence[float]) -> list[float]:
    """For each gap, the share of whole graphs of other entries with a lower score; nan for whole graphs.

    A graph is larger by a node than what is left of it, and has more of the operations that are deleted: to
    count them tells the two apart. Graphs of others are of all sizes.
    """
    names = np.array([entry for entry, gap in zip(entries, gaps, strict=True) if not gap], dtype=object)
    whole = np.array([score for score, gap in zip(scores, gaps, strict=True) if not gap])
    found = []
    for entry, gap, score in zip(entries, gaps, scores, strict=True):
        others = whole[names != entry] if gap else whole[:0]
        shares = (score > others) + 0.5 * (score == others)
        found.append(float(shares.mean()) if len(others) else NOT_KNOWN)
    return found


def reciprocal_rank(scores: Float[np.ndarray, " candidates"], right: int) -> float:
    """1 / rank of the right one; among equals it stands in the middle. Scores that are nan rank last."""
    known = np.nan_to_num(np.asarray(scores, float), nan=-np.inf)
    above, equal = int((known > known[right]).sum()), int((known == known[right]).sum())
    return 1 / (1 + above + (equal - 1) / 2)


def tau(truths: Sequence[float], answers: Sequence[float]) -> float:
    """Kendall's tau-b; 0 where all answers are equal, nan for fewer than two truths or equal ones."""
    if len(truths) < 2 or len(set(truths)) < 2:
        return NOT_KNOWN
    if len(set(answers)) < 2:
        return 0.0
    return float(kendalltau(truths, answers).statistic)
