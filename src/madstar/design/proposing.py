"""Proposals, made in a worker: genomes by chance and variation, blocks by the generator.

What is made here is looked at again by whoever asked (`admission.py`), which trusts nothing of it.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from ..errors import GraphError, MadstarError
from ..genome import Genome, Sizes, sample
from ..genome.variation import VariationRates, settle, vary
from ..graph.execution.mixing import mixes
from ..graph.hashing import structural_hash
from ..learning.generator import Conditions, Generator, Tally
from ..learning.generator.decisions import BEST
from ..learning.predictor import describe
from .asking import Asked
from .candidates import Candidate, of_genome, of_graph, parameters_of, whole_graph
from .mixers import why_no_mixer
from .models import Scorer
from .settings import DesignSettings

_RATES = VariationRates(mutation=0.15, below=0.1)
_MISSES = 40
"""How many proposals in a row may come to nothing new before no more are looked for."""


_DRAW = 4.0
"""Seconds of computing that one block may take: most take less than two, and others come to no end."""


_HOTTER = 1.1
_HOTTEST = 2.0
"""A draw that is known already makes the next so much hotter, up to this; a new one cools it again.

A generator that learned the few blocks of a run again and again has them by heart: at temperature 1 it may
give nothing else. Masks keep every draw valid however hot it is."""


class TimeIsOver(BaseException):
    """Not an Exception, so that code which catches all of these does not go on."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise TimeIsOver in the block after so many seconds of computing. For a process's main thread."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeIsOver

    before = signal.signal(signal.SIGPROF, stop)
    try:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@dataclass
class Made:
    """Candidates that were made, those of chance first, and what the making came to."""

    free: list[Candidate]
    pool: list[Candidate]
    counts: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        return {
            "free": [candidate.to_dict() for candidate in self.free],
            "pool": [candidate.to_dict() for candidate in self.pool],
            "counts": self.counts,
        }


class _Making:
    """Candidates described and predicted, each architecture once."""

    def __init__(
        self,
        asked: Asked,
        settings: DesignSettings,
        sizes: Sizes,
        most: int,
        scorer: Scorer | None,
        work: Path,
    ) -> None:
        self.asked, self.settings, self.sizes, self.most = asked, settings, sizes, most
        self.scorer, self.work = scorer, work
        self.seen = set(asked.known)
        self.end = time.monotonic() + asked.seconds
        self.made = Made([], [], {})
        self.misses = 0

    def count(self, what: str) -> None:
        self.made.counts[what] = self.made.counts.get(what, 0) + 1

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.end or self.misses >= _MISSES

    def take(self, candidate: Candidate, into: list[Candidate]) -> bool:
        """Whether a candidate is new: then describe and predict it, and put it `into` a list if it fits."""
        self.misses += 1
        if candidate.key in self.seen:
            self.count("known")
            return False
        self.seen.add(candidate.key)
        try:
            size = parameters_of(candidate, self.sizes, self.settings.pairs, self.settings.training.length)
            if size > self.most:
                self.count("too large")
                return True
            found = describe(whole_graph(candidate, self.sizes, self.settings.pairs, self.work))
        except MadstarError:
            self.count("not traced")
            return True
        told = None if self.scorer is None else self.scorer.predict([found])[0]
        into.append(replace(candidate, prediction=told, description=found.groups))
        self.misses = 0
        return True


def genomes(
    asked: Asked, settings: DesignSettings, sizes: Sizes, most: int, scorer: Scorer | None, work: Path
) -> Made:
    """Random genomes, and offspring of the best so far; without any, more random ones."""
    making = _Making(asked, settings, sizes, most, scorer, work)
    space = settings.space(sizes.vocabulary_size)
    rng = np.random.default_rng([asked.seed, 1])
    for wanted, into, varied in ((asked.free, making.made.free, False), (asked.pool, making.made.pool, True)):
        making.misses = 0
        while len(into) < wanted and not making.over:
            making.count("drawn")
            if varied and asked.parents:
                picks = [asked.parents[_rank(rng, len(asked.parents))] for _ in range(2)]
                first, second = (Genome.parse(text) for _, text in picks)
                child = vary(first, second, space, _RATES, rng)
                parents = tuple(dict.fromkeys(index for index, _ in picks))
                making.take(of_genome(child.genome, "variation", parents), into)
            else:
                making.take(
                    of_genome(settle(sample(space, rng), "random", space, rng).genome, "random"), into
                )
    return making.made


def _rank(rng: np.random.Generator, count: int) -> int:
    """A parent's place by a tournament of two: the better is drawn more often."""
    return int(min(rng.integers(count), rng.integers(count)))


def graphs(
    asked: Asked,
    settings: DesignSettings,
    sizes: Sizes,
    most: int,
    scorer: Scorer | None,
    work: Path,
    generator: Generator,
    report: Callable[[dict[str, Any]], None],
) -> Made:
    """Blocks that the generator makes and that may stand as mixers, for as long as there is time.

    Those to be chosen from are asked to be like the best of the run, once it has any.
    """
    making = _Making(asked, settings, sizes, most, scorer, work)
    anything = _conditions(generator, settings)
    graded = replace(anything, grade=BEST if generator.facts.grades.get(BEST) else None)
    seed = asked.seed
    ways = ((asked.free, making.made.free, anything), (asked.pool, making.made.pool, graded))
    for wanted, into, conditions in ways:
        making.misses, temperature = 0, 1.0
        while len(into) < wanted and not making.over:
            seed += 1
            making.count("drawn")
            try:
                with within(_DRAW):
                    drawn = generator.generate(1, seed, conditions, temperature=temperature, tally=Tally())
                    block = drawn[0]
            except TimeIsOver:
                making.count("not made in time")
                continue
            except (GraphError, IndexError):
                making.count("not made")
                making.misses += 1
                continue
            if structural_hash(block) in generator.facts.known:
                making.count("as learned")
                making.misses += 1
                temperature = next_temperature(temperature, new=False)
            elif (why := _why_not(block, settings.width)) is None:
                temperature = next_temperature(temperature, new=making.take(of_graph(block), into))
            else:
                making.count(why)
                making.misses += 1
            report({"step": len(making.made.free) + len(making.made.pool), "total": asked.free + asked.pool})
    return making.made


def next_temperature(temperature: float, new: bool) -> float:
    """At what temperature is drawn after a block that is new, or known."""
    return max(1.0, temperature / _HOTTER) if new else min(_HOTTEST, temperature * _HOTTER)


def _why_not(block: Any, width: int) -> str | None:
    """The kind of reason why a block may be no mixer; None where it may."""
    try:
        if why_no_mixer(block, width):
            return "no mixer"
        return None if mixes(block) else "mixes nothing"
    except (GraphError, RuntimeError, ValueError, ArithmeticError):
        return "not computed"


def _conditions(generator: Generator, settings: DesignSettings) -> Conditions:
    """What is asked of the generator: mixers, of the run's width if it has learned of that."""
    given: dict[str, Any] = {"most_items": settings.most_items, "mixes": True}
    space = generator.space
    if settings.width in [space.decisions[number][1] for number in space.members["width"]]:
        given["width"] = settings.width
    return Conditions(**given)
