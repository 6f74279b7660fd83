"""How answers are judged, from plain arrays: `Evaluator("operation").eval({"y_true": ..., "y_pred": ...})`.

Every figure comes for all questions ("accuracy") and, where "family" says of which family each question is,
as the mean over families ("accuracy/family"), so that no large family decides it. Figures that nothing was
asked for are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import DataError
from ..metrics import above_others, accuracy, auc, macro_f1, mean, reciprocal_rank, tau
from .examples import TASKS

Columns = Mapping[str, Sequence[Any]]
SPANS = (2, 5, 16)
_SHARES = "shares of whole graphs of others"
"""A column of our own: it takes all rows, where figures by family see some."""

_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "operation": ("y_true", "y_pred"),
    "link": ("y_true", "y_pred", "target"),
    "incomplete": ("y_true", "y_pred", "entry"),
    "completion": ("y_true", "y_pred"),
    "classification": ("y_true", "y_pred"),
    "performance": ("y_true", "y_pred"),
}
_OPTIONAL: Mapping[str, tuple[str, ...]] = {
    "operation": ("family", "seen"),
    "link": ("family", "missing"),
    "incomplete": ("family", "place_true", "place_pred"),
    "completion": ("family", "seen", "sources_true", "sources_pred"),
    "classification": ("family", "matched"),
    "performance": ("family", "group"),
}
_WORDS: Mapping[str, str] = {
    "operation": (
        "y_true, y_pred: the operation of each masked node; seen: whether its context stood in training"
    ),
    "link": (
        "y_true: the source asked for, -1 for a decoy; y_pred: the scores of all nodes before the target; "
        "target: the node that lost the edge; missing: how likely something is missing there"
    ),
    "incomplete": (
        "y_true: whether something is deleted; y_pred: how likely; entry: the graph, to pair what is deleted "
        "with the intact one; place_true: the place, -1 for none; place_pred: the scores of all nodes shown"
    ),
    "completion": (
        "y_true, y_pred: the operation that comes next; sources_true, sources_pred: the nodes that it takes, "
        "in order"
    ),
    "classification": "y_true, y_pred: the label; matched: whether the example has a confuser",
    "performance": "y_true, y_pred: the figure; group: its task and budget",
}


class Evaluator:
    """Judges the answers of one task.

    `expected_input` and `expected_output` say what `eval` takes and gives. With `known`, the operations of
    training graphs, answers about others are counted ("unseen_types") and told apart.
    """

    def __init__(self, name: str) -> None:
        """Raises DataError for an unknown task."""
        if name not in TASKS:
            raise DataError(f"there is no task {name!r}; the tasks are {', '.join(TASKS)}")
        self.name = name

    @property
    def expected_input(self) -> str:
        """The columns that `eval` takes, one row for each question."""
        columns = ", ".join(_REQUIRED[self.name])
        more = ", ".join(_OPTIONAL[self.name])
        return f"{{{columns}}} and perhaps {more}. {_WORDS[self.name]}; family: of its entry"

    @property
    def expected_output(self) -> tuple[str, ...]:
        """The figures, each also as its mean over families (NAME/family)."""
        return _OUTPUT[self.name]

    def eval(self, answers: Columns, known: Sequence[str] | None = None) -> dict[str, float]:
        """The figures. Raises DataError for missing, unknown or unequally long columns."""
        columns = self._checked(answers)
        if self.name == "incomplete":
            columns[_SHARES] = _shares(columns)
        found = _present(_FIGURES[self.name](columns))
        if "family" in columns:
            found |= _over_families(columns, _FIGURES[self.name], found)
        if known is not None and self.name in ("operation", "completion"):
            found |= _by_type(columns, frozenset(known))
        return found

    def _checked(self, answers: Columns) -> dict[str, list[Any]]:
        required, optional = _REQUIRED[self.name], _OPTIONAL[self.name]
        if missing := [name for name in required if name not in answers]:
            raise DataError(f"answers of {self.name} lack {missing[0]!r}; give {self.expected_input}")
        if unknown := [name for name in answers if name not in (*required, *optional)]:
            raise DataError(f"answers of {self.name} have no {unknown[0]!r}; give {self.expected_input}")
        columns = {name: list(column) for name, column in answers.items() if column is not None}
        size = len(columns["y_true"])
        for name, column in columns.items():
            if len(column) != size:
                raise DataError(f"answers of {self.name}: {size} of y_true, but {len(column)} of {name}")
        return columns


def _present(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in figures.items() if not np.isnan(value)}


def _over_families(columns: Mapping[str, list[Any]], figures: Any, plain: Columns | Any) -> dict[str, float]:
    by_family: dict[str, list[int]] = {}
    for number, family in enumerate(columns["family"]):
        by_family.setdefault(str(family), []).append(number)
    each = [
        _present(figures({name: [column[i] for i in chosen] for name, column in columns.items()}))
        for chosen in by_family.values()
    ]
    means = {name: [found[name] for found in each if name in found] for name in plain}
    counted = {f"{name}/family": float(np.mean(values)) for name, values in means.items() if values}
    return {**counted, "families": float(len(by_family))}


def _by_type(columns: Mapping[str, list[Any]], known: frozenset[str]) -> dict[str, float]:
    unseen = [str(op) not in known for op in columns["y_true"]]
    right = [str(t) == str(p) for t, p in zip(columns["y_true"], columns["y_pred"], strict=True)]
    return {
        "unseen_types": float(sum(unseen)),
        **_present(
            {"accuracy_known_types": mean([float(r) for r, u in zip(right, unseen, strict=True) if not u])}
        ),
    }


def _words(column: Sequence[Any]) -> list[str]:
    return [str(each) for each in column]


def _named(columns: Mapping[str, list[Any]]) -> dict[str, float]:
    truths, answers = _words(columns["y_true"]), _words(columns["y_pred"])
    found = {"accuracy": accuracy(truths, answers), "macro_f1": macro_f1(truths, answers)}
    right = [float(t == a) for t, a in zip(truths, answers, strict=True)]
    if "seen" in columns:
        found["accuracy_seen"] = mean([r for r, s in zip(right, columns["seen"], strict=True) if s])
        found["accuracy_unseen"] = mean([r for r, s in zip(right, columns["seen"], strict=True) if not s])
    if "matched" in columns:
        found["accuracy_matched"] = mean([r for r, m in zip(right, columns["matched"], strict=True) if m])
    return found


def _links(columns: Mapping[str, list[Any]]) -> dict[str, float]:
    ranks = [
        (int(target) - int(source), reciprocal_rank(scores, int(source)))
        for source, target, scores in zip(
            columns["y_true"], columns["target"], columns["y_pred"], strict=True
        )
        if int(source) >= 0
    ]
    found = {f"mrr_span_{span}": mean([rank for s, rank in ranks if s >= span]) for span in SPANS}
    if "missing" in columns:
        found["missing_auc"] = auc([int(s) >= 0 for s in columns["y_true"]], columns["missing"])
    return found


def _shares(columns: Mapping[str, list[Any]]) -> list[float]:
    entries = [str(entry) for entry in columns["entry"]]
    return above_others(entries, [bool(y) for y in columns["y_true"]], [float(y) for y in columns["y_pred"]])


def _incomplete(columns: Mapping[str, list[Any]]) -> dict[str, float]:
    gaps, scores = [bool(each) for each in columns["y_true"]], [float(s) for s in columns["y_pred"]]
    whole: dict[str, list[float]] = {}
    for entry, gap, score in zip(columns["entry"], gaps, scores, strict=True):
        if not gap:
            whole.setdefault(str(entry), []).append(score)
    pairs = [
        1.0 if score > other else 0.5 if score == other else 0.0
        for entry, gap, score in zip(columns["entry"], gaps, scores, strict=True)
        if gap
        for other in whole.get(str(entry), ())
    ]
    across = [share for share in columns[_SHARES] if not np.isnan(share)]
    found = {"auc_across": mean(across), "auc": auc(gaps, scores), "paired_accuracy": mean(pairs)}
    if "place_true" in columns and "place_pred" in columns:
        found["place_mrr"] = mean(
            [
                reciprocal_rank(given, int(where))
                for gap, where, given in zip(gaps, columns["place_true"], columns["place_pred"], strict=True)
                if gap and int(where) >= 0
            ]
        )
    return found


def _completion(columns: Mapping[str, list[Any]]) -> dict[str, float]:
    found = _named(columns)
    if "sources_true" in columns and "sources_pred" in columns:
        pairs = list(zip(columns["sources_true"], columns["sources_pred"], strict=True))
        slots = [
            float(i < len(given) and int(given[i]) == int(source))
            for wanted, given in pairs
            for i, source in enumerate(wanted)
        ]
        same = [[int(s) for s in wanted] == [int(s) for s in given] for wanted, given in pairs]
        ops = zip(_words(columns["y_true"]), _words(columns["y_pred"]), strict=True)
        found["source_accuracy"] = mean(slots)
        found["exact"] = mean([float(t == a and s) for (t, a), s in zip(ops, same, strict=True)])
    return found


def _performance(columns: Mapping[str, list[Any]]) -> dict[str, float]:
    """Ranks count within a group alone; tau is the mean over groups of two or more."""
    groups: dict[str, list[tuple[float, float]]] = {}
    names = columns.get("group") or [""] * len(columns["y_true"])
    for name, true, given in zip(names, columns["y_true"], columns["y_pred"], strict=True):
        groups.setdefault(str(name), []).append((float(true), float(given)))
    taus = [tau([t for t, _ in pairs], [g for _, g in pairs]) for pairs in groups.values()]
    errors = [abs(true - given) for pairs in groups.values() for true, given in pairs]
    return {"kendall_tau": mean([each for each in taus if not np.isnan(each)]), "mae": mean(errors)}


_FIGURES: Mapping[str, Callable[[Mapping[str, list[Any]]], dict[str, float]]] = {
    "operation": _named,
    "link": _links,
    "incomplete": _incomplete,
    "completion": _completion,
    "classification": _named,
    "performance": _performance,
}
_OUTPUT: Mapping[str, tuple[str, ...]] = {
    "operation": ("accuracy", "macro_f1", "accuracy_seen", "accuracy_unseen"),
    "link": (*(f"mrr_span_{span}" for span in SPANS), "missing_auc"),
    "incomplete": ("auc_across", "auc", "paired_accuracy", "place_mrr"),
    "completion": ("accuracy", "macro_f1", "accuracy_seen", "accuracy_unseen", "source_accuracy", "exact"),
    "classification": ("accuracy", "macro_f1", "accuracy_matched"),
    "performance": ("kendall_tau", "mae"),
}
