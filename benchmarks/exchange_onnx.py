"""ONNX: types written as ONNX files, run in onnxruntime, read back, and compared with the model.

    python -m benchmarks.exchange_onnx [--types N] [--only TYPE ...] [--retry] [--part k/n] [--summary]

goes through the types that `benchmarks.rebuild` found equal, those of the fewest parameters first. Each is
made shallow, traced, and written with random weights (`write_onnx`, whose onnx.checker must pass). What
onnxruntime gives for the file is compared with what the model of transformers gives, at the size traced and
at another (other batch and length, where the file leaves them open). The file is read back (`read_onnx`),
checked, built with the file's weights, and compared with the model at the same sizes. The difference is the
largest of any output, relative to that output's largest value; good is 1e-4 for float32, 2e-2 for bfloat16.

A row for each type is added to benchmarks/results/exchange_onnx.jsonl; what stands there is not done again.
"""

from __future__ import annotations

import logging
import re
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .machine import RESULTS, keep
from .museum_rows import Row, arguments, go_on, last_rows, ready, rebuilt_types

ROWS = RESULTS / "exchange_onnx.jsonl"
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 5e-3}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--opset", type=int, default=20)
    given = parser.parse_args()
    if not given.summary:
        torch.set_num_threads(1)
        logging.disable(logging.CRITICAL)
        _warm()
        names = rebuilt_types(RESULTS / "rebuild.jsonl")
        go_on(given, names, ROWS, lambda name: measure(name, given.opset), good, verdict)
    rows = last_rows(ROWS)
    print(summary(rows))
    if rows:
        command = "python -m benchmarks.exchange_onnx"
        print("\nkept in", keep("exchange_onnx", {"command": command, "rows": rows}))


def _warm() -> None:
    """What every type needs, once for all forks: imports, and torch's table of translations."""
    import madstar
    from madstar.graph.exchange.onnx import read_onnx, write_onnx

    tiny = madstar.trace(torch.nn.Linear(4, 4), lambda batch: torch.zeros(batch, 4), symbols=("batch",))
    with tempfile.TemporaryDirectory() as folder:
        write_onnx(tiny, Path(folder) / "tiny.onnx", check=False)
        read_onnx(Path(folder) / "tiny.onnx")
    ready("bert")


def measure(name: str, opset: int) -> Row:
    """Write a type, run the file, read it back, and say how all agree with the model."""
    from madstar.errors import GraphError
    from madstar.graph import check
    from madstar.graph.exchange.onnx import onnx_weights, read_onnx, write_onnx
    from madstar.graph.exchange.onnx.agreement import computed, session

    made = ready(name)
    fed = {str(at): _fed(made.graph, made.inputs(at)) for at in made.sizes}
    wanted = {str(at): _of_module(made.module, made.inputs(at)) for at in made.sizes}
    row: Row = {"opset": opset, "nodes": made.graph.facts["function_nodes"]}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        begun = time.perf_counter()
        try:
            first = made.sizes[0]
            report = write_onnx(
                made.graph, file, weights=made.module, sizes=first, inputs=fed[str(first)], opset=opset
            )
        except GraphError as error:
            return row | {"state": "not written", "error": str(error)[:300]}
        row |= {
            "state": "written",
            "seconds": round(time.perf_counter() - begun, 2),
            "onnx_nodes": report.nodes,
            "bytes": report.bytes,
            "open": list(report.open),
            "fixed": dict(report.fixed),
            "own_difference": report.difference,
            "not_compared": report.not_compared,
        }
        if report.not_compared.startswith("it "):
            return row | {"state": "not comparable", "error": report.not_compared}
        able = [at for at in made.sizes if all(at[s] == n for s, n in report.fixed.items())]
        running = session(file)
        row["run"] = [
            _compared(at, wanted[str(at)], lambda at=at: computed(running, fed[str(at)])) for at in able
        ]
        begun = time.perf_counter()
        try:
            graph = read_onnx(file)
            row["read_seconds"] = round(time.perf_counter() - begun, 2)
            found = check(graph)
            row |= {"check": found.errors, "read_nodes": graph.facts["function_nodes"]}
            if found.errors:
                row["check_says"] = found.text()[:300]
            built = graph.build(weights=onnx_weights(file))
        except GraphError as error:
            return row | {"read": [], "read_error": str(error).replace(str(file), "")[:300]}
        row["blocks"] = [len(made.graph.definitions), len(graph.definitions)]
        row["lost"] = len(set(made.module.state_dict()) - set(built.state_dict()))
        known = set(graph.input_names)
        row["read"] = [
            _compared(
                at,
                wanted[str(at)],
                lambda at=at: _of_graph(built, {n: t for n, t in fed[str(at)].items() if n in known}),
            )
            for at in able
        ]
    return row


