"""`madstar show`: what a genome is, and what it costs."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import ConfigurationError
from .app import command
from .document import print_document
from .options import AsJson


@command("show")
def show(
    genome: Annotated[str, typer.Argument(help="A genome, such as 21211-31112-21221-32112.")],
    width: Annotated[int, typer.Option(help="Channels.")] = 64,
    heads: Annotated[int, typer.Option(help="Heads.")] = 4,
    length: Annotated[int, typer.Option(help="Sequence length for cache and FLOPs.")] = 4096,
    as_json: AsJson = False,
) -> None:
    """Describe a genome layer by layer, with its parameters, cache and FLOPs."""
    for name, value in (("width", width), ("heads", heads), ("length", length)):
        if value < 1:
            raise ConfigurationError(f"{name} is {value}: give at least 1")
    from ..genome import Genome, Sizes, class_name, compile_genome
    from ..liv import cost

    parsed = Genome.parse(genome)
    spec = compile_genome(parsed, Sizes(width=width, heads=heads))
    total = cost(spec, length)
    layers = [
        {
            "layer": index + 1,
            "class": class_name(liv.operator),
            "weights shared in pool": layer.featurizer_pool,
            "features from layer": None if layer.features_from is None else layer.features_from + 1,
            "features shared": list(layer.shared),
        }
        for index, (liv, layer) in enumerate(zip(parsed.livs, spec.layers, strict=True))
    ]
    document = {
        "genome": str(parsed),
        "architecture": parsed.architecture,
        "parameters": total.parameters,
        f"cache@{length}": total.cache_bytes,
        f"flops@{length}": total.flops / length,
        "layers": layers,
    }
    if as_json:
        print_document(document)
        return
    _print(document, layers, length)


def _print(document: dict, layers: list[dict], length: int) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=f"{document['genome']}", title_justify="left")
    for heading in ("layer", "class", "weights", "features"):
        table.add_column(heading)
    for layer in layers:
        pool, source = layer["weights shared in pool"], layer["features from layer"]
        table.add_row(
            str(layer["layer"]),
            layer["class"],
            "own" if pool is None else f"pool {pool}",
            "own" if source is None else f"{', '.join(layer['features shared'])} from layer {source}",
        )
    console.print(table)
    console.print(f"parameters      {document['parameters']:,}")
    console.print(f"cache@{length}      {document[f'cache@{length}']:,} bytes in bfloat16")
    console.print(f"FLOPs per token {document[f'flops@{length}']:,.0f}")
