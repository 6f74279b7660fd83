"""Graphbook and source: the museum out and in, and as Python files that must compute the same.

    python -m benchmarks.exchange_graphbook [--types N] [--most-parameters 60e6] [--only NAME ...]
                                            [--part k/n] [--retry] [--summary]

goes through the graphs of runs/museum, those of the fewest weights first. Each is written as Graphbook has
it and read again: the structural hash must be the same. Those with few enough weights are built with random
weights and buffers, written as a Python file, and that file is imported in a process of its own and given
the same weights; what the two give for the same drawn inputs is compared, at the sizes traced and at others
(batch and length, as far as they are symbols). The difference is the largest of any output, relative to that
output's largest value; good is 1e-4 for float32, 2e-2 for bfloat16. A graph that does not run itself on
drawn inputs is counted apart.

A row for each graph is added to benchmarks/results/exchange_graphbook.jsonl; what is there is not done again.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .machine import RESULTS, keep
from .museum_rows import Row, arguments, go_on, last_rows

ROWS = RESULTS / "exchange_graphbook.jsonl"
MUSEUM = Path("runs/museum")
TOLERANCE = {torch.bfloat16: 2e-2, torch.float16: 2e-3}


def main() -> None:
    given = arguments(__doc__).parse_args()
    if not given.summary:
        torch.set_num_threads(1)
        logging.disable(logging.CRITICAL)
        most = int(given.most_parameters)
        names = listed()
        measure(next(iter(names.values())), most)  # what every graph needs, once for all forks
        go_on(given, list(names), ROWS, lambda name: measure(names[name], most), good, verdict, 300)
    rows = last_rows(ROWS)
    print(summary(rows))
    if rows:
        print(
            "\nkept in",
            keep("exchange_graphbook", {"command": "python -m benchmarks.exchange_graphbook", "rows": rows}),
        )


def listed() -> dict[str, Path]:
    """The files of the museum's graphs by name, those of the fewest weights first."""
    rows = [json.loads(line) for line in (MUSEUM / "index.jsonl").read_text(encoding="utf-8").splitlines()]
    found = {row["key"]: row for row in rows if row["status"] == "ok" and row["file"]}
    order = sorted(found.values(), key=lambda row: (row["parameters"] or 0, row["nodes"]))
    return {row["key"]: MUSEUM / row["file"] for row in order}