def _fed(graph: Any, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
    """Inputs by their names in the graph."""
    from madstar.graph.structures import leaves

    found = {f"{n}.{path}" if path else n: t for n, part in inputs.items() for path, t in leaves(part)}
    return {name: found[name] for name in graph.input_names}


def _of_module(module: Any, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
    from madstar.graph.structures import leaves

    torch.manual_seed(2)
    with torch.no_grad():
        return {path or "output": tensor.clone() for path, tensor in leaves(module(**inputs))}


def _of_graph(built: Any, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    torch.manual_seed(2)
    with torch.no_grad():
        given = built.bound((), dict(inputs))
        made = built.computed(given, built.plans(given))
    return dict(zip(built.graph.output_names, made, strict=True))


def _compared(at: dict[str, int], wanted: Mapping[str, Tensor], compute: Any) -> dict[str, Any]:
    from madstar.graph.exchange.onnx.agreement import difference

    try:
        found = compute()
        worst, equal = 0.0, True
        for name, tensor in wanted.items():
            each = difference(tensor, found[name])
            worst = max(worst, each)
            equal &= each <= TOLERANCE.get(tensor.dtype, 1e-4)
    except Exception as error:
        return {"sizes": at, "good": False, "error": f"{' '.join(str(error).split())[:300]}"}
    return {"sizes": at, "good": equal, "difference": worst}


# What is said of it.


def good(row: Row) -> bool:
    """Whether all that was asked of a type is so."""
    return ran(row) and came_back(row)


def ran(row: Row) -> bool:
    """Whether the file gives in onnxruntime what the model gives, at all sizes that it takes."""
    return row["state"] == "written" and bool(row["run"]) and all(each["good"] for each in row["run"])


def came_back(row: Row) -> bool:
    """Whether the graph that was read gives what the model gives, and passes its check."""
    return bool(row.get("read")) and not row.get("check") and all(each["good"] for each in row["read"])


def verdict(row: Row) -> str:
    """One type in a line."""
    if row["state"] != "written":
        return f"{row['state']} {row.get('error', '')}"[:300]
    parts = [f"{row['seconds']} s, {row['nodes']} nodes, {row['onnx_nodes']} of ONNX"]
    parts += [f"fixed {row['fixed']}"] if row["fixed"] else []
    for what in ("run", "read"):
        said = [
            f"{e['difference']:.0e}" if "difference" in e else e["error"][:120] for e in row.get(what, ())
        ]
        parts.append(f"{what} {', '.join(said)}")
    if "read_error" in row:
        parts.append(row["read_error"])
    if row.get("check"):
        parts.append(row["check_says"])
    return "; ".join(parts)[:500]


def reason(row: Row) -> str:
    """Why a type is not good, without names and numbers, to be counted."""
    said = row.get("error") or row.get("read_error") or row.get("check_says")
    if not said:
        parts = [*row.get("run", ()), *row.get("read", ())]
        said = next((e.get("error", "values differ") for e in parts if not e["good"]), "nothing compared")
    said = re.sub(r"^.*?: (?=\w)", "", said) if "node" not in said else said[said.index("node") :]
    return re.sub(r"'[^']*'", "'...'", re.sub(r"\d+", "N", said))[:110]


def summary(rows: list[Row]) -> str:
    """The shares, and what is not equal with why."""
    apart = [row for row in rows if row["state"] == "not comparable"]
    rows = [row for row in rows if row["state"] != "not comparable"]
    written = [row for row in rows if row["state"] == "written"]
    both = [row for row in written if len(row["run"]) > 1]
    lines = [
        f"types {len(rows)}: written and checked {len(written)}; equal in onnxruntime at the size traced "
        f"{sum(bool(r['run']) and r['run'][0]['good'] for r in written)}; at another "
        f"{sum(r['run'][1]['good'] for r in both)} of {len(both)} that leave one open",
        f"read back {sum(bool(r.get('read')) for r in rows)}, with no error of check "
        f"{sum(bool(r.get('read')) and not r['check'] for r in rows)}, equal at all sizes "
        f"{sum(came_back(r) for r in rows)}; all of this {sum(good(r) for r in rows)}",
    ]
    if written:
        seconds = sorted(row["seconds"] for row in written)
        lines.append(f"seconds to write and check: median {seconds[len(seconds) // 2]}, most {seconds[-1]}")
    lines += [f"not counted: {row['type']}: {row['error']}" for row in apart]
    bad = [row for row in rows if not good(row)]
    for said, count in Counter(reason(row) for row in bad).most_common():
        which = [row["type"] for row in bad if reason(row) == said]
        lines.append(f"  {count:3} {said}: {', '.join(which[:6])}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
