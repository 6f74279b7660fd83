"""The vocabulary of a corpus: how many different operations there are, and how many make up nearly all nodes.

    madstar zoo trace --all --out museum
    python -m benchmarks.vocabulary museum [--size shrunk]

reads the graphs of a corpus and counts on two levels: the functions that people call, and the ATen primitives
that they stand for (with their overloads, and by base name). A node counts as often as it is computed, or
with --folded once for each time it is written. A graph with the same hash as one before is left out: many
types are the same model under another name.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from madstar.graph.json_format import load
from madstar.graph.model import Graph, Node
from madstar.graph.walk import nodes
from madstar.zoo.corpus import read_index

from .machine import keep

SHARES = (0.9, 0.99)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path, help="the folder that `madstar zoo trace --out` has made")
    parser.add_argument("--size", choices=("shrunk", "full"), help="these graphs only; all if not given")
    parser.add_argument("--folded", action="store_true", help="count each written node once")
    given = parser.parse_args()
    found = count(given.corpus, given.size, given.folded)
    if not found["graphs"]:
        parser.exit(2, f"{given.corpus} has no graphs to count; make some with: madstar zoo trace\n")
    print(table(found))
    print("\nkept in", keep("vocabulary", found))


def count(corpus: Path, size: str | None = None, folded: bool = False) -> dict[str, Any]:
    """What a corpus's graphs hold, on both levels."""
    rows = [row for row in read_index(corpus) if row["status"] == "ok" and size in (None, row["size"])]
    seen: set[str] = set()
    functions: Counter[str] = Counter()
    primitives: Counter[str] = Counter()
    for row in rows:
        if row["hash"] in seen:
            continue
        seen.add(row["hash"])
        add(load(corpus / row["file"]), folded, functions, primitives)
    bases: Counter[str] = Counter()
    for name, number in primitives.items():
        bases[base(name)] += number
    opaque = {name: number for name, number in functions.items() if name.startswith("opaque:")}
    return {
        "graphs": len(rows),
        "different": len(seen),
        "size": size or "all",
        "counted": "as written" if folded else "as computed",
        "functions": of(functions),
        "primitives": of(primitives),
        "primitives by base name": of(bases),
        "opaque": opaque,
    }


def add(graph: Graph, folded: bool, functions: Counter[str], primitives: Counter[str]) -> None:
    """Count one graph."""
    written: set[tuple[str, str]] = set()
    for place in nodes(graph):
        node = place.item
        key = place.definition.name, node.name
        if folded and key in written:
            continue
        written.add(key)
        times = 1 if folded else place.count
        assert isinstance(node, Node)
        functions[node.op] += times
        for step in node.body:
            primitives[step.op] += times


def base(name: str) -> str:
    """An ATen operation without its overload: "aten.add" of "aten.add.Tensor"."""
    parts = name.split(".")
    return ".".join(parts[:-1]) if len(parts) > 2 else name


def of(counts: Counter[str]) -> dict[str, Any]:
    """How many there are, how many cover the shares of all nodes, and each with its count."""
    covering = {str(share): covered(counts, share) for share in SHARES}
    return {
        "different": len(counts),
        "nodes": sum(counts.values()),
        "cover": covering,
        "counts": dict(counts.most_common()),
    }


def covered(counts: Counter[str], share: float) -> int:
    """The fewest operations that make up a share of all nodes."""
    wanted, so_far = share * sum(counts.values()), 0
    for number, (_, times) in enumerate(counts.most_common(), 1):
        so_far += times
        if so_far >= wanted:
            return number
    return len(counts)


def table(found: dict[str, Any]) -> str:
    """The figures in Markdown."""
    lines = [
        f"{found['graphs']} graphs ({found['size']} sizes), {found['different']} of them different; "
        f"nodes {found['counted']}",
        "",
        "| level | operations | nodes | cover 90 % | cover 99 % | most frequent |",
        "|---|---|---|---|---|---|",
    ]
    for level in ("functions", "primitives", "primitives by base name"):
        own = found[level]
        first = ", ".join(list(own["counts"])[:6])
        cover = " | ".join(str(own["cover"][str(share)]) for share in SHARES)
        lines.append(f"| {level} | {own['different']} | {own['nodes']:,} | {cover} | {first} |")
    if found["opaque"]:
        lines.append(f"\nnot in the vocabulary: {found['opaque']}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
