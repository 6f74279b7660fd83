"""What `madstar graph check` finds in a corpus, and whether its word on the future holds.

    madstar zoo trace --all --out museum
    python -m benchmarks.checks museum [--size shrunk] [--most-parameters 300e6] [--part 0/2] [--summary]

Every graph of a corpus that differs from those before is checked, paths from the future included. They are of
models that run, so an error is a fault either of such a model or of the check; nodes without a rule are
counted as written.

Verdicts along the sequence are then compared with a computation: a graph with few enough parameters is built
with fresh weights, none of them all zeros, drawn inputs are computed, and computed again with the last or the
middle place of the sequence changed. An output that differs at an earlier place reads the future. "causal"
must never go with that; "not causal" may go without, where a weight or a mask hides what could be read.

Whatever has ended is a line in benchmarks/results/checks.jsonl and is not done again.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from madstar.graph import buffers, check, load
from madstar.graph.causality import Causality
from madstar.graph.execution import build, drawn_inputs
from madstar.graph.model import Graph
from madstar.graph.paths import join
from madstar.graph.statistics import statistics
from madstar.graph.walk import blocks
from madstar.zoo.corpus import read_index

from .forks import in_fork
from .machine import RESULTS, keep

ROWS = RESULTS / "checks.jsonl"
NONE = "no sequence"
TOLERANCE = 1e-5
Found = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path, help="the folder that `madstar zoo trace --out` has made")
    parser.add_argument("--size", choices=("shrunk", "full"), help="these graphs only; all if not given")
    parser.add_argument("--most-parameters", type=float, default=300e6, help="of what is computed")
    parser.add_argument("--part", default="0/1", help="0/2 and 1/2 share the work between two processes")
    parser.add_argument("--summary", action="store_true", help="only print what there is")
    given = parser.parse_args()
    if not given.summary:
        part, parts = map(int, given.part.split("/"))
        run(given.corpus, given.size, int(given.most_parameters), part, parts)
    rows = read()
    print(summary(rows))
    if rows:
        print("\nkept in", keep("checks", summarised(rows)))


def run(corpus: Path, size: str | None, most: int, part: int, parts: int) -> None:
    """Check what has no line yet."""
    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    there = {row["hash"] for row in read()}
    for number, row in enumerate(distinct(corpus, size)):
        if number % parts != part or row["hash"] in there:
            continue
        graph = load(corpus / row["file"])
        found = in_fork(lambda graph=graph: checked(graph), cpu_seconds=300, memory=8 << 30)  # type: ignore[misc]
        if "error" not in found and found["verdict"] != NONE:
            found["computed"] = in_fork(
                lambda graph=graph: computed(graph, most),  # type: ignore[misc]
                cpu_seconds=300,
                memory=8 << 30,
            )
        line = {"name": row["name"], "hash": row["hash"], **found}
        with ROWS.open("a") as out:
            out.write(json.dumps(line) + "\n")
        print(f"{row['name']:40} {found.get('verdict', found.get('error'))}", flush=True)


def distinct(corpus: Path, size: str | None) -> Iterator[Mapping[str, Any]]:
    """The rows of the corpus's graphs, one for each structure."""
    seen: set[str] = set()
    for row in read_index(corpus):
        if row["status"] == "ok" and size in (None, row["size"]) and row["hash"] not in seen:
            seen.add(row["hash"])
            yield row


def checked(graph: Graph) -> Found:
    """The findings of a check, counted."""
    begun = time.process_time()
    report = check(graph, causal=True)
    seconds = time.process_time() - begun
    kinds = Counter(
        f"{finding.severity}: {finding.kind}" for finding in report.findings if finding.kind != "causality"
    )
    errors = [f.line for f in report.findings if f.severity == "error" and f.kind != "causality"]
    followed = report.causality if report.causality is not None and report.causality.outputs else None
    return {
        "nodes": report.nodes,
        "unruled": dict(report.unruled),
        "findings": dict(kinds),
        "errors": errors[:5],
        "verdict": followed.verdict if followed else NONE,
        "only_at": max((v.only_at or 0 for v in followed.outputs), default=0) if followed else 0,
        "seconds": round(seconds, 3),
    }


