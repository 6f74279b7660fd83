"""`madstar learn generate` and `madstar learn complete`: graphs made by a model that learned from graphs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigurationError, GraphError
from .addresses import Inputs, Shrunk, opened
from .app import command
from .document import print_document
from .learn import learning
from .options import AsJson
from .progress import Mark, shown

if TYPE_CHECKING:
    from ..graph.model import Graph
    from ..learning.generator import Conditions, Generator, Tally

Model = Annotated[Path, typer.Option("--model", help="Folder of the generator.")]
Seed = Annotated[int, typer.Option(help="Of all that is drawn.")]
MostParameters = Annotated[float | None, typer.Option("--max-params", help="At most so many, such as 1e6.")]
MostItems = Annotated[int, typer.Option("--max-nodes", help="Nodes and calls of a block, at most.")]
_MODEL = Path("generator")
_ALIKE = 3.0
_ANY = 16
"""So many graphs of any size are drawn where none of the size that was asked for is found."""


@command("generate", within=learning)
def generate(
    n: Annotated[int, typer.Option("--n", help="How many graphs.")] = 10,
    model: Model = _MODEL,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="A dataset: fit the generator to its blocks first, where there is none."),
    ] = None,
    minutes: Annotated[float, typer.Option(help="With --data: time to fit.")] = 10.0,
    like: Annotated[
        str,
        typer.Option("--like", help="A graph: of its domain, and of about its size unless bounds are given."),
    ] = "",
    domain: Annotated[str, typer.Option(help="What the graphs are for, such as text.")] = "",
    width: Annotated[int | None, typer.Option(help="Their width.")] = None,
    most_parameters: MostParameters = None,
    least_parameters: Annotated[float, typer.Option("--min-params", help="At least so many.")] = 0,
    most_items: MostItems = 56,
    residual: Annotated[
        bool,
        typer.Option(
            "--residual", help="Blocks from [batch, length, width] to the same, for a layer's place."
        ),
    ] = False,
    causal: Annotated[
        bool, typer.Option("--causal", help="Such blocks of which no place depends on a later one.")
    ] = False,
    mixes: Annotated[
        bool, typer.Option("--mixes", help="Such causal ones that bring tokens together.")
    ] = False,
    grade: Annotated[
        str, typer.Option(help="Like the best, middle or rest of what was measured when it was fitted.")
    ] = "",
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the graphs to this folder, N.graph.json.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make new architectures: no two alike, none that was learned; each fits, builds and trains."""
    if n < 1:
        raise ConfigurationError(f"--n {n}: give at least 1")
    generator = _generator(model, data, minutes, seed)
    conditions = _conditions(domain, width, most_parameters, least_parameters, most_items)
    conditions = replace(conditions, residual=residual, causal=causal, mixes=mixes, grade=grade or None)
    if like:
        conditions = _like(generator, opened(like, None, like.startswith("hf:")), conditions)
    from ..learning.generator import Tally
    from ..learning.generator.drawing import NothingFoundError

    tally = Tally()
    try:
        with _shown(f"{n} graphs") as told:
            graphs = generator.generate(n, seed, conditions, distinct=True, tally=tally, progress=told)
    except NothingFoundError as error:
        raise GraphError(f"{error}{_smallest(generator, conditions, seed)}") from None
    _hand_over(graphs, tally, out, as_json)
    if len(graphs) < n:
        typer.echo(f"only {len(graphs)} of {n}: no more were found that are new", err=True)


@command("complete", within=learning)
def complete(
    graph: Annotated[
        str, typer.Argument(metavar="PARTIAL", help="A graph that stops short, or what madstar trace takes.")
    ],
    n: Annotated[int, typer.Option("--n", help="How many completions.")] = 1,
    model: Model = _MODEL,
    most_parameters: MostParameters = None,
    most_items: MostItems = 56,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the graphs to this folder, N.graph.json.")
    ] = None,
    inputs: Inputs = None,
    shrunk: Shrunk = False,
    as_json: AsJson = False,
) -> None:
    """Finish an incomplete architecture: what it computes so far stays, and all of it is used."""
    if n < 1:
        raise ConfigurationError(f"--n {n}: give at least 1")
    from ..learning.generator import Generator, Tally

    part, generator, tally = opened(graph, inputs, shrunk), Generator.load(model), Tally()
    conditions = _conditions("", None, most_parameters, 0, most_items)
    with _shown(f"{n} completions") as told:
        graphs = generator.generate(n, seed, conditions, part, tally=tally, progress=told)
    _hand_over(graphs, tally, out, as_json)


def _generator(model: Path, data: Path | None, minutes: float, seed: int) -> Generator:
    import torch

    from ..learning.generator import Generator, fit

    torch.set_num_threads(1)  # the network is too small to gain by more
    if data is None or (model / "generator.json").is_file():
        if data is not None:
            typer.echo(f"{model} holds a generator: it is taken as it is", err=True)
        return Generator.load(model)
    if not 0 < minutes <= 10_000:
        raise ConfigurationError(f"--minutes {minutes:g}: give more than 0")
    blocks, domains, grades = _blocks(data)
    typer.echo(f"Fitting a generator to {len(blocks):,} blocks", err=True)
    with _shown("trained") as told:
        generator = fit(blocks, seed, minutes=minutes, domains=domains, grades=grades, progress=told)
    generator.save(model)
    facts = generator.facts
    left = ", ".join(f"{count:,} {why}" for why, count in facts.left_out.items())
    typer.echo(f"Fitted to {facts.examples:,} blocks ({left} left out): {model}", err=True)
    return generator


