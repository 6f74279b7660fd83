"""The card of a dataset: what is in it, how it splits, whose graphs they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import DataError
from ..corpus.collecting import Item
from ..corpus.splits import PARTS, SPLITS, Member, shared_blocks, split
from .examples import TASKS, Example

LICENCES = {
    "transformers": (
        "traced from the package transformers (Apache-2.0), whose models have authors of their own. "
        "The graphs hold no weights. They stay on the machine that made them, unless you know that "
        "they may be handed on"
    ),
    "timm": (
        "traced from the package timm (Apache-2.0), whose models have authors of their own. The graphs hold "
        "no weights. They stay on the machine that made them, unless you know that they may be handed on"
    ),
    "madstar": "made by madstar, free to use",
    "own": "graphs of yours, under your terms",
    "genome": "made by madstar, free to use",
    "layer": "made by madstar, free to use",
    "edit": "edited from others: under the terms of what they were made from",
}


def member(item: Item) -> Member:
    """What a split looks at of an item."""
    entry = item.entry
    blocks, bare = frozenset(item.print.blocks), frozenset(item.print.bare)
    return Member(entry.key, entry.source, item.family, item.strict, blocks, bare, entry.unfolded)


def card(items: Sequence[Item], examples: Mapping[str, Sequence[Example]], head: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    sources = Counter(item.entry.source for item in items)
    lines = [
        "# A dataset of architecture graphs",
        "",
        f"Made by `madstar learn dataset` of madstar {head['madstar']}, seed {head['seed']}. The format, the",
        "tasks and what would leak stand in madstar's docs/datasets.md.",
        "",
        "| source | graphs | nodes, median (folded) | whose they are |",
        "|---|---|---|---|",
    ]
    for source, count in sorted(sources.items()):
        nodes = sorted(item.entry.nodes for item in items if item.entry.source == source)
        lines.append(f"| {source} | {count:,} | {nodes[len(nodes) // 2]:,} | {LICENCES[source]} |")
    families = Counter(item.family for item in items)
    largest = ", ".join(f"{name} ({count})" for name, count in families.most_common(5))
    lines += [
        "",
        f"{len(items):,} graphs; {sum(len(i.aliases) for i in items):,} more were equal to one of these.",
        f"{len(families):,} families; the largest: {largest}.",
        "",
        "| label | |",
        "|---|---|",
        *(f"| {kind} | {_told(items, kind)} |" for kind in ("domain", "role")),
        "",
        "## Splits, with seed 0",
        "",
        "| split | train | valid | test | larger blocks of test graphs in train or valid |",
        "|---|---|---|---|---|",
        *_splits(items),
        "",
        "## Examples",
        "",
        "| task | examples |",
        "|---|---|",
        *(f"| {task} | {len(examples[task]):,} |" for task in TASKS),
        "",
    ]
    return "\n".join(lines)


def _told(items: Sequence[Item], kind: str) -> str:
    counts = Counter(str(getattr(item, kind)) for item in items)
    return ", ".join(f"{label or 'unknown'} {count:,}" for label, count in sorted(counts.items()))


def _splits(items: Sequence[Item]) -> list[str]:
    members = [member(item) for item in items]
    lines = []
    for name in SPLITS:
        try:
            parts = split(members, name, 0)
        except DataError:
            lines.append(f"| {name} | - | - | - | too few graphs |")
            continue
        sizes = " | ".join(f"{len(parts[part]):,}" for part in PARTS)
        lines.append(f"| {name} | {sizes} | {shared_blocks(members, parts):,} |")
    return lines
