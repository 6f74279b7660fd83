"""`fit` and `Generator`: graphs drawn from what was learned of others, and partial graphs completed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from madstar.errors import GraphError
from madstar.graph.hashing import canonical_order, structural_hash
from madstar.graph.inference import Inference
from madstar.graph.model import Graph
from madstar.graph.soundness import check_sound
from madstar.graph.statistics import statistics
from madstar.plugins import nearest
from madstar.whole_files import write_whole

from .decisions import SYMBOLS, Block, Decision, domain_of, size_bucket, width_of
from .draft import Limits
from .network import Network, NetworkSizes, Steps
from .relative import Inexpressible
from .search import Scorer, Settings, Tally, draw
from .space import Space
from .state import State
from .training import Progress, examples_of, train

SCHEMA = "madstar.generator/1"
_MOST_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Conditions:
    """What is asked of the graphs: their domain and width, how many parameters, items of a block, blocks."""

    domain: str | None = None
    width: int | None = None
    least_parameters: int = 0
    most_parameters: int | None = None
    most_items: int = 40
    most_blocks: int = 8


@dataclass(frozen=True)
class Facts:
    """What a generator was fitted to.

    `known` are the structural hashes of its examples, `smallest` by domain the fewest parameters of one.
    """

    known: frozenset[str]
    smallest: Mapping[str, int]
    examples: int
    left_out: Mapping[str, int]
    losses: tuple[float, ...]
    seed: int


@dataclass(frozen=True)
class Generator:
    """A model of the decisions that make graphs."""

    space: Space
    network: Network
    facts: Facts

    def steps(self) -> Scorer:
        """The model on its way through one graph."""
        return Steps(self.network)

    def generate(
        self,
        n: int,
        seed: int = 0,
        conditions: Conditions | None = None,
        prefix: Graph | None = None,
        *,
        distinct: bool = False,
        temperature: float = 1.0,
        tally: Tally | None = None,
        progress: Progress | None = None,
    ) -> list[Graph]:
        """`n` graphs, each inferred in every node; completions of `prefix` where one is given.

        With `distinct` none is drawn twice, nor one that the generator was fitted to; fewer than `n` come
        where there are no more. Raises GraphError for conditions that contradict each other or that no graph
        meets, and for a prefix that cannot be closed within them.
        """
        conditions = conditions or Conditions()
        if n < 1:
            raise GraphError(f"{n} graphs: ask for 1 or more")
        return _Drawing(self.space, self.facts, self.steps(), conditions, prefix).graphs(
            n, seed, distinct, Settings(temperature=temperature), tally or Tally(), progress
        )

    def save(self, folder: str | Path) -> None:
        """Write model.safetensors and generator.json to a folder. Raises OutputError."""
        from safetensors.torch import save

        folder = Path(folder)
        document = {
            "schema": SCHEMA,
            "sizes": dataclasses.asdict(self.network.sizes),
            "space": self.space.to_data(),
            "known": sorted(self.facts.known),
            "smallest": dict(self.facts.smallest),
            "examples": self.facts.examples,
            "left_out": dict(self.facts.left_out),
            "losses": list(self.facts.losses),
            "seed": self.facts.seed,
        }
        tensors = {name: tensor.contiguous() for name, tensor in self.network.state_dict().items()}
        write_whole(folder / "model.safetensors", save(tensors))
        write_whole(folder / "generator.json", json.dumps(document, indent=0).encode())

    @classmethod
    def load(cls, folder: str | Path) -> Generator:
        """Read one. Raises GraphError in one line for whatever is none."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        folder = Path(folder)
        try:
            document = json.loads(_read(folder / "generator.json"))
            assert isinstance(document, dict)
        except (ValueError, RecursionError, AssertionError):
            raise GraphError(f"{folder}/generator.json is no JSON object; is it cut off?") from None
        if document.get("schema") != SCHEMA:
            said = f"{document.get('schema')!r:.60}"
            raise GraphError(f"{folder}: generator {said}, this madstar reads {SCHEMA!r}; train it anew")
        try:
            space = Space.of_data(document["space"])
            sizes = NetworkSizes(**document["sizes"])
            _check_sizes(sizes)
            facts = Facts(
                frozenset(map(str, document["known"])),
                {str(name): int(size) for name, size in document["smallest"].items()},
                int(document["examples"]),
                {str(why): int(count) for why, count in document["left_out"].items()},
                tuple(map(float, document["losses"])),
                int(document["seed"]),
            )
            network = Network(len(space), sizes)
            network.load_state_dict(load(_read(folder / "model.safetensors")))
        except GraphError as error:
            raise GraphError(f"{folder}: {error}") from None
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, SafetensorError):
            raise GraphError(f"{folder}: the generator's files do not go together; train it anew") from None
        return cls(space, network.eval(), facts)