def computed(graph: Graph, most: int) -> Found:
    """At how many of two changed places an earlier place of an output differs; or why that is not known."""
    if statistics(graph).parameters > most:
        return {"skipped": "too large"}
    report = check(graph, causal=True)
    assert report.causality is not None
    module = build(with_tables(graph), generator=torch.Generator().manual_seed(0))
    _fill(module)
    inputs = drawn_inputs(graph)
    length = graph.symbols[report.causality.symbol][0]
    with torch.no_grad():
        before = outputs_of(graph, module(**inputs))
        leaks = []
        for place in (length - 1, length // 2):
            changed = {
                name: (
                    altered(tensor, axis, place)
                    if (axis := along(graph, report.causality, name)) is not None
                    else tensor
                )
                for name, tensor in inputs.items()
            }
            after = outputs_of(graph, module(**changed))
            leaks.append(max(ahead(graph, report.causality, before, after, place), default=0.0))
    return {"largest_difference_before_the_change": leaks, "reads_future": any(x > TOLERANCE for x in leaks)}


def with_tables(graph: Graph) -> Graph:
    """The graph with numbers to be drawn for the buffers of which it says nothing, such as long sinusoids."""
    unsaid = {
        (definition.name, parameter.path)
        for block, definition in blocks(graph)
        for parameter in definition.parameters
        if not parameter.trained
        and parameter.dtype.startswith(("float", "bfloat"))
        and buffers.computed(graph, join(block, parameter.path), parameter) is None
    }
    definitions = {
        name: replace(
            definition,
            parameters=tuple(
                replace(p, initialisation="normal(0, 1)") if (name, p.path) in unsaid else p
                for p in definition.parameters
            ),
        )
        for name, definition in graph.definitions.items()
    }
    return replace(graph, definitions=definitions)


def _fill(module: torch.nn.Module) -> None:
    """What is all zeros when fresh hides what it is multiplied with."""
    generator = torch.Generator().manual_seed(1)
    for weight in module.parameters():
        if weight.is_floating_point() and not weight.any():
            weight.detach().copy_(0.1 * torch.randn(weight.shape, generator=generator))


def along(graph: Graph, causality: Causality, name: str) -> int | None:
    """The axis of an input in which a place is changed; none for masks, which say what is read at all."""
    value = dict(zip(graph.input_names, graph.main.inputs, strict=True))[name]
    if name not in causality.inputs or "mask" in name or value.dtype == "bool":
        return None
    return value.shape.index(causality.symbol)


def altered(tensor: Tensor, axis: int, place: int) -> Tensor:
    """Another number at one place of an axis; an index stays within what was drawn."""
    other = tensor.clone()
    part = other.select(axis, place)
    if tensor.is_floating_point() or tensor.is_complex():
        part += 1
    else:
        part.copy_(torch.where(part > 0, part - 1, part + int(tensor.max() > 0)))
    return other


def outputs_of(graph: Graph, given: Any) -> list[Tensor]:
    """All outputs in the graph's order."""
    from madstar.graph.structures import leaves

    found = dict(leaves(given))
    return [found.get(name, found.get("")) for name in graph.output_names]  # type: ignore[misc]


def ahead(
    graph: Graph, causality: Causality, before: list[Tensor], after: list[Tensor], place: int
) -> Iterator[float]:
    """For each output along the sequence how far it moved before the place, relative to its largest value."""
    said = {verdict.output for verdict in causality.outputs}
    for name, old, new in zip(graph.output_names, before, after, strict=True):
        if name not in said or not old.is_floating_point():
            continue
        length = graph.symbols[causality.symbol][0]
        axes = [axis for axis, size in enumerate(old.shape) if size == length]
        axis = output_axis(graph, causality, name)
        if axis is None or axis not in axes:
            continue
        moved = (old.narrow(axis, 0, place) - new.narrow(axis, 0, place)).abs().amax()
        yield float(moved / old.abs().amax().clamp_min(1e-12))


def output_axis(graph: Graph, causality: Causality, name: str) -> int | None:
    """Where the sequence is in an output."""
    definition = graph.main
    ref = definition.outputs[graph.output_names.index(name)]
    for value in (*definition.inputs, *(v for item in definition.items for v in item.outputs)):
        if f"%{value.name}" == ref:
            return value.shape.index(causality.symbol) if causality.symbol in value.shape else None
    return None


def read() -> list[Found]:
    """The lines so far."""
    return [json.loads(line) for line in ROWS.read_text().splitlines()] if ROWS.exists() else []


def summarised(rows: list[Found]) -> Found:
    """Counts over all lines."""
    fine = [row for row in rows if "error" not in row]
    unruled: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for row in fine:
        unruled.update(row["unruled"])
        kinds.update(dict.fromkeys(row["findings"], 1))
    agreement: Counter[str] = Counter()
    for row in fine:
        if row["verdict"] != NONE:
            answer = row.get("computed", {})
            seen = answer.get("skipped") or (
                "not computed" if "error" in answer else answer.get("reads_future")
            )
            words = {True: "reads the future", False: "does not read it"}
            agreement[f"{row['verdict']}; computed: {words.get(seen, seen)}"] += 1  # type: ignore[call-overload]
    return {
        "graphs": len(rows),
        "failed": {row["name"]: row["error"] for row in rows if "error" in row},
        "nodes": sum(row["nodes"] for row in fine),
        "without a rule": dict(unruled.most_common()),
        "graphs with an error": sorted(row["name"] for row in fine if row["errors"]),
        "graphs by kind of finding": dict(kinds.most_common()),
        "verdicts": dict(Counter(row["verdict"] for row in fine).most_common()),
        "at one length only": sum(bool(row["only_at"]) for row in fine),
        "against a computation": dict(sorted(agreement.items())),
        "contradicted": [
            row["name"]
            for row in fine
            if row["verdict"] == "causal" and row.get("computed", {}).get("reads_future")
        ],
        "seconds": sorted(row["seconds"] for row in fine)[len(fine) // 2] if fine else 0,
    }


def summary(rows: list[Found]) -> str:
    """The counts in lines."""
    lines = []
    for name, value in summarised(rows).items():
        text = json.dumps(value) if isinstance(value, (dict, list)) else str(value)
        lines.append(f"{name}: {text[:1500]}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
