"""What benchmarks over the types of transformers share: rows that are kept, and a type made ready to compare.

A row is kept for each type, as a line of JSON added to a file; of several the last counts. So a run can be
cut off and gone on with, and a type can be done again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from .fidelity import real_inputs, sizes_of, with_weights
from .forks import in_fork

Row = dict[str, Any]


def last_rows(file: Path) -> list[Row]:
    """The last row of each type."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return list({row["type"]: row for row in map(json.loads, lines)}.values())


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A parser with what all of these take."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--types", type=int, help="so many types; all if not given")
    parser.add_argument("--most-parameters", type=float, default=60e6)
    parser.add_argument("--only", nargs="*", default=[], help="these types alone, done again")
    parser.add_argument("--retry", action="store_true", help="those that do not agree, done again")
    parser.add_argument("--part", default="0/1", help="every n-th type from the k-th on: k/n")
    parser.add_argument("--summary", action="store_true", help="only print what there is")
    return parser


def go_on(
    given: argparse.Namespace,
    names: Sequence[str],
    file: Path,
    measure: Callable[[str], Row],
    good: Callable[[Row], bool],
    verdict: Callable[[Row], str],
    seconds: int = 400,
) -> None:
    """Measure each type that has no row yet, in a process of its own, and add its row to the file."""
    rows = {row["type"]: row for row in last_rows(file)}
    if given.retry:
        names = [name for name in names if name in rows and not good(rows[name])]
    elif not given.only:
        names = [name for name in names[: given.types] if name not in rows]
    first, of = map(int, given.part.split("/"))
    for name in (given.only or names)[first::of]:
        row = {"type": name, **in_fork(lambda name=name: measure(name), seconds, 16 * 2**30)}  # type: ignore[misc]
        row.setdefault("state", "failed")
        with open(file, "a", encoding="utf-8") as opened:
            opened.write(json.dumps(row) + "\n")
        print(name, verdict(row), flush=True)


def rebuilt_types(file: Path) -> list[str]:
    """The types that `benchmarks.rebuild` found equal at all sizes, those of the fewest parameters first."""
    good = [
        row
        for row in last_rows(file)
        if row["state"] == "compared" and all(each.get("good") for each in row["at"])
    ]
    return [row["type"] for row in sorted(good, key=lambda row: (row["parameters"], row["type"]))]


@dataclass
class Ready:
    """A type traced without weights where it can be, and the same with random ones on the CPU.

    `inputs` makes what the model takes at given sizes of the symbols; `sizes` are those traced, and others.
    """

    graph: Any
    module: nn.Module
    inputs: Callable[[Mapping[str, int]], dict[str, Any]]
    sizes: list[dict[str, int]]


def ready(name: str) -> Ready:
    """A type made shallow and traced, and its model with random weights. Raises what zoo and trace do."""
    from transformers import AutoModel  # noqa: F401

    from madstar.zoo.inputs.facts import Facts
    from madstar.zoo.reaching import reach
    from madstar.zoo.tracing import trace_model

    reached = reach(f"hf:{name}", seconds=30)
    recipe, model = reached.chosen.recipe, reached.model
    if recipe is None:
        raise LookupError(f"there are no inputs for {name}")
    graph = trace_model(model, recipe).graph
    meta = any(tensor.device.type == "meta" for tensor in model.module.parameters())
    module = with_weights(model.module, model.config) if meta else model.module.eval()
    facts = Facts.of(model.module, model.config)

    def inputs(at: Mapping[str, int]) -> dict[str, Any]:
        return real_inputs(recipe.build(facts, at.get("batch", 1), at.get("length", recipe.least)))

    return Ready(graph, module, inputs, sizes_of(graph))