def measure(file: Path, most: int) -> Row:
    """One graph out and in, and as a Python file."""
    from madstar.graph.exchange.graphbook import from_graphbook, parsed, to_graphbook
    from madstar.graph.hashing import structural_hash
    from madstar.graph.json_format import load
    from madstar.graph.walk import parameters

    graph = load(file)
    begun = time.perf_counter()
    text = json.dumps(to_graphbook(graph), ensure_ascii=False, separators=(",", ":"))
    written = time.perf_counter()
    row: Row = {"state": "done", "bytes": len(text), "graphbook_written": round(written - begun, 3)}
    again = from_graphbook(parsed(text))
    row["graphbook_read"] = round(time.perf_counter() - written, 3)
    row["same_hash"] = structural_hash(graph) == structural_hash(again)
    size = sum(torch.Size(p.shape).numel() for p in parameters(graph).values())
    row["parameters"] = size
    try:
        row |= source(graph, compared=size <= most)
    except Exception as error:
        row |= {"source": "failed", "error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    return row


def source(graph: Any, compared: bool) -> Row:
    """The file written, imported, and compared with the module from the graph."""
    from madstar.errors import GraphError
    from madstar.graph.exchange.source import to_source

    begun = time.perf_counter()
    try:
        text = to_source(graph)
    except GraphError as error:
        if "there is no function that computes it" in str(error) or "not recorded" in str(error):
            return {"source": "not computable", "error": str(error)[:200]}
        raise
    row: Row = {"source_seconds": round(time.perf_counter() - begun, 3), "lines": text.count("\n")}
    compile(text, "model.py", "exec")
    if not compared:
        return row | {"source": "too large to compare"}
    return row | agreement(graph, text)


def agreement(graph: Any, text: str) -> Row:
    """How the file's class and the module from the graph agree, with the same random weights."""
    from madstar.graph.execution import build, drawn_inputs
    from madstar.graph.walk import parameters

    weights = {path: _drawn(graph, path, parameter) for path, parameter in parameters(graph).items()}
    try:
        built = build(graph, weights)
    except Exception as error:
        return {"source": "not built", "error": f"{' '.join(str(error).split())[:300]}"}
    with tempfile.TemporaryDirectory() as folder:
        module = imported(Path(folder) / "model.py", text)
    row: Row = {"keys": set(module.state_dict()) == set(built.state_dict()), "at": []}
    give(module, built)
    sizes: list[dict[str, int]] = [{}]
    other = {symbol: size + 1 for symbol, size in zip(graph.symbols, (2, 25), strict=False)}
    if other and "unrolled_over" not in graph.facts:
        sizes.append({s: n for s, n in other.items() if s in ("batch", "length")})
    for at in sizes:
        row["at"].append({"sizes": at, **_compared(built, module, drawn_inputs(graph, at))})
    states = [each.get("state", "good" if each.get("good") else "differs") for each in row["at"]]
    return row | {"source": states[0] if len(set(states)) == 1 or states[0] != "good" else states[1]}


def imported(file: Path, text: str) -> nn.Module:
    """The class of the whole, made: it is the last of the file."""
    file.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("written_model", file)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules["written_model"] = loaded
    spec.loader.exec_module(loaded)
    classes = [
        each for each in vars(loaded).values() if isinstance(each, type) and issubclass(each, nn.Module)
    ]
    made: nn.Module = classes[-1]()
    return made.eval()


def give(module: nn.Module, built: nn.Module) -> None:
    """The weights and all buffers of the one to the other."""
    theirs = dict(built.named_parameters(remove_duplicate=False)) | dict(
        built.named_buffers(remove_duplicate=False)
    )
    with torch.no_grad():
        for found in (
            module.named_parameters(remove_duplicate=False),
            module.named_buffers(remove_duplicate=False),
        ):
            for name, tensor in found:
                if name in theirs:
                    tensor.copy_(theirs[name])


def _drawn(graph: Any, path: str, parameter: Any) -> Tensor:
    from madstar.graph.buffers import computed

    if not parameter.trained and (known := computed(graph, path, parameter)) is not None:
        return known
    dtype = getattr(torch, parameter.dtype)
    source = torch.Generator().manual_seed(sum(path.encode()))
    if dtype.is_floating_point:
        if parameter.trained and len(parameter.shape) > 1:
            return (torch.randn(parameter.shape, generator=source) * 0.05).to(dtype)
        return (torch.rand(parameter.shape, generator=source) * 0.5 + 0.5).to(dtype)
    return torch.zeros(parameter.shape, dtype=dtype)


def _compared(built: Any, module: nn.Module, inputs: Mapping[str, Tensor]) -> Row:
    try:
        with torch.no_grad():
            torch.manual_seed(2)
            given = built.bound((), {name: tensor.clone() for name, tensor in inputs.items()})
            theirs = built.computed(given, built.plans(given))
    except Exception as error:
        return {"state": "cannot run", "error": f"{' '.join(str(error).split())[:200]}"}
    try:
        with torch.no_grad():
            torch.manual_seed(2)
            made = _tensors(module(*(inputs[name].clone() for name in built.graph.input_names)))
    except Exception as error:
        return {"state": "fails", "error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    if [t.shape for t in made] != [t.shape for t in theirs]:
        return {"state": "fails", "error": "outputs of other shapes"}
    worst = 0.0
    for a, b in zip(made, theirs, strict=True):
        if b.numel():
            a, b = (
                torch.nan_to_num(each.detach().to(torch.complex128 if each.is_complex() else torch.float64))
                for each in (a, b)
            )
            worst = max(worst, float((a - b).abs().max() / b.abs().max().clamp(min=1e-6)))
    dtype = next((t.dtype for t in theirs if t.dtype.is_floating_point), torch.float32)
    return {"difference": worst, "good": worst <= TOLERANCE.get(dtype, 1e-4)}


def _tensors(made: Any) -> list[Tensor]:
    if isinstance(made, Tensor):
        return [made]
    parts = made.values() if isinstance(made, dict) else made
    return [tensor for part in parts for tensor in _tensors(part)]


# What is said of it.


def good(row: Row) -> bool:
    """Whether nothing of a graph went wrong."""
    return bool(row.get("same_hash")) and row.get("source") in ("good", "too large to compare")


def verdict(row: Row) -> str:
    """One graph in a line."""
    said = row.get("error") or next((e["error"] for e in row.get("at", ()) if "error" in e), "")
    return f"hash {row.get('same_hash')}, source {row.get('source')}, keys {row.get('keys')} {said}"[:300]


def summary(rows: list[Row]) -> str:
    """The shares, and what went wrong with why."""
    hashed = [row for row in rows if "same_hash" in row]
    states = Counter(row.get("source", "failed") for row in rows)
    able = [row for row in rows if row.get("source") in ("good", "differs", "fails", "failed")]
    equal = [row for row in able if row["source"] == "good"]
    other = [row for row in equal if len(row["at"]) > 1]
    lines = [
        f"graphs {len(rows)}; Graphbook out and in, same hash: {sum(r['same_hash'] for r in hashed)}",
        f"source: {dict(states)}",
        f"equal {len(equal)} of {len(able)} that run from the graph; at another size too {len(other)}; "
        f"state dict keys equal {sum(r.get('keys', False) for r in able)}",
    ]
    lines += [f"  {row['type']}: {verdict(row)}" for row in rows if row in able and row not in equal]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
