"""The loop's two models: a generator of blocks and a predictor of scores, fitted in a worker."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, GraphError, LayerError, MadstarError
from ..graph.hashing import structural_hash
from ..graph.json_format import from_json, to_json
from ..graph.model import Graph
from ..learning.generator import Generator, blocks_of, fit, fit_on
from ..learning.generator.decisions import BEST, GRADES, is_mixer
from ..learning.generator.grades import grade_of
from ..learning.predictor import Description, Predictor
from ..learning.predictor import Figure as PredictedFigure
from ..learning.predictor import fit as fit_predictor
from ..learning.predictor import load as load_predictor
from ..learning.predictor import save as save_predictor
from ..whole_files import write_whole
from .asking import QUALITY
from .candidates import Candidate, Prediction, graph_of
from .mixers import why_no_mixer

MOST_BLOCKS = 3000
_ENOUGH = 8
_AGAIN = 3
"""How often a block among the best of the run counts among those that the generator learns."""


def built_in_blocks(width: int, genomes: int, seed: int) -> list[tuple[Graph, str]]:
    """Blocks of MAD's layers and of random genomes, with their domains; no structure twice."""
    from ..learning.corpus.generated import mad_layers, random_genomes

    graphs = []
    for wanted in (*mad_layers(dim=width), *random_genomes(genomes, seed, (2, 4))):
        try:
            entry = wanted.make()
        except (GraphError, LayerError):
            continue
        if entry is not None:
            graphs.append((entry.graph, "genome" if entry.source == "genome" else "layer"))
    blocks = _cut(graphs)
    mixers = [(block, domain) for block, domain in blocks if _is_mixer(block, width)]
    # What else stands in these models teaches little of mixers, and a short fit is better spent on them.
    return mixers if len(mixers) >= _ENOUGH else blocks


def dataset_blocks(folder: Path) -> list[tuple[Graph, str]]:
    """Blocks of a dataset of `madstar learn dataset`. Raises DataError."""
    from ..learning.datasets.dataset import Stored

    stored = Stored(folder)
    return _cut((stored.graph(key), str(stored.row(key).get("domain") or "other")) for key in stored.keys)


def _cut(graphs: Iterable[tuple[Graph, str]]) -> list[tuple[Graph, str]]:
    found: dict[str, tuple[Graph, str]] = {}
    for graph, domain in graphs:
        for block in blocks_of(graph):
            found.setdefault(structural_hash(block), (block, domain))
        if len(found) >= MOST_BLOCKS:
            break
    return list(found.values())


def _is_mixer(block: Graph, width: int) -> bool:
    """Whether it may stand as a mixer of this width, and brings tokens together."""
    plain = replace(block, facts={})
    return not why_no_mixer(plain, width) and is_mixer(plain)


def write_corpus(blocks: Sequence[tuple[Graph, str]], file: Path) -> None:
    """Keep the blocks that generators are fitted to."""
    write_whole(file, json.dumps([[to_json(block), domain] for block, domain in blocks]).encode())


def read_corpus(file: Path) -> list[tuple[Graph, str]]:
    """What `write_corpus` wrote. Raises DataError."""
    try:
        rows = json.loads(file.read_bytes())
        return [(from_json(str(text), "a block of the corpus"), str(domain)) for text, domain in rows]
    except (OSError, ValueError, TypeError, RecursionError, GraphError):
        raise DataError(f"{file} is no corpus of blocks, or is damaged: begin a new run") from None


def fit_generator(
    corpus: Sequence[tuple[Graph, str]],
    tried: Sequence[tuple[Candidate, float]],
    seed: int,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    progress: Callable[[float, float], None] | None = None,
    former: Generator | None = None,
) -> Generator:
    """A generator fitted to all blocks and to those that the run tried, with the share that each was behind.

    Each of those has the grade of its third, so that one of the best can be asked for, and the best count
    more. A generator that was there before goes on learning, so that each round adds to what is known.
    """
    blocks = [(block, domain, GRADES[0]) for block, domain in corpus]
    for candidate, behind in tried:
        grade = grade_of(behind)
        blocks += [(graph_of(candidate), "", grade)] * (_AGAIN if grade == BEST else 1)
    graphs = [block for block, _, _ in blocks]
    how: dict[str, Any] = {"minutes": minutes, "steps": steps, "progress": progress}
    how |= {"domains": [domain for _, domain, _ in blocks], "grades": [grade for _, _, grade in blocks]}
    return fit(graphs, seed, **how) if former is None else fit_on(former, graphs, seed, **how)


def fit_scores(
    measured: Sequence[tuple[str, Description, float]], budget: str, seed: int, folder: Path
) -> dict[str, Any]:
    """Fit a predictor to what the run has measured, and keep it in a folder; facts of it.

    Raises DataError where that is too little.
    """
    from ..learning.datasets.examples import Measured

    descriptions = {key: description for key, description, _ in measured}
    rows = [Measured(key, QUALITY, budget, value, None, 1) for key, _, value in measured]
    found = fit_predictor(descriptions, rows, rng=np.random.default_rng(seed))
    save_predictor(found, folder)
    return {"measured": len(descriptions), "hash": hash_of(folder)}


class Scorer:
    """A predictor of the run's quality with the hash of its files."""

    def __init__(self, folder: Path) -> None:
        self.predictor: Predictor = load_predictor(folder)
        self.hash = hash_of(folder)
        figures = [figure for figure in self.predictor.figures if figure.task == QUALITY]
        if not figures:
            raise DataError(f"{folder} predicts no {QUALITY}: fit it to a design run")
        self.figure: PredictedFigure = figures[0]

    def predict(self, descriptions: Sequence[Description]) -> list[Prediction]:
        """What the models of these descriptions are expected to score."""
        return [
            Prediction(each.value, each.low, each.high, each.deviation, self.hash)
            for each in self.predictor.predict(descriptions, self.figure)
        ]


def scorer_of(folder: str | None) -> Scorer | None:
    """The predictor of a folder, if there is one. Raises MadstarError for one that is damaged."""
    if folder is None:
        return None
    try:
        return Scorer(Path(folder))
    except MadstarError:
        raise
    except Exception as error:  # its files may be anybody's
        raise DataError(f"{folder} is no predictor: {type(error).__name__}") from None


def hash_of(folder: Path) -> str:
    """A hash of a folder's files, by name and content: what proposed, for the record."""
    total = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(file.relative_to(folder).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()[:16]


def description_of(groups: Mapping[str, Mapping[str, float]]) -> Description:
    """A description from JSON data."""
    return Description({group: dict(facts) for group, facts in groups.items()})