def _blocks(data: Path) -> tuple[list[Graph], list[str], list[str]]:
    """The blocks of a dataset, each structure once, what each is for, and its grade."""
    from ..graph.hashing import structural_hash
    from ..learning.datasets.dataset import Stored
    from ..learning.generator import blocks_of
    from ..learning.generator.grades import graded, ranks_of

    stored = Stored(data)
    typer.echo(f"Reading {len(stored.keys)} graphs of {data}", err=True)
    ranks = ranks_of(stored.examples("performance"))
    found: dict[str, tuple[Graph, str]] = {}
    behind: dict[str, list[float]] = {}
    with _shown("graphs cut to blocks") as told:
        for number, key in enumerate(stored.keys, 1):
            what = "genome" if stored.row(key)["source"] == "genome" else stored.row(key).get("domain") or ""
            for block in blocks_of(stored.graph(key)):
                hashed = structural_hash(block)
                found.setdefault(hashed, (block, str(what)))
                behind.setdefault(hashed, []).extend([ranks[key]] if key in ranks else [])
            told(number / len(stored.keys), 0.0)
    blocks = list(found.values())
    return [b for b, _ in blocks], [d for _, d in blocks], graded([behind[hashed] for hashed in found])


def _conditions(
    domain: str, width: int | None, most: float | None, least: float, most_items: int
) -> Conditions:
    from ..learning.generator import Conditions

    for name, value in (("max-params", most), ("min-params", least)):
        if value is not None and not 0 <= value <= 1e12:
            raise ConfigurationError(f"--{name} {value:g}: give a number of parameters, up to 1e12")
    if not 1 <= most_items <= 100:
        raise ConfigurationError(f"--max-nodes {most_items}: give 1 to 100")
    whole = None if most is None else int(most)
    return Conditions(domain or None, width, int(least), whole, most_items)


def _like(generator: Generator, graph: Graph, conditions: Conditions) -> Conditions:
    """The conditions with those of a graph for what is not said."""
    from ..graph.statistics import statistics
    from ..learning.corpus.labels import domain

    size = statistics(graph).parameters
    known = generator.facts.smallest
    found = domain(graph, graph.facts)
    if conditions.domain is None and found in known:
        conditions = replace(conditions, domain=found)
    if conditions.most_parameters is None and not conditions.least_parameters:
        least, most = int(size / _ALIKE), int(size * _ALIKE)
        conditions = replace(conditions, least_parameters=least, most_parameters=most)
    return conditions


def _smallest(generator: Generator, conditions: Conditions, seed: int) -> str:
    """How small the smallest of some graphs is that meet the other conditions."""
    from ..graph.statistics import statistics

    free, sizes = replace(conditions, most_parameters=None), list[int]()
    for number in range(_ANY if conditions.most_parameters is not None else 0):
        with suppress(GraphError):
            (graph,) = generator.generate(1, seed + number, free)
            sizes.append(statistics(graph).parameters)
    return f": the smallest of {len(sizes)} of any size has {min(sizes):,} parameters" if sizes else ""


def _hand_over(graphs: list[Graph], tally: Tally, out: Path | None, as_json: bool) -> None:
    from ..graph.hashing import structural_hash
    from ..graph.json_format import save
    from ..graph.statistics import statistics

    rows: list[dict[str, Any]] = []
    for number, graph in enumerate(graphs):
        file = None if out is None else out / f"{number}.graph.json"
        if file is not None:
            save(graph, file)
        cost = statistics(graph)
        rows.append(
            {
                "name": graph.name,
                "domain": graph.facts.get("domain"),
                "parameters": cost.parameters,
                "nodes": cost.nodes,
                "unfolded": cost.unfolded,
                "blocks": len(graph.definitions),
                "operations": dict(cost.operations),
                "hash": structural_hash(graph),
                "file": None if file is None else str(file),
            }
        )
    if as_json:
        print_document(
            {
                "graphs": rows,
                "rejection_rate": round(tally.rejection_rate, 4),
                "leaking": tally.leaking,
                "apart": tally.apart,
            }
        )
        return
    for row in rows:
        most = ", ".join(f"{op} x{count}" if count > 1 else op for op, count in row["operations"].items())
        line = f"{row['file'] or row['name']}  {row['domain']}, {row['nodes']} nodes, "
        typer.echo(f"{line}{row['parameters']:,} parameters: {most:.70}")


@contextmanager
def _shown(what: str) -> Iterator[Callable[[float, float], None]]:
    """What to call with the share done and the loss, if there is one."""
    begun = last = time.monotonic()

    def words(loss: float) -> str:
        return f"{what}, loss {loss:.2f}" if loss else what

    def line(news: tuple[float, float]) -> str | None:
        nonlocal last
        (done, loss), now = news, time.monotonic()
        if not done or now - last <= 20:
            return None
        last = now
        left = (now - begun) * (1 - done) / done
        return f"[{done:.0%}] {words(loss)}, {left / 60:.1f} minutes left"

    with shown(lambda news: Mark(news[0], 1.0, words(news[1])), line, counted=False) as tell:
        yield lambda done, loss: tell((done, loss))
