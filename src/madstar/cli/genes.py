"""`madstar genes`: every gene, its level, range and meaning."""

from __future__ import annotations

from typing import Annotated

import typer

from .app import command
from .document import print_document
from .options import AsJson


@command("genes")
def genes(
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option(help="Print Markdown, as docs/genes.md is made.")] = False,
) -> None:
    """Print the gene table."""
    from ..genome import GENES

    if as_json:
        rows = [
            {"level": g.level, "name": g.name, "range": g.range, "meaning": g.meaning, "values": g.values}
            for g in GENES
        ]
        print_document(rows)
        return
    if markdown:
        from ..genome.handbook import gene_table

        typer.echo(gene_table(), nl=False)
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for level in dict.fromkeys(g.level for g in GENES):
        table = Table(title=f"{level} level", title_justify="left", show_lines=True)
        for heading in ("place", "gene", "range", "meaning and values"):
            table.add_column(heading, no_wrap=heading in ("place", "range"))
        for place, gene in enumerate((g for g in GENES if g.level == level), start=1):
            groups = gene.name in ("featurizer group", "feature group")
            values = [] if groups else [f"{value}: {text}" for value, text in gene.values.items()]
            table.add_row(str(place), gene.name, gene.range, "\n".join([gene.meaning, *values]))
        console.print(table)
