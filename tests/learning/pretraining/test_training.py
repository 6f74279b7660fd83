"""Training: one seed is one result, a killed one goes on bit for bit, what is on disk fits or is refused."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.learning.pretraining.made_data import SHORT, TINY, made_data

from madstar.errors import ConfigurationError, DataError
from madstar.graph.editing import edit
from madstar.learning.datasets.answers import Next, Sources, Suspicion
from madstar.learning.pretraining.answering import Masked, embeddings, predict
from madstar.learning.pretraining.checkpoint import (
    MODEL,
    TRAINING,
    WEIGHTS,
    load_model,
    load_training,
    save_training,
)
from madstar.learning.pretraining.losses import TRAINED, local_loss, sums_of_losses
from madstar.learning.pretraining.running import Told, _steps_in, stops, train
from madstar.learning.pretraining.settings import TrainingSettings
from madstar.learning.pretraining.training import Trainer
from madstar.learning.pretraining.validation import area_under_curve, reciprocal_rank
from madstar.learning.transformer.heads import incomplete
from madstar.learning.transformer.traceable import traced

ROOT = Path(__file__).parents[3]

_CHILD = """
import os, signal, sys, torch
from pathlib import Path
sys.path.insert(0, {root!r})
torch.set_num_threads(1)
from madstar.learning.pretraining.running import train
from tests.learning.pretraining.made_data import SHORT, TINY, made_data
def told(t):
    if t.step == 7:
        os.kill(os.getpid(), signal.SIGKILL)
