"""Folding: nodes on the level of functions before and after, of full-size models from their configurations.

    python -m benchmarks.folding [ADDRESS ...]

Each model in a process of its own: traced from its default configuration, without weights. Beside the nodes
stand the figures of an earlier prototype, which folded equal sibling blocks alone, and the size of the JSON.
Llama-70B is the configuration written in benchmarks/graph_peers.py.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import torch

from .forks import in_fork
from .graph_peers import LLAMA_70B
from .machine import keep

PROTOTYPE = {
    "llama": (1627, 73),
    "mixtral": (2688, 109),
    "mamba": (5639, 184),
    "t5": (635, 257),
    "bert": (277, 36),
    "gpt2": (450, 53),
    "vit": (274, 33),
    "whisper": (318, 101),
    "swin": (703, 309),
    "qwen3_next": (8818, 346),
}
"""Nodes before and after, as a prototype of the tracer had them."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", help="addresses; all of the table if none is given")
    given = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    print("| model | nodes | folded | blocks | JSON kB | prototype |\n|---|---|---|---|---|---|")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "config.json"
        place.write_text(json.dumps(LLAMA_70B))
        names = given.models or [*(f"hf:{name}" for name in PROTOTYPE), f"hf:{place}"]
        for address in names:
            row = {"model": "Llama-70B" if address.endswith(str(place)) else address}
            row |= in_fork(lambda address=address: measure(address), 600)  # type: ignore[misc]
            rows.append(row)
            print(line(row), flush=True)
    if not given.models:
        print("\nkept in", keep("folding", {"rows": rows}))


def measure(address: str) -> dict[str, Any]:
    """Nodes that are computed and nodes that are written, and the text's bytes."""
    from madstar.graph.json_format import to_json
    from madstar.graph.statistics import statistics
    from madstar.zoo.tracing import trace_address

    graph = trace_address(address).graph
    cost = statistics(graph)
    return {
        "nodes": cost.unfolded,
        "folded": cost.nodes,
        "blocks": len(graph.definitions),
        "json_bytes": len(to_json(graph).encode()),
        "seconds": graph.facts["seconds"],
    }


def line(row: dict[str, Any]) -> str:
    """A row of the table in Markdown."""
    if "error" in row:
        return f"| {row['model']} | {row['error'][:120]} | | | | |"
    before = PROTOTYPE.get(row["model"].removeprefix("hf:"))
    beside = f"{before[0]:,} to {before[1]}" if before else ""
    return (
        f"| {row['model']} | {row['nodes']:,} | {row['folded']} | {row['blocks']} "
        f"| {row['json_bytes'] / 1000:.0f} | {beside} |"
    )


if __name__ == "__main__":
    main()
