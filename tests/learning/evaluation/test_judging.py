import numpy as np
import pytest

from madstar.learning.datasets.answers import Next, Sources, Suspicion
from madstar.learning.datasets.examples import Classified, Completion, Incomplete, Links, Measured, Operations
from madstar.learning.evaluation.judging import HEADLINES, Contexts, Judged, judge
from madstar.learning.hiding import place
from madstar.learning.view import GraphView

from ..baselines.small import model

VIEWS = {"a": model(0), "b": model(0, 5), "c": model(2)}
FAMILIES = {"a": "one", "b": "one", "c": "two"}


def judged(task: str, examples: list, answers: list, known: tuple[GraphView, ...] = ()) -> Judged:
    return judge(task, examples, answers, VIEWS, FAMILIES, Contexts(known))


def ops(entry: str, nodes: tuple[int, ...]) -> list[str]:
    return [VIEWS[entry].nodes[i].op for i in nodes]


def test_the_mean_over_families_counts_each_once() -> None:
    examples = [Operations("a", (2, 3, 4)), Operations("b", (2,)), Operations("c", (2,))]
    answers = [ops("a", (2, 3, 4)), ops("b", (2,)), ["wrong"]]
    found = judged("operation", examples, answers)
    assert found.plain["accuracy"] == pytest.approx(4 / 5)
    assert found.families["accuracy"] == pytest.approx(1 / 2)
    assert found.by_family["one"]["accuracy"] == 1
    assert found.counts["questions"] == 5
    assert found.counts["of unseen types"] == 5


def test_seen_contexts_are_those_of_training() -> None:
    examples = [Operations("a", (3, 4)), Operations("c", (3,), "blocks")]
    answers = [ops("a", (3, 4)), ["wrong"]]
    found = judged("operation", examples, answers, (VIEWS["a"],))
    assert found.plain["accuracy seen"] == 1
    assert found.plain["accuracy unseen"] == 0
    assert found.plain["share seen"] == pytest.approx(2 / 3)
    assert (found.plain["accuracy spans"], found.plain["accuracy blocks"]) == (1, 0)
    nothing = judged("operation", examples, answers)
    assert "accuracy seen" not in nothing.plain


def test_links_by_span_and_what_is_missing() -> None:
    view = VIEWS["a"]
    far = max(range(len(view.edges)), key=lambda i: view.edges[i].target - view.edges[i].source)
    near = next(i for i, e in enumerate(view.edges) if e.target - e.source == 1)
    removed = tuple(sorted((near, far)))
    scores = []
    for number in removed:
        edge = view.edges[number]
        row = np.zeros(edge.target)
        row[edge.source] = 1 if number == far else -1
        scores.append(row)
    answer = Sources(tuple(scores), np.array([1.0, 1.0, 0.0]))
    found = judged("link", [Links("a", removed, ((5, 2),))], [answer])
    assert found.plain["missing AUC"] == 1
    edge = view.edges[near]
    assert found.plain["MRR"] == pytest.approx((1 + 1 / edge.target) / 2)
    if view.edges[far].target - view.edges[far].source >= 5:
        assert found.plain["MRR >= 5"] == 1


def test_incomplete_graphs() -> None:
    view = VIEWS["a"]
    gap = 2  # the first norm
    where = place(view, gap)
    places = np.zeros(len(view) - 1)
    places[where] = 1
    examples = [Incomplete("a", -1), Incomplete("a", gap), Incomplete("c", -1)]
    answers = [Suspicion(0.5, np.zeros(len(view))), Suspicion(0.7, places), Suspicion(0.9, np.zeros(1))]
    found = judged("incomplete", examples, answers)
    assert found.plain["AUC"] == 0.5
    assert found.plain["paired"] == 1
    assert found.plain["place MRR"] == 1
    assert found.families["AUC"] == 1  # the other family has nothing to tell apart
    assert found.plain["AUC across"] == found.families["AUC across"] == 0  # below the whole graph of another


def test_to_count_nodes_is_worth_nothing_across_graphs() -> None:
    examples, answers = [], []
    for entry, nodes in (("a", 10), ("c", 20), ("b", 30)):
        for deleted in (-1, 2, 3):
            examples.append(Incomplete(entry, deleted))
            answers.append(Suspicion(-float(nodes - (deleted >= 0)), np.zeros(len(VIEWS["a"]))))
    found = judged("incomplete", examples, answers)
    assert found.families["paired"] == 1
    assert found.families["AUC"] > 0.8
    assert found.families["AUC across"] == found.plain["AUC across"] == 0.5


def test_completion_labels_and_measurements() -> None:
    view = VIEWS["a"]
    given = next(e.target for e in view.edges if e.position == 1)
    sources = [e.source for e in view.edges if e.target == given]
    rows = tuple(np.eye(given)[s] for s in sources)
    found = judged("completion", [Completion("a", given)], [Next(view.nodes[given].op, rows)])
    assert found.plain["accuracy"] == found.plain["sources MRR"] == 1
    found = judged(
        "classification",
        [Classified("a", "text"), Classified("c", "text", "domain", "a")],
        ["text", "vision"],
    )
    assert (found.plain["accuracy"], found.plain["accuracy matched"]) == (0.5, 0)
    measured = [
        Measured(e, "q", b, v, None, 1) for e, b, v in (("a", "1", 1.0), ("b", "1", 2.0), ("c", "2", 0.5))
    ]
    found = judged("performance", measured, [0.1, 0.3, 0.0])
    assert found.plain["tau"] == 1
    assert found.plain["MAE"] == pytest.approx((0.9 + 1.7 + 0.5) / 3)


def test_every_headline_is_measured_somewhere() -> None:
    assert set(HEADLINES) == {
        "operation",
        "link",
        "incomplete",
        "completion",
        "classification",
        "performance",
    }
