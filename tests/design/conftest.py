from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madstar.archive import Archive
from madstar.design import Limits, begin, make_settings, resume
from madstar.design.candidates import of_genome, of_graph
from madstar.design.settings import DesignSettings
from madstar.genome import sample
from madstar.genome.variation import settle

from .made_blocks import shift_block

HERE = str(Path(__file__).parent)
LIGHT = "design_handlers:make_handler"
WIDTH = 16


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(7)
    words = [
        "the",
        "of",
        "and",
        "model",
        "layer",
        "token",
        "state",
        "reads",
        "writes",
        "keeps",
        "drops",
        "second",
    ]
    lines = [" ".join(rng.choice(words, size=int(rng.integers(5, 12)))) + "." for _ in range(900)]
    path = tmp_path_factory.mktemp("text") / "corpus.txt"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="session")
def small(text: Path) -> dict[str, Any]:
    """Settings of the smallest run."""
    return {
        "data": str(text),
        "rounds": 2,
        "candidates": 4,
        "steps": 2,
        "width": WIDTH,
        "heads": 4,
        "pairs": 1,
        "sources": 2,
        "training": {"length": 32, "batch": 2, "warmup": 1, "validation_windows": 8},
    }


@pytest.fixture(scope="session")
def pool_file(small: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Candidates as light workers propose them: 40 genomes, a dozen blocks."""
    space = make_settings(**small).space(256)
    rng = np.random.default_rng(3)
    genomes: dict[str, Any] = {}
    while len(genomes) < 40:
        made = of_genome(settle(sample(space, rng), "random", space, rng).genome, "random")
        genomes[made.key] = made.to_dict()
    graphs = [of_graph(shift_block(WIDTH, n)).to_dict() for n in range(1, 13)]
    for each in (*genomes.values(), *graphs):
        each["description"] = {"size": {"nodes": float(len(each["text"]))}}
    path = tmp_path_factory.mktemp("pool") / "pool.json"
    path.write_text(json.dumps({"genomes": list(genomes.values()), "graphs": graphs}))
    return path


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch, pool_file: Path, tmp_path: Path, small: dict[str, Any]) -> Light:
    """Runs whose workers answer at once."""
    monkeypatch.setenv("MADSTAR_TEST_POOL", str(pool_file))
    return Light(tmp_path / "home", small, json.loads(pool_file.read_text()), monkeypatch)


class Light:
    """Begins and resumes runs of light workers in one home."""

    def __init__(self, home: Path, small: dict[str, Any], pool: dict[str, Any], patch: Any) -> None:
        self.home, self.small, self.pool, self.patch = home, small, pool, patch

    def hostile(self, **deeds: str) -> None:
        """What candidates by key, or parts by name, do."""
        self.patch.setenv("MADSTAR_TEST_HOSTILE", json.dumps(deeds))

    def settings(self, **changes: Any) -> DesignSettings:
        return make_settings(**{**self.small, **changes})

    def begin(self, limits: Limits | None = None, **changes: Any) -> Any:
        options = {name: changes.pop(name) for name in ("told", "name") if name in changes}
        if (ask := changes.pop("ask", None)) is not None:
            options["approve"] = ask
        return begin(
            self.settings(**changes),
            limits or some_limits(),
            home=self.home,
            handler=LIGHT,
            import_paths=[HERE],
            **options,
        )

    def resume(self, name: str = "latest", **options: Any) -> Any:
        return resume(name, home=self.home, handler=LIGHT, import_paths=[HERE], **options)


def some_limits(**changes: Any) -> Limits:
    values: dict[str, Any] = {
        "seconds": 600.0,
        "workers": 1,
        "memory": 100 * 2**20,
        "disk": 20 * 2**20,
        "parameters": 10**6,
        "candidates": 100,
        "candidate_seconds": 60.0,
    }
    return Limits(**{**values, **changes})


def rows_of(home: Path, name: str = "latest") -> tuple[Any, Any, Any]:
    with Archive.open(home / "archive.sqlite", create=False) as archive:
        run = archive.run(name)
        return run, archive.candidates(run.id), archive.evaluations(run.id)
