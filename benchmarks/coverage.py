"""How much of each model is reached: the share of parameter tensors that a run without weights touches.

    python -m benchmarks.coverage [--shrunk] [--trace] [--part i/n] [--only TYPE ...]

goes over all types of the installed transformers that reach an AutoModel, builds each from its default
configuration on the meta device, chooses inputs and counts. What is done is not done again: rows are in
benchmarks/results/coverage/. With --trace the graph is made as well. `--summary` prints the table of what
there is: how many types reach 99 % of their parameter tensors, by kind of input, and all others with why.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from madstar.errors import GraphError

FOLDER = Path(__file__).parent / "results" / "coverage"
ENOUGH = 0.99


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shrunk", action="store_true", help="two layers a stack instead of full depth")
    parser.add_argument("--trace", action="store_true", help="make the graph as well")
    parser.add_argument("--part", default="1/1", help="i/n: the i-th of n parts, to share between processes")
    parser.add_argument("--only", nargs="*", default=[], help="these types alone, done again")
    parser.add_argument("--seconds", type=float, default=40.0, help="time for choosing a type's inputs")
    parser.add_argument("--summary", action="store_true", help="only print what there is")
    given = parser.parse_args()
    size = "shrunk" if given.shrunk else "full"
    if not given.summary:
        part, parts = (int(n) for n in given.part.split("/"))
        run(size, part, parts, given.only, given.seconds, given.trace)
    print(summary(rows(size)))


def run(size: str, part: int, parts: int, only: list[str], seconds: float, traced: bool) -> None:
    from madstar.zoo.transformers_models import model_types

    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    FOLDER.mkdir(parents=True, exist_ok=True)
    done = {row["type"] for row in rows(size)}
    types = only or [name for name in model_types()[part - 1 :: parts] if name not in done]
    with open(FOLDER / f"{size}.{part}of{parts}.jsonl", "a", encoding="utf-8") as file:
        for name in types:
            row = measure(name, size, seconds, traced)
            file.write(json.dumps(row) + "\n")
            file.flush()


def measure(name: str, size: str, seconds: float, traced: bool) -> dict[str, Any]:
    from madstar.zoo.inputs.choose import choose
    from madstar.zoo.tracing import trace_model
    from madstar.zoo.transformers_models import load_type

    begun = time.perf_counter()
    row: dict[str, Any] = {"type": name, "built": False, "ran": False, "share": 0.0, "at": time.time()}
    try:
        small = load_type(name, shrunk=True)
        chosen = choose(small.module, small.config, seconds=seconds)
        model, trial = small, chosen.trial
        row |= {"built": True, "class": type(small.module).__name__, "inputs": str(chosen.recipe or "")}
        row |= {"tried": len(chosen.tried), "error": trial.error, "changes": list(small.changes)}
        if chosen.recipe is not None:
            if size == "full":
                from madstar.zoo.inputs.facts import Facts
                from madstar.zoo.inputs.trial import attempt

                model = load_type(name)
                trial = attempt(model.module, chosen.recipe.build(Facts.of(model.module, model.config)))
            named = [parameter for parameter, _ in model.module.named_parameters()]
            row |= {"ran": not trial.error, "share": trial.share, "error": trial.error}
            row |= {"untouched": [n for n in named if n not in trial.touched][:40], "tensors": len(named)}
            row["guesses"] = trial.guesses
            if traced:
                began = time.perf_counter()
                graph = trace_model(model, chosen.recipe).graph
                row |= {"traced": True, "trace_seconds": round(time.perf_counter() - began, 3)}
                row |= {"nodes": graph.facts.get("function_nodes"), "symbols": list(graph.symbols)}
        else:
            row["log"] = [[words[:150], error[:200]] for words, error in chosen.tried[:8]]
    except GraphError as error:
        row["error"] = str(error)[:400]
    row["seconds"] = round(time.perf_counter() - begun, 2)
    row["memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return row


def rows(size: str) -> list[dict[str, Any]]:
    """The last row of each type."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(FOLDER.glob(f"{size}.*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["at"] >= found.get(row["type"], row)["at"]:
                found[row["type"]] = row
    return [found[name] for name in sorted(found)]


def kind(row: dict[str, Any]) -> str:
    """The kinds of input that a type was fed, such as "image + text"."""
    words = (part.partition(":")[0].strip() for part in (row.get("inputs") or "").split(";"))
    kinds = sorted(
        {word for word in words if word in ("text", "image", "video", "audio", "series", "latents")}
    )
    return " + ".join(kinds) or "none found"


def summary(table: list[dict[str, Any]]) -> str:
    reached = [row for row in table if row["ran"] and row["share"] >= ENOUGH]
    ran = [row for row in table if row["ran"]]
    built = [row for row in table if row["built"]]
    share = len(reached) / max(len(ran), 1)
    lines = [
        f"types {len(table)}, built {len(built)}, ran {len(ran)}, >= 99 % of tensors {len(reached)} "
        f"({share:.1%} of those that ran, {len(reached) / max(len(built), 1):.1%} of those built)"
    ]
    every, good = Counter(map(kind, table)), Counter(map(kind, reached))
    lines += [f"  {name:24} {good[name]:4} of {count:4}" for name, count in every.most_common()]
    for row in table:
        if row not in reached:
            state = f"{row['share']:.1%}" if row["ran"] else "fails" if row["built"] else "not built"
            why = row.get("error") or f"not reached: {', '.join(row.get('untouched', [])[:3])}"
            lines.append(f"  {row['type']:32} {state:10} {why[:160]}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
