"""Graphs drawn under conditions, and partial graphs completed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from madstar.errors import GraphError
from madstar.graph.hashing import canonical_order, structural_hash
from madstar.graph.inference import Inference
from madstar.graph.inference.types import Type
from madstar.graph.model import Graph
from madstar.graph.soundness import check_sound
from madstar.graph.statistics import statistics
from madstar.plugins import nearest

from .decisions import (
    GRADES,
    STREAMS,
    SYMBOLS,
    Block,
    Decision,
    domain_of,
    is_causal,
    is_mixer,
    is_stream,
    size_bucket,
    width_of,
)
from .draft import MOST_ITEMS, Limits
from .relative import Inexpressible
from .search import Scorer, Settings, Tally, draw
from .space import Space
from .state import STREAM, State
from .training import Progress


class NothingFoundError(GraphError):
    """No graph that was drawn meets the conditions."""


@dataclass(frozen=True)
class Conditions:
    """What is asked of the graphs: their domain and width, how many parameters, items of a block, blocks.

    `residual`: the graph takes one float32[batch, length, width] and gives one of the same type, so that it
    can stand where a layer stands; `causal`: it is such a one, and `check` finds that no place of what it
    gives depends on a later one; `mixes`: it is causal, and with random weights places depend on earlier
    ones. `grade` is the third of what was measured that they should be like: "best", "middle" or "rest".
    """

    domain: str | None = None
    width: int | None = None
    least_parameters: int = 0
    most_parameters: int | None = None
    most_items: int = MOST_ITEMS
    most_blocks: int = 8
    residual: bool = False
    causal: bool = False
    mixes: bool = False
    grade: str | None = None

    @property
    def form(self) -> str:
        """What is asked for of `STREAMS`, the strictest; else "other"."""
        return next((form for form, asked in zip(STREAMS, self._asked(), strict=True) if asked), "other")

    def forms(self) -> tuple[str, ...]:
        """All of `STREAMS` that are what is asked for; none where nothing of that kind is."""
        return STREAMS[: 1 + STREAMS.index(self.form)] if any(self._asked()) else ()

    def _asked(self) -> tuple[bool, bool, bool]:
        return self.mixes, self.causal, self.residual


@dataclass(frozen=True)
class Facts:
    """What a generator was fitted to.

    `known` are the structural hashes of what its examples make, `smallest` by domain the fewest parameters
    of one, `grades` how many examples have each.
    """

    known: frozenset[str]
    smallest: Mapping[str, int]
    examples: int
    left_out: Mapping[str, int]
    losses: tuple[float, ...]
    seed: int
    grades: Mapping[str, int]


class Drawing:
    """Graphs drawn under conditions."""

    def __init__(
        self,
        space: Space,
        facts: Facts,
        scorer: Scorer,
        conditions: Conditions,
        prefix: Graph | None,
    ) -> None:
        self.space, self.facts, self.scorer, self.conditions = space, facts, scorer, conditions
        self.prefix = prefix
        self.decisions: list[Decision] = [("begin",)]
        blocks, symbols = conditions.most_blocks, dict(SYMBOLS)
        if prefix is not None:
            self.decisions, blocks = _of_prefix(prefix, conditions)
            symbols = {name: tuple(sizes) for name, sizes in prefix.symbols.items()}  # type: ignore[misc]
        self.fixed = self._fixed()
        most = conditions.most_parameters
        self.limits = Limits(
            conditions.most_items, blocks, 1 << 40 if most is None else most, conditions.least_parameters
        )
        self.start = State(space, self.limits, Inference(symbols))

    def graphs(
        self,
        n: int,
        seed: int,
        distinct: bool,
        settings: Settings,
        tally: Tally,
        progress: Progress | None,
    ) -> list[Graph]:
        """So many graphs."""
        generator = torch.Generator().manual_seed(seed)
        found: list[Graph] = []
        seen = set(self.facts.known) if distinct else set()
        lost = again = 0
        while len(found) < n:
            state = draw(self.scorer, self.start, self.decisions, generator, settings, tally, self.fixed)
            if state is None:
                lost += 1
                if lost > 1 + n // 2:
                    raise NothingFoundError(self._nothing())
                continue
            graph = self._finished(state, len(found))
            if not self._mixes_as_asked(graph, tally):
                lost += 1
                if lost > 10 + 10 * n:
                    raise NothingFoundError(self._nothing())
                continue
            hashed = structural_hash(graph)
            if distinct and hashed in seen:
                again += 1
                if again > 20 * n:
                    break
                continue
            seen.add(hashed)
            found.append(graph)
            if progress is not None:
                progress(len(found) / n, 0.0)
        return found

    def _mixes_as_asked(self, graph: Graph, tally: Tally) -> bool:
        """Whether its places depend on one another as asked; counts those where they do not."""
        asked = self.conditions
        if (asked.causal or asked.mixes) and not is_causal(graph):
            tally.leaking += 1
            return False
        if asked.mixes and not is_mixer(graph):
            tally.apart += 1
            return False
        return True

    def _finished(self, state: State, number: int) -> Graph:
        graph = state.graph(f"generated-{number}")
        if self.prefix is not None:
            graph = replace(graph, name=f"{self.prefix.name}, completed", input_names=self.prefix.input_names)
        check_sound(graph)
        return graph

    def _nothing(self) -> str:
        c = self.conditions
        if self.prefix is not None:
            return (
                f"no completion of {self.prefix.name!r:.80} was found within {c.most_items} items of a block"
                + self._bounds()
                + "; allow more, or give less of it"
            )
        return f"no graph was found within {c.most_items} items of a block{self._bounds()}; allow more"

    def _bounds(self) -> str:
        c = self.conditions
        text = "" if c.most_parameters is None else f" and {c.most_parameters:,} parameters"
        return text + (f", of at least {c.least_parameters:,}" if c.least_parameters else "")

    def _fixed(self) -> dict[str, set[int]]:
        """The decisions wanted of domain, size and width. Raises GraphError for what contradicts itself."""
        c, space = self.conditions, self.space
        members = {
            group: [space.decisions[n][1] for n in space.members[group]] for group in ("domain", "width")
        }
        fixed: dict[str, set[int]] = {}
        if c.most_items < 1 or c.most_blocks < 1:
            raise GraphError("a graph has at least one block of at least one item: allow that")
        if c.domain is not None:
            if c.domain not in members["domain"]:
                names = ", ".join(sorted(members["domain"]))
                raise GraphError(
                    f"nothing of the domain {c.domain!r:.60} was learned"
                    f"{nearest(c.domain, members['domain'])}; there is {names}"
                )
            fixed["domain"] = {space.number(("domain", c.domain))}
        if c.width is not None:
            if c.width not in members["width"]:
                near = sorted(members["width"], key=lambda width: abs(width - (c.width or 0)))[:3]
                raise GraphError(
                    f"no width {c.width} was learned; nearest: {', '.join(map(str, sorted(near)))}"
                )
            fixed["width"] = {space.number(("width", c.width))}
        if forms := c.forms():
            if not space.number(("input", "float32", STREAM)):
                raise GraphError("no block from [batch, length, width] to the same was learned; give some")
            fixed["form"] = {space.number(("form", form)) for form in forms}
        if c.grade is not None:
            if c.grade not in GRADES:
                raise GraphError(
                    f"no grade {c.grade!r:.60}{nearest(c.grade, GRADES)}; there is {', '.join(GRADES)}"
                )
            if not self.facts.grades.get(c.grade):
                raise GraphError(
                    f"nothing of the grade {c.grade!r} was learned: fit a generator to graphs that were "
                    "measured"
                )
            fixed["grade"] = {space.number(("grade", c.grade))}
        if c.most_parameters is not None or c.least_parameters:
            fixed["size"] = self._sizes()
        return fixed

    def _sizes(self) -> set[int]:
        c, space = self.conditions, self.space
        most = 1 << 60 if c.most_parameters is None else c.most_parameters
        if c.least_parameters > most:
            raise GraphError(
                f"at least {c.least_parameters:,} parameters and at most {most:,}: no graph has both"
            )
        if self.prefix is not None:
            return set()
        among = [size for name, size in self.facts.smallest.items() if c.domain in (None, name)]
        if among and most < min(among):
            where = f" of the domain {c.domain!r}" if c.domain else ""
            raise GraphError(
                f"at most {most:,} parameters: the smallest graph{where} that was learned has {min(among):,}"
            )
        least, last = size_bucket(c.least_parameters), size_bucket(most)
        known = [(number, space.decisions[number][1]) for number in space.members["size"]]
        found = {number for number, bucket in known if least <= bucket <= last}
        if not found:
            between = f"{c.least_parameters:,} and {most:,}"
            raise GraphError(f"no graph of between {between} parameters was learned; allow more or fewer")
        return found


def _of_prefix(prefix: Graph, conditions: Conditions) -> tuple[list[Decision], int]:
    """The decisions that make a partial graph, up to where the next item would come; how many blocks."""
    check_sound(prefix)
    main = prefix.main
    if len(main.items) >= conditions.most_items:
        raise GraphError(
            f"{prefix.name!r:.80} has {len(main.items)} items and at most {conditions.most_items} are "
            "allowed: there is no room for a completion"
        )
    parameters, most = statistics(prefix).parameters, conditions.most_parameters
    if most is not None and parameters > most:
        raise GraphError(
            f"{prefix.name!r:.80} has {parameters:,} parameters already, and at most {most:,} are allowed"
        )
    if conditions.forms():
        types = [Type(value.shape, value.dtype) for value in main.inputs]
        if len(types) != 1 or not is_stream(types[0]):
            raise GraphError(
                f"{prefix.name!r:.80} takes {', '.join(map(str, types)) or 'nothing'}: what stands where a "
                "layer stands takes one float32[batch,length,N]"
            )
    if not main.inputs:
        raise GraphError(f"{prefix.name!r:.80} takes nothing: give it an input")
    form, grade = conditions.form, conditions.grade or GRADES[0]
    width, size = width_of(prefix, form), size_bucket(2 * parameters)
    made: list[Decision] = [("begin",), ("grade", grade), ("domain", conditions.domain or domain_of(prefix))]
    made += [("form", form), ("size", size), ("width", conditions.width or width)]
    order = canonical_order(prefix)
    numbers = {name: number for number, name in enumerate(order)}
    inference = Inference(prefix.symbols)
    name, sizes = "", tuple[int, ...]()
    try:
        for name, (items, _) in order.items():
            whole = name != prefix.root
            taken = items if whole else list(prefix.main.items)
            block = Block(prefix.definitions[name], taken, numbers, made[5][1], inference, sizes)
            made += block.decisions(not whole, close=whole)
            sizes = block.sizes
    except Inexpressible:
        raise GraphError(
            f"{prefix.name!r:.80}, block {name!r:.80}: holds what a generator does not make (turns that "
            "differ, a buffer, a weight taken twice, an operation that cannot be inferred)"
        ) from None
    return made, len(order)
