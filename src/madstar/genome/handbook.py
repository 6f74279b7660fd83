"""The gene table as Markdown: docs/genes.md is this text, so it cannot fall behind the code."""

from __future__ import annotations

from .classes import OPERATORS, featurizer_number
from .genes import CLASS_MEANINGS, CLASS_NAMES, GENES, LEVELS
from .genome import ROLES


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
    return "\n".join(lines) + "\n"
