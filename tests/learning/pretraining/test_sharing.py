"""A step shared among processes: the same gradients, whoever works them out; and what ends a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.learning.pretraining.made_data import SHORT, TINY, made_data

from madstar.errors import ConfigurationError, WorkerError
from madstar.learning.features import features
from madstar.learning.pretraining.questions import Question
from madstar.learning.pretraining.sharing import sharing
from madstar.learning.pretraining.steps import Piece, shared_out
from madstar.learning.pretraining.training import Trainer

ROOT = Path(__file__).parents[3]
SETTINGS = replace(SHORT, tokens=96, graphs=7)
"""Several pieces a step."""


def parameters(trainer: Trainer) -> np.ndarray:
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()]).numpy().copy()


def gradients(trainer: Trainer, of: int) -> list[torch.Tensor]:
    pieces = trainer.draws.pieces(2)
    found: list[list[torch.Tensor]] = []
    for share in range(of):
        trainer.learn(2, pieces, share, of)
        own = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in trainer.model.parameters()]
        found.append(own)
    return [torch.stack(each).sum(0) for each in zip(*found, strict=True)]


def test_the_gradients_of_all_shares_are_those_of_the_step():
    """With dropout: what a piece draws does not depend on who works it out."""
    trainer = Trainer(made_data(), replace(TINY, dropout=0.3), SETTINGS)
    assert len(trainer.draws.pieces(2)) >= 3
    whole = gradients(trainer, 1)
    assert any(float(each.abs().max()) > 0.01 for each in whole)
    for of in (2, 3, 9):
        for one, other in zip(whole, gradients(trainer, of), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_two_processes_train_the_same_model():
    alone, shared = (Trainer(made_data(), replace(TINY, dropout=0.2), SETTINGS) for _ in range(2))
    start = parameters(alone)
    alone.advance(6)
    with sharing(shared, 2):
        shared.advance(6)
    np.testing.assert_allclose(parameters(shared), parameters(alone), rtol=1e-3, atol=2e-5)
    assert np.abs(parameters(alone) - start).max() > 1e-3
    assert shared.losses == pytest.approx(alone.losses, rel=1e-4)
    assert shared.nodes == alone.nodes
    shared.advance(7)  # alone again, of the same weights
    alone.advance(7)
    np.testing.assert_allclose(parameters(shared), parameters(alone), rtol=1e-3, atol=2e-5)


def test_a_process_that_is_killed_is_one_line():
    trainer = Trainer(made_data(), TINY, SETTINGS)
    with sharing(trainer, 2):
        trainer.advance(1)
        assert trainer.others is not None
        (process,) = trainer.others._processes
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match="--resume") as caught:
            trainer.advance(5)
    assert "\n" not in str(caught.value)
    assert trainer.others is None


_CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from madstar.learning.pretraining.sharing import sharing
from madstar.learning.pretraining.training import Trainer
from tests.learning.pretraining.made_data import SHORT, TINY, made_data
trainer = Trainer(made_data(), TINY, SHORT)
with sharing(trainer, 2):
    trainer.advance(1)
    (process,) = trainer.others._processes
    Path(sys.argv[1]).write_text(str(process.pid))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_other_process_ends_with_the_one_that_trains(tmp_path):
    said = tmp_path / "pid"
    command = [sys.executable, "-c", _CHILD.format(root=str(ROOT)), str(said)]
    assert subprocess.run(command, check=False, timeout=60).returncode == -signal.SIGKILL
    stat = Path(f"/proc/{said.read_text()}/stat")
    until = time.monotonic() + 20
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < until
        time.sleep(0.05)


def test_what_cannot_be_shared():
    trainer = Trainer(made_data(), TINY, SETTINGS)
    with pytest.raises(ConfigurationError, match="at least 1"), sharing(trainer, 0):
        pass
    trainer.device = torch.device("cuda")
    with pytest.raises(ConfigurationError, match="GPU"), sharing(trainer, 2):
        pass


@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.integers(1, 4))
def test_every_piece_is_in_one_share(sizes, among):
    data = made_data()
    question = Question(
        "completion",
        features(data.views["llama"], data.table),
        *(np.zeros(0, np.int32),) * 3,
        np.zeros((0, 4), np.int32),
        0,
        (0, 1),
    )
    pieces = [Piece(i, (question,) * size) for i, size in enumerate(sizes)]
    shares = shared_out(pieces, among)
    assert sorted(piece.number for share in shares for piece in share) == list(range(len(sizes)))
    costs = [sum(piece.cost for piece in share) for share in shares]
    assert max(costs) - min(costs) <= max(piece.cost for piece in pieces) + 1e-6