train(made_data(), Path(sys.argv[1]), TINY, SHORT, watcher=told, save_seconds=0.0)
"""


def weights(folder: Path) -> bytes:
    return (folder / WEIGHTS).read_bytes()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    train(made_data(), out, TINY, SHORT)
    return out


def test_a_killed_training_goes_on_bit_for_bit(trained, tmp_path):
    command = [sys.executable, "-c", _CHILD.format(root=str(ROOT)), str(tmp_path)]
    assert subprocess.run(command, check=False, timeout=60).returncode == -signal.SIGKILL
    assert (tmp_path / TRAINING).is_file()
    told: list[Told] = []
    train(made_data(), tmp_path, TINY, SHORT, resume=True, watcher=told.append)
    assert 1 < told[0].step <= 9
    assert weights(tmp_path) == weights(trained)
    assert json.loads((tmp_path / MODEL).read_text()) == json.loads((trained / MODEL).read_text())
    assert not (tmp_path / TRAINING).exists()


def test_another_seed_is_another_result(trained, tmp_path):
    train(made_data(), tmp_path, TINY, replace(SHORT, seed=4))
    assert weights(tmp_path) != weights(trained)


def test_training_lowers_the_losses_of_all_tasks():
    """On questions of steps that are never taken."""
    trainer = Trainer(
        made_data(), replace(TINY, dropout=0.0), replace(SHORT, steps=60, graphs=12, learning_rate=1e-2)
    )
    asked = [question for step in range(1000, 1060) for question in trainer.draws.questions(step)]

    def means() -> dict[str, float]:
        trainer.model.eval()
        with torch.inference_mode():
            found = sums_of_losses(trainer.model, asked)
        return {task: float(loss) / found.count[task] for task, loss in found.loss.items()}

    before = means()
    trainer.advance(60)
    after = means()
    assert set(before) == set(TRAINED)
    assert all(after[task] < before[task] for task in TRAINED), (before, after)


def test_answers_have_the_forms_that_are_judged(trained):
    model, facts = load_model(trained)
    data = made_data()
    assert facts["dataset"] == "made"
    for limit in (TINY.limit, 16):  # whole, and in parts
        model.config = replace(model.config, limit=limit)
        for task, examples in data.valid.items():
            for example, answer in zip(examples, predict(model, examples, data.views), strict=True):
                shown = data.views[example.entry]
                if task == "operation":
                    assert isinstance(answer, Masked)
                    assert len(answer.operations) == len(example.masked)
                elif task == "link":
                    assert isinstance(answer, Sources)
                    targets = [shown.edges[i].target for i in example.removed]
                    assert [len(s) for s in answer.scores] == targets
                    assert len(answer.missing) == len(example.removed) + len(example.decoys)
                elif task == "incomplete":
                    assert isinstance(answer, Suspicion)
                    assert len(answer.places) == len(shown) - (example.deleted >= 0)
                elif task == "completion":
                    assert isinstance(answer, Next)
                    wanted = [e for e in shown.edges if e.kind == "data" and e.target == example.given]
                    assert [len(s) for s in answer.scores] == [example.given] * len(wanted)
                else:
                    assert answer in ("text", "audio")


def test_answers_do_not_depend_on_their_batch(trained):
    model, _ = load_model(trained)
    data = made_data()
    examples = [*data.valid["incomplete"], *data.valid["operation"]]
    together = predict(model, examples, data.views)
    for example, answer in zip(examples, together, strict=True):
        (alone,) = predict(model, [example], data.views)
        if isinstance(alone, Suspicion) and isinstance(answer, Suspicion):
            alone, answer = (alone.score, alone.places), (answer.score, answer.places)
        for a, b in zip(alone[-1:], answer[-1:], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_whether_anything_is_missing_is_read_from_local_parts_and_where_from_both(trained):
    model, _ = load_model(trained)
    data = made_data()
    before = predict(model, data.valid["incomplete"], data.views)
    torch.nn.init.normal_(model.gap.place[-1].weight, generator=torch.Generator().manual_seed(0))
    after = predict(model, data.valid["incomplete"], data.views)
    assert [a.score for a in after] == [b.score for b in before]
    assert any((a.places != b.places).any() for a, b in zip(after, before, strict=True))


def test_suspicion_is_that_of_the_likeliest_places_against_none():
    logits = torch.tensor([[1.0, 3.0, -9.0, -1e9], [0.5, -9.0, -9.0, -0.5]])
    wanted = torch.tensor([3.0 - 1.0, -0.5 - 0.5 + math.log(3 / 4)])  # of 2 nodes, and of 3, nearest to 4
    torch.testing.assert_close(incomplete(logits, torch.tensor([2, 3])), wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("sizes", [range(12, 23), range(46, 91), range(182, 363)])
def test_suspicion_does_not_say_how_many_nodes_there_are(trained, sizes):
    """A graph has one node more than what is left of it: to count them would tell the two apart."""
    gap = load_model(trained)[0].gap
    scores = []
    for nodes in sizes:
        count = torch.tensor([nodes])
        logits = gap._beside_whole(torch.zeros(1, nodes, 1), count)  # nothing is noticed anywhere
        scores.append(incomplete(logits, count).item())
    assert all(less <= more + 1e-5 for less, more in pairwise(scores))


def test_to_count_nodes_is_no_way_to_tell_graphs_apart(trained):
    model, _ = load_model(trained)
    data = made_data()
    for parameter in model.gap.near.parameters():
        torch.nn.init.zeros_(parameter)
    missing, whole = [], {}
    for example in data.valid["incomplete"]:
        (answer,) = predict(model, [example], data.views)
        if example.deleted < 0:
            whole[example.entry] = answer.score
        else:
            missing.append((example.entry, answer.score))
    assert missing
    assert not any(score > whole[entry] + 1e-5 for entry, score in missing)


def test_embeddings_are_of_graphs(trained):
    model, _ = load_model(trained)
    views = list(made_data().views.values())
    found = embeddings(model, views)
    assert found.shape == (len(views), TINY.width)
    np.testing.assert_allclose(found[1], embeddings(model, [views[1]])[0], rtol=1e-3, atol=1e-4)


def test_minutes_become_steps_that_are_kept(tmp_path, monkeypatch):
    clock = iter(range(10_000))  # every step takes two seconds: when it begins and when it ends
    monkeypatch.setattr("madstar.learning.pretraining.training.time.monotonic", lambda: 2.0 * next(clock))
    long = replace(SHORT, steps=10_000)
    short, longer = (_steps_in(m, Trainer(made_data(), TINY, long), 1) for m in (0.1, 2.0))
    assert short == 1  # however little fits
    assert 40 <= longer <= 60
    monkeypatch.undo()
    with pytest.raises(ConfigurationError, match="minutes"):
        train(made_data(), tmp_path, TINY, SHORT, minutes=0)


def test_a_graph_for_encoder_is_kept_with_the_model_and_with_a_training_that_was_stopped(tmp_path):
    graph = edit(traced("graph-encoder", TINY)).apply([{"rewrite": "share_kv"}]).graph
    train(made_data(), tmp_path / "whole", TINY, SHORT, encoder=graph)
    model, _ = load_model(tmp_path / "whole")
    assert model.encoder_graph == graph
    views = list(made_data().views.values())
    assert np.isfinite(embeddings(model, views)).all()

    def stop(told: Told) -> None:
        if told.step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(made_data(), tmp_path / "stopped", TINY, SHORT, encoder=graph, watcher=stop, save_seconds=0.0)
    with pytest.raises(DataError, match="another encoder"):
        load_training(Trainer(made_data(), TINY, SHORT), tmp_path / "stopped")
    train(made_data(), tmp_path / "stopped", TINY, SHORT, resume=True)
    assert weights(tmp_path / "stopped") == weights(tmp_path / "whole")


def damaged(folder: Path, trained: Path, how: str) -> None:
    document = json.loads((trained / MODEL).read_text())
    content = weights(trained)
    if how == "schema":
        document["schema"] = "madstar.graph-transformer/9"
    elif how == "arrays":
        document["arrays"] = "0"
    elif how == "width":
        document["config"]["width"] = 32
    elif how == "operations":
        document["operations"] = document["operations"][:2]
    elif how == "fields":
        del document["labels"]
    elif how == "torn":
        content = content[: len(content) // 2]
    text = json.dumps(document)
    (folder / MODEL).write_text(text[:50] if how == "text" else "[]" if how == "list" else text)
    (folder / WEIGHTS).write_bytes(content)


@pytest.mark.parametrize("how", ["schema", "arrays", "width", "operations", "fields", "torn", "text", "list"])
def test_a_checkpoint_that_does_not_fit_is_one_line(trained, tmp_path, how):
    damaged(tmp_path, trained, how)
    with pytest.raises(DataError, match=str(tmp_path)) as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)


def test_no_checkpoint(tmp_path):
    with pytest.raises(DataError, match="madstar learn train"):
        load_model(tmp_path)
    with pytest.raises(DataError, match="without --resume"):
        train(made_data(), tmp_path, TINY, SHORT, resume=True)


def test_another_dataset_is_not_gone_on_with(tmp_path):
    data = made_data()
    trainer = Trainer(data, TINY, SHORT)
    trainer.advance(1)
    save_training(trainer, tmp_path)
    with pytest.raises(DataError, match="another dataset"):
        train(replace(data, hash="other"), tmp_path, TINY, SHORT, resume=True)


def test_validation_is_at_eighths_and_at_the_end():
    assert list(stops(0, 16)) == [2, 4, 6, 8, 10, 12, 14, 16]
    assert next(iter(stops(5, 16))) == 6
    assert list(stops(0, 3)) == [1, 2, 3]
    assert list(stops(0, 17))[-1] == 17


def test_figures():
    assert reciprocal_rank(np.array([1.0, 3.0, 2.0]), 2) == 0.5
    assert reciprocal_rank(np.array([2.0, 2.0]), 0) == 0.5
    assert area_under_curve([1.0, 2.0], [0.0, 1.0]) == pytest.approx(0.875)


@pytest.mark.parametrize(
    "change", [{"steps": 0}, {"graphs": 0}, {"gaps": -1}, {"part": 3}, {"learning_rate": 0.0}]
)
def test_impossible_settings(change):
    with pytest.raises(ConfigurationError):
        TrainingSettings(**change)


def test_torch_is_left_as_it_was(tmp_path):
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    trainer = Trainer(made_data(), TINY, SHORT)
    trainer.advance(2)
    assert time.monotonic() > 0
    torch.testing.assert_close(torch.rand(3), wanted)


@pytest.mark.parametrize(
    ("task", "setting", "part"), [("completion", "nearby", "next.local."), ("incomplete", "gaps", "gap.")]
)
def test_nearby_questions_teach_the_local_parts_and_nothing_else(task, setting, part):
    """Steps with them and without, from the same start and of the same other questions."""
    made, none = made_data(), {"nearby": 0, "gaps": 0}
    without, beside = (
        Trainer(made, replace(TINY, dropout=0.0), replace(SHORT, **none | {setting: count}))
        for count in (0, 6)
    )
    assert without.draws.nearby(0, task) == []
    assert {question.task for question in beside.draws.nearby(0, task)} == {task}
    loss = local_loss(beside.model, beside.draws.nearby(0, task))
    loss.backward()
    touched = {name for name, p in beside.model.named_parameters() if p.grad is not None}
    own = {name for name, _ in beside.model.named_parameters() if name.startswith(part)}
    assert touched == {name for name in own if not name.startswith("gap.place.")}
    before = float(loss.detach())
    beside.advance(12)
    without.advance(12)
    with torch.inference_mode():
        after, other = (
            float(local_loss(each.model.eval(), beside.draws.nearby(0, task))) for each in (beside, without)
        )
    assert after < other < before
