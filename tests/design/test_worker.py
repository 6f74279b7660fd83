"""What a worker answers, in this process and with the true models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from madstar.design import models, proposing
from madstar.design.asking import (
    GENERATOR,
    PREDICTOR,
    QUALITY,
    TEST,
    WEIGHTS,
    Asked,
    free_share,
    split,
)
from madstar.design.candidates import of_dict, of_graph
from madstar.design.settings import make_settings
from madstar.design.worker import Worker, load_generator
from madstar.errors import MadstarError
from madstar.graph.hashing import structural_hash
from madstar.learning.generator import Generator
from madstar.tasks import TextTask, prepare_text

from .conftest import WIDTH, some_limits
from .made_blocks import backward_block, linear_block, shift_block, trained_block


def silent(progress: dict[str, Any]) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def task(text: Path, tmp_path_factory: pytest.TempPathFactory) -> TextTask:
    folder = tmp_path_factory.mktemp("data") / "text"
    return prepare_text(str(text), directory=folder, length=32, seed=0)


@pytest.fixture
def worker(task: TextTask, small: dict[str, Any]) -> Worker:
    return Worker(task, make_settings(**small), some_limits(), {})


def asked(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"free": 1, "pool": 3, "seconds": 30.0, "seed": 5, "known": frozenset()}
    return Asked(**{**values, **changes}).to_dict()


def answer(worker: Worker, do: str, work: Path, **payload: Any) -> dict[str, Any]:
    return worker.answer({"do": do, "work": str(work), **payload}, silent)


def test_genomes_are_described_learned_from_and_predicted(worker: Worker, tmp_path: Path) -> None:
    made = answer(worker, "genomes", tmp_path / "a", **asked(free=2, pool=6), predictor=None)
    candidates = [of_dict(each) for each in (*made["free"], *made["pool"])]
    assert len({each.key for each in candidates}) == 8
    assert all(each.description["size"] and each.prediction is None for each in candidates)
    measured = [[each.key, each.description, 2.0 + n / 10] for n, each in enumerate(candidates)]
    facts = answer(worker, "predictor", tmp_path / "b", measured=measured, seed=1)
    assert facts["measured"] == 8
    folder = str(tmp_path / "b" / PREDICTOR)
    assert facts["hash"] == models.hash_of(Path(folder))
    parents = tuple((n, each.text) for n, each in enumerate(candidates[:4]))
    known = frozenset(each.key for each in candidates)
    payload = asked(free=1, pool=3, known=known, parents=parents)
    again = answer(worker, "genomes", tmp_path / "c", **payload, predictor=folder)
    told = [of_dict(each) for each in (*again["free"], *again["pool"])]
    assert not known & {each.key for each in told}
    assert all(each.prediction is not None and each.prediction.model == facts["hash"] for each in told)
    assert {each.origin for each in told[1:]} == {"variation"}
    assert all(set(each.parents) <= {0, 1, 2, 3} and each.parents for each in told[1:])


def test_a_candidate_is_trained_and_tested(worker: Worker, tmp_path: Path) -> None:
    candidate = of_graph(shift_block(WIDTH, 2)).to_dict()
    once = answer(worker, "train", tmp_path / "a", candidate=candidate)
    assert once["steps"] == 2
    assert 1 < once["values"][QUALITY] < 12
    twice = answer(worker, "train", tmp_path / "b", candidate=candidate)
    assert twice["values"] == once["values"]
    weights = str(tmp_path / "a" / WEIGHTS)
    tested = answer(worker, "test", tmp_path / "c", candidate=candidate, weights=weights)
    assert tested["values"][TEST] == pytest.approx(once["values"][QUALITY], abs=1)


def test_what_is_a_mixer() -> None:
    blocks = [
        shift_block(WIDTH, 2),
        linear_block(WIDTH, 8),
        backward_block(WIDTH),
        shift_block(WIDTH // 2, 2),
    ]
    assert [models._is_mixer(block, WIDTH) for block in blocks] == [True, False, False, False]


def test_a_generator_is_fitted_and_what_it_makes_is_looked_at(worker: Worker, tmp_path: Path) -> None:
    blocks = [(trained_block(WIDTH, by), "layer") for by in range(1, 5)]
    models.write_corpus(blocks, tmp_path / "corpus.json")
    assert [structural_hash(block) for block, _ in models.read_corpus(tmp_path / "corpus.json")] == [
        structural_hash(block) for block, _ in blocks
    ]
    tried = [(of_graph(trained_block(WIDTH, 7 + n)).to_dict(), n / 2) for n in range(3)]
    facts = answer(
        worker,
        "generator",
        tmp_path / "a",
        corpus=str(tmp_path / "corpus.json"),
        former=None,
        tried=tried,
        seconds=4.0,
        seed=1,
    )
    assert facts["tried"] == 3
    folder = str(tmp_path / "a" / GENERATOR)
    assert load_generator(folder).facts.grades == {"unmeasured": 4, "best": 3, "middle": 1, "rest": 1}
    again = answer(
        worker,
        "generator",
        tmp_path / "again",
        corpus=str(tmp_path / "corpus.json"),
        former=folder,
        tried=[],
        seconds=1.0,
        seed=1,
    )
    assert again["loss"] < facts["loss"]  # it goes on learning
    assert again["hash"] != facts["hash"]
    made = answer(
        worker,
        "graphs",
        tmp_path / "b",
        **asked(free=1, pool=2, seconds=4.0),
        predictor=None,
        generator=folder,
    )
    counts = made["counts"]
    assert counts["drawn"] >= 1
    reasons = sum(count for why, count in counts.items() if why != "drawn")
    assert reasons + len(made["free"]) + len(made["pool"]) == counts["drawn"]


def test_while_what_is_drawn_is_known_the_next_is_drawn_hotter(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = models.fit_generator([(trained_block(WIDTH, 1), "layer")], [], 0, steps=1)
    blocks = [trained_block(WIDTH, by) for by in (1, 1, 1, 2, 2, 3)]
    temperatures: list[float] = []

    def generate(self: Generator, *given: Any, temperature: float, **more: Any) -> list[Any]:
        temperatures.append(temperature)
        return [blocks[len(temperatures) - 1]]

    monkeypatch.setattr(Generator, "generate", generate)
    asked_for = Asked.of(asked(free=0, pool=2))
    sizes = worker.sizes
    made = proposing.graphs(asked_for, worker.settings, sizes, 10**7, None, tmp_path, generator, silent)
    assert made.counts == {"drawn": 6, "as learned": 3, "known": 1}
    assert len(made.pool) == 2
    hotter = [1.1**n for n in (0, 1, 2, 3, 2, 3)]
    assert temperatures == pytest.approx(hotter)
    for _ in range(20):
        hotter.append(proposing.next_temperature(hotter[-1], new=False))
    assert hotter[-1] == 2.0


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema": 1}', b"[" * 100_000, bytes(range(256))])
def test_hostile_files_are_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    for name in ("generator.json", "model.safetensors", "predictor.json", "predictor.safetensors"):
        (tmp_path / name).write_bytes(content)
    for load in (load_generator, models.scorer_of):
        with pytest.raises(MadstarError) as raised:
            load(str(tmp_path))
        assert "\n" not in str(raised.value)
    with pytest.raises(MadstarError):
        models.read_corpus(tmp_path / "generator.json")


def test_what_takes_too_long_is_ended_and_nothing_is_left_of_the_clock() -> None:
    def spin() -> None:
        while True:
            pass

    with pytest.raises(proposing.TimeIsOver), proposing.within(0.05):
        spin()
    with proposing.within(60):
        pass


def test_shares_of_a_round() -> None:
    assert [free_share(n, 0.25) for n in (0, 1, 2, 6, 12)] == [0, 1, 1, 2, 3]
    assert free_share(6, 0.0) == 0
    assert free_share(6, 1.0) == 6
    assert split(make_settings(candidates=9, graphs=0.5)) in ((4, 5), (5, 4))
    assert split(make_settings(graphs=0.0)) == (0, 12)


def test_generators_are_loaded_from_their_folder(tmp_path: Path) -> None:
    fitted = models.fit_generator([(trained_block(WIDTH, 2), "layer")], [], 0, steps=1)
    fitted.save(tmp_path)
    assert isinstance(load_generator(str(tmp_path)), Generator)
