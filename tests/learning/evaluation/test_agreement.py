"""What is judged here and by the datasets' `Evaluator` is the same."""

import numpy as np
import pytest

from madstar.learning.baselines.catalogue import learners
from madstar.learning.baselines.wiring import wiring
from madstar.learning.datasets.evaluator import Evaluator
from madstar.learning.evaluation.judging import Judged, judge
from madstar.learning.evaluation.running import Division
from madstar.learning.hiding import place

from ..baselines.small import Small


@pytest.fixture(scope="module")
def division() -> Division:
    return Division(Small(18), "family", 0)


def judged(division: Division, task: str, number: int) -> tuple[list, list, list[str], Judged]:
    corpus = division.corpus
    learner = learners(task)[number]
    learner.fit(division.part(task, "train"), [], corpus.views, 0)
    asked = division.part(task, "test")
    answers = learner.predict(asked, corpus.views)
    families = [corpus.families()[example.entry] for example in asked]
    found = judge(task, asked, answers, corpus.views, corpus.families(), division.contexts)
    return asked, answers, families, found


def agree(found: Judged, other: dict[str, float], names: dict[str, str]) -> None:
    for ours, theirs in names.items():
        assert found.plain[ours] == pytest.approx(other[theirs])
        assert found.families[ours] == pytest.approx(other[f"{theirs}/family"])


def test_operations(division: Division) -> None:
    asked, answers, families, found = judged(division, "operation", 2)
    views = division.corpus.views
    truths = [views[e.entry].nodes[i].op for e in asked for i in e.masked]
    seen = [s for e in asked for s in division.contexts.seen(views[e.entry], e.masked)]
    columns = {
        "y_true": truths,
        "y_pred": [op for answer in answers for op in answer],
        "seen": seen,
        "family": [f for e, f in zip(asked, families, strict=True) for _ in e.masked],
    }
    other = Evaluator("operation").eval(columns)
    names = {"accuracy": "accuracy", "macro-F1": "macro_f1", "accuracy unseen": "accuracy_unseen"}
    agree(found, other, names)


def test_links(division: Division) -> None:
    asked, answers, families, found = judged(division, "link", 2)
    columns: dict[str, list] = {name: [] for name in ("y_true", "y_pred", "target", "missing", "family")}
    for example, answer, family in zip(asked, answers, families, strict=True):
        edges = [division.corpus.views[example.entry].edges[i] for i in example.removed]
        columns["y_true"] += [e.source for e in edges] + [-1] * len(example.decoys)
        columns["y_pred"] += [*answer.scores, *(np.zeros(1) for _ in example.decoys)]
        columns["target"] += [e.target for e in edges] + [target for target, _ in example.decoys]
        columns["missing"] += list(answer.missing)
        columns["family"] += [family] * len(answer.missing)
    other = Evaluator("link").eval(columns)
    agree(found, other, {"MRR": "mrr_span_2", "MRR >= 5": "mrr_span_5", "missing AUC": "missing_auc"})


def test_incomplete(division: Division) -> None:
    asked, answers, families, found = judged(division, "incomplete", 1)
    views = division.corpus.views
    columns = {
        "y_true": [e.deleted >= 0 for e in asked],
        "y_pred": [a.score for a in answers],
        "entry": [e.entry for e in asked],
        "place_true": [place(views[e.entry], e.deleted) if e.deleted >= 0 else -1 for e in asked],
        "place_pred": [a.places for a in answers],
        "family": families,
    }
    other = Evaluator("incomplete").eval(columns)
    names = {"AUC": "auc", "AUC across": "auc_across", "paired": "paired_accuracy", "place MRR": "place_mrr"}
    agree(found, other, names)


def test_completion(division: Division) -> None:
    asked, answers, families, found = judged(division, "completion", 2)
    views = division.corpus.views
    columns = {
        "y_true": [views[e.entry].nodes[e.given].op for e in asked],
        "y_pred": [a.op for a in answers],
        "sources_true": [[s for _, s in wiring(views[e.entry]).parents[e.given]] for e in asked],
        "sources_pred": [[int(s.argmax()) for s in a.scores] for a in answers],
        "family": families,
    }
    other = Evaluator("completion").eval(columns)
    agree(found, other, {"accuracy": "accuracy", "macro-F1": "macro_f1"})


def test_performance(division: Division) -> None:
    asked, answers, families, found = judged(division, "performance", 1)
    columns = {
        "y_true": [e.value for e in asked],
        "y_pred": answers,
        "group": [(e.task, e.budget) for e in asked],
        "family": families,
    }
    other = Evaluator("performance").eval(columns)
    assert found.plain["tau"] == pytest.approx(other["kendall_tau"])
    assert found.plain["MAE"] == pytest.approx(other["mae"])
