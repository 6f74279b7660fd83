"""Every learner of every task: it learns, answers in the form asked for, and sees nothing that is hidden."""

import sys
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from madstar.errors import ConfigurationError
from madstar.learning.baselines.catalogue import learners
from madstar.learning.baselines.forest import Columns, CountForest, Forest, Tree
from madstar.learning.baselines.learner import Learner
from madstar.learning.baselines.links import Combined, PairTable, Previous, asked
from madstar.learning.baselines.lookup import NEAR, Lookup
from madstar.learning.baselines.wiring import near_context, wiring
from madstar.learning.datasets.examples import TASKS, Completion, Links, Operations
from madstar.learning.evaluation.judging import judge
from madstar.learning.evaluation.running import Contexts, Division
from madstar.learning.metrics import reciprocal_rank
from madstar.learning.view import INPUT, GraphView

from .small import Builder, Small


@pytest.fixture(scope="module")
def small() -> Small:
    return Small()


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    from madstar.learning.baselines import forest

    class Fewer:
        def __init__(self, module: str) -> None:
            self.module = load(module)

        def __getattr__(self, name: str) -> Any:
            kind = getattr(self.module, name)
            if name.startswith("Hist"):
                return lambda **given: kind(max_iter=5, **given)
            return lambda trees, **given: kind(8, **given)

    load = forest.sklearn
    monkeypatch.setattr(forest, "TREES", 8)
    monkeypatch.setattr("madstar.learning.baselines.performance.sklearn", Fewer)


ALL = [(task, i) for task in TASKS for i in range(len(learners(task)))]
NAMES = [f"{task}: {learners(task)[i].name}" for task, i in ALL]


def fitted(small: Small, task: str, number: int) -> tuple[Learner, Division]:
    division = Division(small, "family", 0)
    learner = learners(task)[number]
    learner.fit(division.part(task, "train"), division.part(task, "valid"), small.views, 0)
    return learner, division


@pytest.mark.parametrize(("task", "number"), ALL, ids=NAMES)
def test_answers_have_the_form_that_is_judged_and_nothing_hidden_is_seen(
    small: Small, task: str, number: int
) -> None:
    learner, division = fitted(small, task, number)
    test = division.part(task, "test")
    answers = learner.predict(test, small.views)
    contexts = Contexts(small.views[entry] for entry in division.entries)
    found = judge(task, test, answers, small.views, small.families(), contexts)
    assert found.counts["examples"] == len(test) == len(answers)
    assert all(np.isfinite(value) for value in found.plain.values())
    if task in ("operation", "link", "completion"):
        for example, answer in zip(test[:6], answers[:6], strict=True):
            other = {**small.views, example.entry: changed(example, small.views[example.entry])}
            assert same(learner.predict([example], other)[0], answer)


def changed(example: Any, view: GraphView) -> GraphView:
    """The view with another answer to the question."""
    match example:
        case Operations():
            asked = frozenset(example.masked)
            nodes = (replace(n, op="tanh", weights=()) if i in asked else n for i, n in enumerate(view.nodes))
            return replace(view, nodes=tuple(nodes))
        case Links():
            gone = frozenset(example.removed)
            edges = (
                replace(e, source=(e.source + 1) % e.target) if i in gone else e
                for i, e in enumerate(view.edges)
            )
            return replace(view, edges=tuple(edges))
        case Completion():
            later = (replace(n, op="tanh") if i >= example.given else n for i, n in enumerate(view.nodes))
            edges = (replace(e, source=0) if e.target >= example.given else e for e in view.edges)
            return replace(view, nodes=tuple(later), edges=tuple(edges))
    raise AssertionError(example)


def same(one: Any, other: Any) -> bool:
    if hasattr(one, "scores"):
        equal = all(np.allclose(a, b) for a, b in zip(one.scores, other.scores, strict=True))
        return equal and getattr(one, "op", "") == getattr(other, "op", "")
    return bool(one == other)


@pytest.mark.parametrize(("task", "number"), [("operation", 5), ("performance", 6)])
def test_one_seed_is_one_learner(small: Small, task: str, number: int) -> None:
    one, division = fitted(small, task, number)
    other, _ = fitted(small, task, number)
    asked = division.part(task, "test")
    assert one.predict(asked, small.views) == other.predict(asked, small.views)


def test_lookup_is_the_commonest_in_the_context(small: Small) -> None:
    learner = Lookup("parents + children", NEAR)
    division = Division(small, "family", 1)
    train = division.part("operation", "train")
    learner.fit(train, [], small.views, 0)
    counts: Counter[str] = Counter()
    # Without masks every context of a training graph was counted: what stands there most often is the answer.
    entry = train[0].entry
    w = wiring(small.views[entry])
    context = near_context(w, 3)
    for other in {e.entry for e in train}:
        known = wiring(small.views[other])
        counts.update(known.ops[n] for n in range(1, len(known)) if near_context(known, n) == context)
    answer = learner.predict([Operations(entry, (3,))], small.views)[0][0]
    assert counts[answer] == max(counts.values())