def fit(
    graphs: Sequence[Graph],
    seed: int = 0,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    domains: Sequence[str] | None = None,
    sizes: NetworkSizes | None = None,
    progress: Progress | None = None,
) -> Generator:
    """A generator fitted to graphs for so many minutes, or steps; 3 minutes where nothing is said.

    `domains` says for each graph what it is for; else its facts do. Graphs of up to 40 items of a block are
    fitting (`blocks_of`). The same graphs, seed and steps give the same generator on one machine.
    Raises GraphError where no graph can be made by the decisions that a generator knows.
    """
    if domains is not None and len(domains) != len(graphs):
        raise GraphError(f"{len(domains)} domains for {len(graphs)} graphs: give one for each")
    if (minutes is not None and minutes <= 0) or (steps is not None and steps < 1):
        raise GraphError("training takes more than 0 minutes and at least 1 step")
    if minutes is None and steps is None:
        minutes = 3.0
    sizes = sizes or NetworkSizes()
    said = [domain or domain_of(g) for g, domain in zip(graphs, domains or [""] * len(graphs), strict=True)]
    examples = examples_of(graphs, said, sizes.context)
    network, losses = train(examples, sizes, seed, minutes, steps, progress)
    kept = [(graphs[number], said[number]) for number in examples.kept]
    smallest: dict[str, int] = {}
    for graph, domain in kept:
        size = statistics(graph).parameters
        smallest[domain] = min(size, smallest.get(domain, size))
    left_out = {"inexpressible": examples.inexpressible, "rare": examples.rare, "long": examples.long}
    known = frozenset(structural_hash(graph) for graph, _ in kept)
    facts = Facts(known, smallest, len(kept), left_out, tuple(losses), seed)
    return Generator(examples.space, network, facts)


class _Drawing:
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
                    raise GraphError(self._nothing())
                continue
            graph = self._finished(state, len(found))
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
    if not main.inputs:
        raise GraphError(f"{prefix.name!r:.80} takes nothing: give it an input")
    width, size = width_of(prefix), size_bucket(2 * parameters)
    made: list[Decision] = [("begin",), ("domain", conditions.domain or domain_of(prefix)), ("size", size)]
    made.append(("width", conditions.width or width))
    order = canonical_order(prefix)
    numbers = {name: number for number, name in enumerate(order)}
    inference = Inference(prefix.symbols)
    name = ""
    try:
        for name, (items, _) in order.items():
            whole = name != prefix.root
            taken = items if whole else list(prefix.main.items)
            block = Block(prefix.definitions[name], taken, numbers, made[3][1], inference)
            made += block.decisions(close=whole)
    except Inexpressible:
        raise GraphError(
            f"{prefix.name!r:.80}, block {name!r:.80}: holds what a generator does not make (turns that "
            "differ, a buffer, a weight taken twice, an operation that cannot be inferred)"
        ) from None
    return made, len(order)


def _check_sizes(sizes: NetworkSizes) -> None:
    numbers = (sizes.width, sizes.heads, sizes.layers, sizes.context)
    if not all(type(n) is int and 1 <= n <= 1 << 14 for n in numbers) or sizes.width % sizes.heads:
        raise ValueError


def _read(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise GraphError(
            f"cannot read {path}: {error.strerror or error}; madstar learn generate --data makes one"
        ) from None
    if len(data) > _MOST_BYTES:
        raise GraphError(f"{path}: larger than {_MOST_BYTES >> 20} MiB; no generator is that large")
    return data


__all__ = ["SCHEMA", "Conditions", "Facts", "Generator", "fit"]
