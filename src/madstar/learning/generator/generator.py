"""`fit` and `Generator`: graphs drawn from what was learned of others, and partial graphs completed."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from madstar.errors import GraphError
from madstar.graph.model import Graph
from madstar.graph.statistics import statistics
from madstar.whole_files import write_whole

from .decisions import GRADES, domain_of
from .drawing import Conditions, Drawing, Facts
from .examples import Examples, examples_of
from .network import Network, NetworkSizes, Steps
from .search import Scorer, Settings, Tally
from .space import Space
from .training import Progress, train

SCHEMA = "madstar.generator/4"
_MOST_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Generator:
    """A model of the decisions that make graphs."""

    space: Space
    network: Network
    facts: Facts

    def steps(self) -> Scorer:
        """The model on its way through one graph."""
        return Steps(self.network, self.space)

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
        return Drawing(self.space, self.facts, self.steps(), conditions, prefix).graphs(
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
            "grades": dict(self.facts.grades),
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
                {str(grade): int(count) for grade, count in document["grades"].items()},
            )
            network = Network(space, sizes)
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
    grades: Sequence[str] | None = None,
    sizes: NetworkSizes | None = None,
    progress: Progress | None = None,
) -> Generator:
    """A generator fitted to graphs for so many minutes, or steps; 3 minutes where nothing is said.

    `domains` says for each graph what it is for; else its facts do. `grades` says in which third of what was
    measured each stands ("best", "middle", "rest"; "unmeasured" where nothing is said). Graphs of up to 56
    items of a block are fitting (`blocks_of`). The same graphs, seed and steps give the same generator on one
    machine. Raises GraphError where no graph can be made by the decisions that a generator knows.
    """
    said = _domains(graphs, domains, minutes, steps)
    sizes = sizes or NetworkSizes()
    examples = examples_of(graphs, said, sizes.context, grades=_grades(graphs, grades))
    return fitted(examples, graphs, said, sizes, seed, minutes, steps, progress)


def fit_on(
    former: Generator,
    graphs: Sequence[Graph],
    seed: int = 0,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    domains: Sequence[str] | None = None,
    grades: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Generator:
    """A generator that goes on learning from other graphs, of the decisions that it knows.

    What it was fitted to before counts as known still. Graphs with decisions that it does not know are left
    out, of a domain that it does not know they count as "other", or as the first that it knows. Raises
    GraphError where that leaves none.
    """
    known = [former.space.decisions[number][1] for number in former.space.members["domain"]]
    other = "other" if "other" in known else known[0]
    wanted = _domains(graphs, domains, minutes, steps)
    said = [domain if domain in known else other for domain in wanted]
    sizes = former.network.sizes
    graded = _grades(graphs, grades)
    examples = examples_of(graphs, said, sizes.context, known=former.space, grades=graded)
    return fitted(examples, graphs, said, sizes, seed, minutes, steps, progress, former)


def fitted(
    examples: Examples,
    graphs: Sequence[Graph],
    domains: Sequence[str],
    sizes: NetworkSizes,
    seed: int,
    minutes: float | None,
    steps: int | None,
    progress: Progress | None = None,
    former: Generator | None = None,
) -> Generator:
    """As `fit`, for examples that were made of the graphs before; or of a `former` generator's space."""
    if minutes is None and steps is None:
        minutes = 3.0
    before = None if former is None else former.network
    network, losses = train(examples, sizes, seed, minutes, steps, progress, before)
    kept = [(graphs[number], domains[number]) for number in examples.kept]
    smallest: dict[str, int] = {} if former is None else dict(former.facts.smallest)
    for graph, domain in kept:
        size = statistics(graph).parameters
        smallest[domain] = min(size, smallest.get(domain, size))
    left_out = {
        "inexpressible": examples.inexpressible,
        "rare": examples.rare,
        "long": examples.long,
        "unfit": examples.unfit,
    }
    known = frozenset(example.hashed for example in examples.examples)
    graded = Counter(examples.space.grade(example.numbers) for example in examples.examples)
    if former is not None:
        known |= former.facts.known
        graded += Counter(former.facts.grades)
    facts = Facts(known, smallest, len(kept), left_out, tuple(losses), seed, dict(graded))
    return Generator(examples.space, network, facts)


def _domains(
    graphs: Sequence[Graph], domains: Sequence[str] | None, minutes: float | None, steps: int | None
) -> list[str]:
    """What each graph is for, once it is clear that the training can be had. Raises GraphError."""
    if domains is not None and len(domains) != len(graphs):
        raise GraphError(f"{len(domains)} domains for {len(graphs)} graphs: give one for each")
    if (minutes is not None and minutes <= 0) or (steps is not None and steps < 1):
        raise GraphError("training takes more than 0 minutes and at least 1 step")
    return [domain or domain_of(g) for g, domain in zip(graphs, domains or [""] * len(graphs), strict=True)]


def _grades(graphs: Sequence[Graph], grades: Sequence[str] | None) -> Sequence[str]:
    """The grade of each graph. Raises GraphError."""
    if grades is None:
        return [GRADES[0]] * len(graphs)
    if len(grades) != len(graphs):
        raise GraphError(f"{len(grades)} grades for {len(graphs)} graphs: give one for each")
    if other := next((grade for grade in grades if grade not in GRADES), None):
        raise GraphError(f"no grade {other!r:.60}: there is {', '.join(GRADES)}")
    return grades


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


__all__ = ["SCHEMA", "Conditions", "Facts", "Generator", "fit", "fit_on"]