def test_learners_beat_the_majority(small: Small) -> None:
    division = Division(small, "family", 0)
    asked = division.part("operation", "test")
    contexts = division.contexts
    found = {}
    for learner in (Lookup("majority"), Lookup("near", NEAR), Forest("forest", 4, trees=8)):
        learner.fit(division.part("operation", "train"), [], small.views, 0)
        answers = learner.predict(asked, small.views)
        judged = judge("operation", asked, answers, small.views, small.families(), contexts)
        found[learner.name] = judged.families["accuracy"]
    assert found["majority"] < found["near"]
    assert found["majority"] + 0.2 < found["forest"]


def test_the_combined_rule_finds_what_nothing_takes() -> None:
    views, examples = {}, []
    for number in range(8):
        b = Builder()
        x = b.add(INPUT)
        kept = b.add("relu", x)
        for _ in range(2 + number):
            x = b.add("linear", x)
        b.add("add", x, kept)
        views[str(number)] = b.view()
        removed = next(i for i, e in enumerate(views[str(number)].edges) if e.source == kept)
        examples.append(Links(str(number), (removed,), ()))
    rule = Combined()
    rule.fit(examples[:4], [], views, 0)
    for answer in rule.predict(examples[4:], views):
        assert reciprocal_rank(answer.scores[0], 1) == 1
    before = Previous()
    before.fit(examples[:4], [], views, 0)
    assert all(reciprocal_rank(a.scores[0], 1) < 0.5 for a in before.predict(examples[4:], views))


def test_what_is_seen_of_links_does_not_say_where_they_came_from(small: Small) -> None:
    for example in small.examples("link"):
        other = {example.entry: changed(example, small.views[example.entry])}
        (one,), (two,) = asked([example], small.views), asked([example], other)
        assert one.sources != two.sources
        assert (one.shown, one.shapes, one.outputs, one.places) == (
            two.shown,
            two.shapes,
            two.outputs,
            two.places,
        )


def test_pairs_prefer_what_was_seen_near(small: Small) -> None:
    table = PairTable(iter([wiring(view) for view in small.views.values()]))
    w = wiring(small.views["model 0"])
    target = w.ops.index("add")
    scores = table.scores(w.ops, "add", 1, target)
    assert scores.shape == (target,)
    assert w.ops[int(scores.argmax())] in ("linear", "dropout")


def test_a_kept_tree_answers_as_the_one_that_was_grown() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (200, 12)).astype(np.float32)
    y = (x[:, 0] + x[:, 3] * x[:, 5] + rng.integers(0, 2, 200)) % 5
    grown = DecisionTreeClassifier(max_features="sqrt", random_state=0).fit(x, y)
    other = rng.integers(0, 4, (300, 12)).astype(np.float32)
    np.testing.assert_allclose(Tree(grown).shares(other), grown.predict_proba(other), atol=1e-6)


def test_a_forest_is_as_good_as_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(0, 3, (600, 10)).astype(np.float32)
    y = np.array(list("abc"))[np.where(rng.random(600) < 0.1, 2 - x[:, 0], x[:, 0]).astype(int)]
    rows = [{str(i): float(v) for i, v in enumerate(row)} for row in x]
    own = CountForest(30)
    own.fit(rows[:400], y[:400].tolist(), 0)
    theirs = RandomForestClassifier(30, random_state=0).fit(x[:400], y[:400])
    right = np.mean(np.array(own.predict(rows[400:])) == y[400:])
    assert abs(right - theirs.score(x[400:], y[400:])) < 0.05
    assert own.shares(rows[:5]).sum(1) == pytest.approx(1)
    assert own.probability(rows[:5], "a") == pytest.approx(own.shares(rows[:5])[:, 0])
    assert own.probability(rows[:5], "z").tolist() == [0.0] * 5


def test_columns_not_seen_in_training_count_nothing() -> None:
    columns = Columns([{"a": 1, "b": 2}])
    assert columns.matrix([{"b": 3, "c": 9}]).toarray().tolist() == [[0, 3]]


def test_without_scikit_learn_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    from madstar.learning.baselines.forest import sklearn

    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(ConfigurationError, match=r"madstar\[learn\]"):
        sklearn("ensemble")


def test_unknown_task() -> None:
    with pytest.raises(ConfigurationError, match="the tasks are operation"):
        learners("cooking")
