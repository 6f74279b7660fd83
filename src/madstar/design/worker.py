"""What runs in a worker of the loop: confined first, then fitting, proposing, training, testing.

A payload names what to do in "do", and a folder of its own in "work", the only place it may write to beside
the files of others below the run's work folder. Answers are plain data and files in that folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from ..errors import DataError, MadstarError
from ..learning.generator import Generator
from ..tasks import TextTask
from ..training import (
    Budget,
    DivergedError,
    Trainer,
    evaluate,
    first_step,
    load_weights,
    save_weights,
)
from ..workers import Report, steps_told
from . import models, proposing
from .asking import CORPUS, GENERATOR, PREDICTOR, QUALITY, TEST, WEIGHTS, Asked
from .candidates import Candidate, build, of_dict
from .confinement import confine
from .limits import Limits
from .settings import DesignSettings

Handler = Callable[[dict[str, Any], Report], dict[str, Any]]


def make_handler(setup: dict[str, Any]) -> Handler:
    """The handler of a fresh worker process, which is confined from here on."""
    first_step()
    limits = Limits.of(setup["limits"])
    task = TextTask.open(setup["task"])
    work = Path(setup["work"])
    held = confine(limits, [work])
    return Worker(task, DesignSettings(**setup["settings"]), limits, held.to_dict()).answer


class Worker:
    """Answers payloads; it keeps nothing between them but the data."""

    def __init__(
        self, task: TextTask, settings: DesignSettings, limits: Limits, held: dict[str, bool]
    ) -> None:
        self.task, self.settings, self.limits, self.held = task, settings, limits, held
        self.sizes = settings.sizes(task.vocabulary_size)

    def answer(self, payload: dict[str, Any], report: Report) -> dict[str, Any]:
        """Do what a payload asks."""
        Path(payload["work"]).mkdir(parents=True, exist_ok=True)
        done: dict[str, Any] = getattr(self, f"_{payload['do']}")(payload, report)
        return done

    def _hold(self, payload: dict[str, Any], report: Report) -> dict[str, Any]:
        """Say which layers of confinement the system gives."""
        del payload, report
        return {"held": self.held}

    def _corpus(self, payload: dict[str, Any], report: Report) -> dict[str, Any]:
        """Collect the blocks that generators are fitted to, or look at a generator that is given."""
        settings, work = self.settings, Path(payload["work"])
        if settings.generator is not None:
            Generator.load(settings.generator)
        blocks = models.built_in_blocks(settings.width, settings.sources, settings.seed)
        if settings.dataset is not None:
            blocks += models.dataset_blocks(Path(settings.dataset))
        models.write_corpus(blocks[: models.MOST_BLOCKS], work / CORPUS)
        return {"blocks": len(blocks)}

    def _generator(self, payload: dict[str, Any], report: Report) -> dict[str, Any]:
        """Fit a generator to the corpus and to the blocks that the run tried, from the former one on."""
        corpus = models.read_corpus(Path(payload["corpus"]))
        tried = [(of_dict(each), float(behind)) for each, behind in payload["tried"]]
        told = steps_told(report)
        found = models.fit_generator(
            corpus,
            tried,
            payload["seed"],
            minutes=payload["seconds"] / 60,
            progress=lambda share, loss: told(round(1000 * share), 1000),
            former=None if payload["former"] is None else load_generator(payload["former"]),
        )
        out = Path(payload["work"]) / GENERATOR
        found.save(out)
        return {
            "hash": models.hash_of(out),
            "blocks": found.facts.examples,
            "tried": len(tried),
            "loss": found.facts.losses[-1],
        }

    def _predictor(self, payload: dict[str, Any], report: Report) -> dict[str, Any]:
        """Fit a predictor to all that the run has measured."""
        measured = [
            (str(key), models.description_of(groups), float(value))
            for key, groups, value in payload["measured"]
        ]
        out = Path(payload["work"]) / PREDICTOR
        return models.fit_scores(measured, self.settings.budget, payload["seed"], out)

    def _genomes(self, payload: dict[str, Any], report: Report) -> dict[str, Any]:
        scorer = models.scorer_of(payload["predictor"])
        asked = Asked.of(payload)
        work, most = Path(payload["work"]), self.limits.parameters
        return proposing.genomes(asked, self.settings, self.sizes, most, scorer, work).to_dict()

    def _graphs(self, payload: dict[str, Any], report: Report) -> dict[str, Any]:
        scorer = models.scorer_of(payload["predictor"])
        generator = load_generator(payload["generator"])
        asked = Asked.of(payload)
        return proposing.graphs(
            asked,
            self.settings,
            self.sizes,
            self.limits.parameters,
            scorer,
            Path(payload["work"]),
            generator,
            report,
        ).to_dict()

    def _train(self, payload: dict[str, Any], report: Report) -> dict[str, Any]:
        """Train a candidate and score it on validation windows."""
        candidate = of_dict(payload["candidate"])
        begun = time.monotonic()
        settings, training = self.settings, self.settings.training
        trainer = Trainer(self._built(candidate), self.task, training, settings.seed)
        built = time.monotonic()
        try:
            trained = trainer.train_to(Budget.parse(str(settings.steps)), steps_told(report))
        except DivergedError as error:
            return {"status": "diverged", "error": str(error)}
        done = time.monotonic()
        limit = training.validation_windows
        quality = evaluate(trained.model, self.task, "valid", batch=training.evaluation_batch, limit=limit)
        save_weights(trained.model, Path(payload["work"]) / WEIGHTS)
        return {
            "values": {QUALITY: quality.bits_per_byte, "perplexity": quality.perplexity},
            "errors": {QUALITY: quality.standard_error},
            "steps": trained.steps,
            "tokens": trained.tokens,
            "curve": [list(point) for point in trained.curve],
            "timings": {"build": built - begun, "train": done - built, "evaluate": time.monotonic() - done},
        }

    def _test(self, payload: dict[str, Any], report: Report) -> dict[str, Any]:
        """Score a trained candidate on test windows."""
        model = self._built(of_dict(payload["candidate"]))
        load_weights(model, Path(payload["weights"]))
        training = self.settings.training
        quality = evaluate(
            model, self.task, "test", batch=training.evaluation_batch, limit=training.validation_windows
        )
        return {"values": {TEST: quality.bits_per_byte}, "errors": {TEST: quality.standard_error}}

    def _built(self, candidate: Candidate) -> nn.Module:
        settings = self.settings
        return build(candidate, self.sizes, settings.pairs, settings.training.length, settings.seed)


def load_generator(folder: str) -> Generator:
    """A generator from a folder, whatever stands there. Raises MadstarError in one line."""
    try:
        return Generator.load(folder)
    except MadstarError:
        raise
    except Exception as error:  # its files may be anybody's
        raise DataError(f"{folder} is no generator: {type(error).__name__}") from None
