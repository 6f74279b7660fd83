"""The gene table as Markdown: docs/genes.md is this text, so it cannot fall behind the code."""

from __future__ import annotations

from ..liv.layers.catalogue import CATALOGUE
from .classes import OPERATORS, featurizer_number
from .genes import CLASS_MEANINGS, CLASS_NAMES, GENES, GIVEN_LAYERS, GIVEN_MEANINGS, LEVELS
from .genome import ROLES

_KINDS = {1: "memoryless", 2: "attention", 3: "gated convolution", 4: "recurrence"}


def gene_table() -> str:
    """Markdown: every gene of each level, and the table of classes."""
    lines = [
        "# Genes",
        "",
        "Made by `madstar genes --markdown`. A genome is written as five backbone genes per LIV,",
        "`21211-31112`; operators and featurizers of its own follow after slashes (see how-to/genomes.md).",
        "",
    ]
    for level in LEVELS:
        lines += [
            f"## {level.capitalize()} level",
            "",
            "| place | gene | range | meaning |",
            "|---|---|---|---|",
        ]
        for place, gene in enumerate((g for g in GENES if g.level == level), start=1):
            groups = gene.name in ("featurizer group", "feature group")
            values = "" if groups else ": " + "; ".join(f"**{v}** {t}" for v, t in gene.values.items())
            meaning = f"{gene.meaning}{values}".replace("|", "\\|")
            lines.append(f"| {place} | {gene.name} | {gene.range} | {meaning} |")
        lines.append("")
    lines += [
        "## Classes",
        "",
        "| class | name | operator code | feature groups | meaning |",
        "|---|---|---|---|---|",
    ]
    for number, operator in OPERATORS.items():
        code = "".join(
            str(value)
            for value in (
                featurizer_number(operator.features),
                operator.token_mixing,
                operator.sparsity,
                operator.nonlinearity,
                operator.channel_mixing,
            )
        )
        kind = f"d{code}" if operator.differential else code
        roles = ", ".join(ROLES[operator.token_mixing])
        lines.append(f"| {number} | {CLASS_NAMES[number]} | {kind} | {roles} | {CLASS_MEANINGS[number]} |")
    return "\n".join([*lines, "", *_layers_by_name()]) + "\n"


def _layers_by_name() -> list[str]:
    lines = [
        "## Layers by name",
        "",
        "Operators that are a layer of the catalogue: they have no genes below the backbone level and share",
        "nothing. A search uses them where it is told to: `--classes 1,9,mamba`. Settings are for width 128;",
        "at other widths heads keep their width. Reports count each as the kind that is nearest to it.",
        "",
        "| class | layer | settings | counted as | meaning | source |",
        "|---|---|---|---|---|---|",
    ]
    for number, (name, mixing) in GIVEN_LAYERS.items():
        entry = CATALOGUE[name]
        settings = ", ".join(f"{key} {value}" for key, value in entry.settings.items()) or "-"
        cells = (number, name, settings, _KINDS[mixing], GIVEN_MEANINGS[number], f"arXiv {entry.source}")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines
