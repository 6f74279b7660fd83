"""Seconds and memory of tracing, beside torch.export, torchview and the ONNX exporter on the same models.

    python -m venv /tmp/peers
    /tmp/peers/bin/pip install --no-deps onnx onnxscript onnx_ir ml_dtypes protobuf torchview graphviz
    python -m benchmarks.graph_peers --peers /tmp/peers/lib/python3.11/site-packages [--types 24] [--full]

draws types of transformers with a seed, makes each shallow, chooses inputs, and lets every tracer make its
graph of the same module and inputs, each in a process of its own. (--no-deps: nothing may change torch.)
In such a process the first call is timed and, unless it took over 5 seconds of CPU, one more; imports are
done before. The tracers take turns, and ours comes first and last, so that other load on the machine meets
them all; seconds of CPU stand beside seconds of the clock. Memory is the peak of the process, and what of it
is above its state before the call. What takes more than two minutes of CPU is stopped.
--full adds full-size models, Llama-70B among them, from their configurations. What is done is kept and not
done again; --summary prints the tables.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from .forks import in_fork
from .machine import RESULTS, keep

ROWS = RESULTS / "graph_peers.jsonl"
ORDER = ("madstar", "torch.export", "madstar, one size", "torchview", "ONNX exporter", "madstar")
FULL = ("llama", "t5", "bert", "mamba")
LLAMA_70B = {
    "model_type": "llama",
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
}
MOST_SECONDS = 120


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", help="folder of site-packages that has onnxscript and torchview")
    parser.add_argument("--types", type=int, default=24, help="how many types, drawn with the seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--full", action="store_true", help="also full-size models, and Llama-70B")
    parser.add_argument("--summary", action="store_true", help="only print what there is")
    parser.add_argument("--one", nargs=2, metavar=("ADDRESS", "SIZE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(*given.one, given.peers)
        return
    if not given.summary:
        run(given.types, given.seed, given.full, given.peers)
    rows = read()
    print(summary(rows))
    if rows:
        print("\nkept in", keep("graph_peers", {"command": "python -m benchmarks.graph_peers", "rows": rows}))


def run(count: int, seed: int, full: bool, peers: str | None) -> None:
    from madstar.zoo.transformers_models import model_types

    names = list(model_types())
    random.Random(seed).shuffle(names)
    tasks = [(f"hf:{name}", "shrunk") for name in names[:count]]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "llama_70b" / "config.json"
        place.parent.mkdir()
        place.write_text(json.dumps(LLAMA_70B))
        if full:
            tasks += [(f"hf:{place}", "full"), *((f"hf:{name}", "full") for name in FULL)]
        done = {(row["model"], row["size"]) for row in read()}
        for address, size in tasks:
            if (_short(address), size) in done:
                continue
            command = [sys.executable, "-m", "benchmarks.graph_peers", "--one", address, size]
            process = subprocess.run(
                [*command, *(["--peers", peers] if peers else [])], capture_output=True, text=True
            )
            lines = [line[4:] for line in process.stdout.splitlines() if line.startswith("row ")]
            found = [json.loads(line) for line in lines]
            if not found:
                error = process.stderr.strip().splitlines()[-1:] or [f"status {process.returncode}"]
                found = [{"tracer": "", "error": error[0][:300]}]
            if address == f"hf:{place}":
                found.append(command_row(address))
            with open(ROWS, "a", encoding="utf-8") as file:
                for row in found:
                    full_row = {"model": _short(address), "size": size, "load": os.getloadavg()[0], **row}
                    file.write(json.dumps(full_row) + "\n")
            print(address, size, [(row["tracer"], row.get("cpu", row.get("error"))) for row in found])


def command_row(address: str) -> dict[str, Any]:
    """`madstar trace` as a user gives it: everything from the start of the process to the file written."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "g.json"
        command = [sys.executable, "-m", "madstar", "trace", address, "--out", str(out)]
        # The peak of one child alone needs a process between.
        program = (
            "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], capture_output=True); "
            "print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        )
        done = subprocess.run([sys.executable, "-c", program, *command], capture_output=True, text=True)
        after, status = resource.getrusage(resource.RUSAGE_CHILDREN), done.stdout.split()
        size = out.stat().st_size if out.exists() else 0
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    row = {"tracer": "the command madstar trace", "status": status[0], "json_bytes": size}
    return row | {
        "seconds": [round(time.perf_counter() - begun, 3)],
        "cpu": [round(cpu, 3)],
        "peak": int(status[1]) * 1024,
    }


def one(address: str, size: str, peers: str | None) -> None:
    """Build one model, then every tracer in a fork of this process; prints a row for each."""
    from . import graph_tracers

    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    prepared = graph_tracers.prepare(address, size == "shrunk")
    parameters = sum(p.numel() for p in prepared[0].module.parameters())
    if peers:
        sys.path.append(peers)
    for name in ORDER:
        row = in_fork(lambda name=name: measured(name, prepared), MOST_SECONDS)  # type: ignore[misc]
        print("row", json.dumps({"tracer": name, "parameters": parameters, **row}), flush=True)


def measured(name: str, prepared: Any) -> dict[str, Any]:
    from .graph_tracers import TRACERS

    traces = TRACERS[name](*prepared)
    before = _resident()
    seconds, cpu, nodes, peak = [], [], 0, 0
    for turn in range(2):
        wall, own = time.perf_counter(), time.process_time()
        nodes = traces()
        seconds.append(round(time.perf_counter() - wall, 4))
        cpu.append(round(time.process_time() - own, 4))
        if not turn:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if cpu[0] > 5:  # again would say little more
            break
    return {"seconds": seconds, "cpu": cpu, "nodes": nodes, "peak": peak, "above": max(peak - before, 0)}


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _short(address: str) -> str:
    return "hf:Llama-70B" if "llama_70b" in address else address


def read() -> list[dict[str, Any]]:
    """All rows there are."""
    lines = ROWS.read_text(encoding="utf-8").splitlines() if ROWS.exists() else []
    return [json.loads(line) for line in lines]


def summary(rows: list[dict[str, Any]]) -> str:
    """Tables in Markdown: shallow types, ratios on the models both can, full-size models."""
    out = ["| tracer | models | first call: CPU s, median (p90) | again | clock s again | peak MB | above |"]
    out.append("|---|---|---|---|---|---|---|")
    built = {row["model"] for row in rows if row["size"] == "shrunk" and row["tracer"]}
    table = {name: per_model(rows, name, "shrunk") for name in dict.fromkeys(ORDER)}
    for name, found in table.items():
        if not found:
            continue
        cells = [
            _spread([own["first"] for own in found.values()]),
            _spread([own["again"] for own in found.values()]),
            _spread([own["clock"] for own in found.values()]),
            _spread([own["peak"] / 1e6 for own in found.values()], 0),
            _spread([own["above"] / 1e6 for own in found.values()], 0),
        ]
        out.append(f"| {name} | {len(found)} of {len(built)} | {' | '.join(cells)} |")
    for mine in ("madstar", "madstar, one size"):
        for theirs in ("torch.export", "torchview", "ONNX exporter"):
            both = [m for m in table[mine] if m in table[theirs]]
            if both:
                again = [table[theirs][m]["again"] / table[mine][m]["again"] for m in both]
                first = [table[theirs][m]["first"] / table[mine][m]["first"] for m in both]
                out.append(
                    f"{mine} against {theirs}, {len(both)} models, CPU: first call "
                    f"{_quantiles(first)}, again {_quantiles(again)} times (p10, median, p90)"
                )
    full = dict.fromkeys(row["model"] for row in rows if row["size"] == "full")
    for model in full:
        for name in dict.fromkeys([*ORDER, "the command madstar trace"]):
            found = per_model([row for row in rows if row["model"] == model], name, "full").get(model)
            error = next(
                (r["error"] for r in rows if (r["model"], r["tracer"]) == (model, name) and "error" in r), ""
            )
            if found:
                out.append(
                    f"{model}: {name}: CPU {found['first']:.2f} s, again {found['again']:.2f} s, "
                    f"clock {found['clock']:.2f} s, peak {found['peak'] / 1e6:.0f} MB"
                )
            elif error:
                out.append(f"{model}: {name}: {error[:140]}")
    return "\n".join(out)


def per_model(rows: list[dict[str, Any]], tracer: str, size: str) -> dict[str, dict[str, float]]:
    """By model the median over a tracer's processes; a tracer that failed there has no entry."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if (row["tracer"], row["size"]) == (tracer, size) and "cpu" in row:
            groups.setdefault(row["model"], []).append(row)
    return {
        model: {
            "first": statistics.median(row["cpu"][0] for row in own),
            "again": statistics.median(row["cpu"][-1] for row in own),
            "clock": statistics.median(row["seconds"][-1] for row in own),
            "peak": statistics.median(row["peak"] for row in own),
            "above": statistics.median(row.get("above", 0) for row in own),
        }
        for model, own in groups.items()
    }


def quantile(values: list[float], share: float) -> float:
    """Linear between the nearest ranks."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def _spread(values: list[float], digits: int = 2) -> str:
    return f"{statistics.median(values):.{digits}f} ({quantile(values, 0.9):.{digits}f})"


def _quantiles(values: list[float]) -> str:
    return ", ".join(f"{quantile(values, share):.1f}" for share in (0.1, 0.5, 0.9))


if __name__ == "__main__":
    main()
