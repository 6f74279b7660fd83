"""`madstar layers`: what an architecture can be made of."""

from __future__ import annotations

from typing import Annotated

import typer

from .app import command
from .document import print_document
from .options import AsJson


@command("layers")
def layers(
    name: Annotated[
        str | None, typer.Argument(metavar="[LAYER]", help="One layer; file.py:Class for your own.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the layers with their sizes and states, or say all of one."""
    from ..liv.layers.choice import layer_names
    from ..report.benchmark_catalogue import layer_facts, print_layer, print_layers

    found = [layer_facts(each) for each in ([name] if name else layer_names())]
    if as_json:
        print_document(found[0].to_dict() if name else [each.to_dict() for each in found])
        return
    from rich.console import Console

    console = Console(markup=False, highlight=False)
    if name:
        print_layer(found[0], console)
    else:
        print_layers(found, console)
