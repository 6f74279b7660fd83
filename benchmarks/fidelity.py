"""Fidelity: a graph made without weights, against the real model with weights on the same inputs.

    python -m benchmarks.fidelity [--types 60] [--most-parameters 60e6] [--summary]

draws types of transformers with a seed, makes each shallow and traces it on the meta device. Those with few
enough parameters are then built anew on the CPU with random weights and run. Two things are compared.

Operations: a dispatch mode of this file writes down every ATen operation of the real run with the shapes of
its results; the graph's bodies are written out, blocks as often as they are computed, at the same sizes.
Equal is: the same multiset. Of batch normalisation only the first result is compared; the others, which only
gradients need, are empty on the CPU in evaluation. Attention is asked to be computed in its plain form, as on
the meta device, where the CPU would take a fused kernel. Left out on both sides are aliases (detach, alias,
lift_fresh), which compute nothing, assertions, and reads of a value into Python.

Values: the module built from the graph (`madstar.graph.build`) computes it with the model's weights, at the
size traced and at another (other batch and length, as far as these are symbolic), and what it gives is
compared with what the model gives: largest difference relative to the largest value, 1e-4 for float32, 2e-2
for bfloat16. For every type small enough, with gradients, `benchmarks.rebuild` does this.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from .forks import in_fork
from .machine import RESULTS, keep

ROWS = RESULTS / "fidelity.jsonl"
NO_MATTER = frozenset(
    f"aten.{name}"
    for name in (
        *("detach", "detach_", "alias", "lift_fresh", "lift_fresh_copy"),
        *("_local_scalar_dense", "is_nonzero", "equal"),
        *("_assert_async", "_assert_scalar", "_assert_tensor_metadata"),
    )
)
Operation = tuple[str, tuple[tuple[int, ...], ...]]
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--types", type=int, default=60, help="how many types to compare")
    parser.add_argument("--most-parameters", type=float, default=60e6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[], help="these types alone, done again")
    parser.add_argument("--summary", action="store_true", help="only print what there is")
    given = parser.parse_args()
    if not given.summary:
        run(given.types, int(given.most_parameters), given.seed, given.only)
    rows = read()
    print(summary(rows))
    if rows:
        print("\nkept in", keep("fidelity", {"command": "python -m benchmarks.fidelity", "rows": rows}))


def run(count: int, most: int, seed: int, only: list[str]) -> None:
    from madstar.zoo.transformers_models import model_types

    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    measure("bert", 0)  # what every type imports, once for all forks
    names = list(model_types())
    random.Random(seed).shuffle(names)
    rows = {row["type"]: row for row in read()}
    compared = sum(row["state"] == "compared" for row in rows.values())
    for name in only or names:
        if not only and (name in rows or compared >= count):
            continue
        row = {"type": name, **in_fork(lambda name=name: measure(name, most), 300, 24 * 2**30)}  # type: ignore[misc]
        row.setdefault("state", "failed")
        compared += row["state"] == "compared"
        with open(ROWS, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(name, verdict(row), flush=True)


def read() -> list[dict[str, Any]]:
    """The last row of each type."""
    lines = ROWS.read_text(encoding="utf-8").splitlines() if ROWS.exists() else []
    return list({row["type"]: row for row in map(json.loads, lines)}.values())


# One type.


def measure(name: str, most: int) -> dict[str, Any]:
    """Trace a type without weights, run it with weights, and say how the two agree."""
    from madstar.zoo.inputs.choose import choose
    from madstar.zoo.inputs.facts import Facts
    from madstar.zoo.tracing import trace_model
    from madstar.zoo.transformers_models import load_type

    model = load_type(name, shrunk=True)
    size = sum(p.numel() for p in model.module.parameters())
    if size > most:
        return {"state": "too large", "parameters": size}
    recipe = choose(model.module, model.config, seconds=40).recipe
    if recipe is None:
        return {"state": "no inputs", "parameters": size}
    graph = trace_model(model, recipe).graph
    module = with_weights(model.module, model.config)
    facts = Facts.of(model.module, model.config)
    row: dict[str, Any] = {"state": "compared", "parameters": size, "guesses": len(graph.guesses)}
    row |= {"symbols": list(graph.symbols), "nodes": graph.facts["function_nodes"]}

    def make(at: Mapping[str, int]) -> dict[str, Any]:
        return real_inputs(recipe.build(facts, at.get("batch", 1), at.get("length", recipe.least)))

    sizes = sizes_of(graph)
    row |= operations(graph, module, make(sizes[0]), sizes[0])
    row["values"] = [values(graph, module, make(at), at) for at in sizes]
    return row


def with_weights(bare: nn.Module, config: Any, seed: int = 0) -> nn.Module:
    """The same model on the CPU, with random weights of its own initialisation."""
    from transformers import AutoModel

    dtype = next((p.dtype for p in bare.parameters() if p.dtype.is_floating_point), torch.float32)
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module: nn.Module = AutoModel.from_config(config, dtype=dtype, trust_remote_code=False)
    return module.eval()


def real_inputs(inputs: Mapping[str, Any], seed: int = 1) -> dict[str, Any]:
    """Inputs whose tensors without values are filled with draws from a normal distribution."""
    source = torch.Generator().manual_seed(seed)

    def fill(given: Any) -> Any:
        if isinstance(given, Tensor) and given.device.type == "meta":
            return torch.randn(given.shape, generator=source).to(given.dtype)
        return given

    found: dict[str, Any] = torch.utils._pytree.tree_map(fill, dict(inputs))
    return found


def sizes_of(graph: Any) -> list[dict[str, int]]:
    """The sizes traced first, and others that no run had, except of what was unrolled over."""
    first = {symbol: sizes[0] for symbol, sizes in graph.symbols.items()}
    fixed = set(graph.facts.get("unrolled_over", ()))
    other = {s: size if s in fixed else size + {"batch": 2, "length": 9}[s] for s, size in first.items()}
    return [first] if other == first else [first, other]


class _Written(TorchDispatchMode):
    """Writes down every ATen operation with the shapes of its results."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[Operation] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        parts = result if isinstance(result, (tuple, list)) else (result,)
        shapes = tuple(tuple(part.shape) for part in parts if isinstance(part, Tensor))
        _note(self.found, str(func), shapes, 1)
        return result


def run_of(module: nn.Module, inputs: Mapping[str, Any]) -> Counter[Operation]:
    """What the real model computes."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    written = _Written()
    torch.manual_seed(2)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), written:
        module(**inputs)
    return written.found


def written_out(graph: Any, at: Mapping[str, int]) -> Counter[Operation]:
    """What the graph says is computed: the bodies of its nodes, blocks as often as they are called."""
    found: Counter[Operation] = Counter()
    for times, node in _nodes(graph, graph.root, 1):
        for step in node.body:
            shapes = tuple(tuple(_number(dim, at) for dim in shape) for shape in step.shapes)
            _note(found, step.op, shapes, times)
    return found


def _note(found: Counter[Operation], op: str, shapes: tuple[tuple[int, ...], ...], times: int) -> None:
    if op.rpartition(".")[0] not in NO_MATTER:
        found[op, shapes[:1] if "batch_norm" in op else shapes] += times


def _nodes(graph: Any, name: str, times: int) -> Iterator[tuple[int, Any]]:
    for item in graph.definitions[name].items:
        if hasattr(item, "definition"):
            yield from _nodes(graph, item.definition, times * len(item.paths))
        else:
            yield times, item


def _number(dim: int | str, at: Mapping[str, int]) -> int:
    from madstar.graph.dims import evaluate

    return evaluate(dim, at)


def operations(
    graph: Any, module: nn.Module, inputs: Mapping[str, Any], at: Mapping[str, int]
) -> dict[str, Any]:
    """Whether the multisets of operations and shapes are equal, and what only one of the two has."""
    mine = written_out(graph, at)
    try:
        real = run_of(module, inputs)
    except Exception as error:
        return {
            "state": "cannot run",
            "error": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}",
        }
    names = Counter[str](), Counter[str]()
    for counts, found in zip(names, (mine, real), strict=True):
        for (op, _), count in found.items():
            counts[op] += count
    return {
        "operations": sum(real.values()),
        "equal": mine == real,
        "equal_names": names[0] == names[1],
        "shared": sum((mine & real).values()) / max(sum((mine | real).values()), 1),
        "only_graph": _most(mine - real),
        "only_run": _most(real - mine),
    }


def _most(found: Counter[Operation]) -> list[list[Any]]:
    return [[op, list(map(list, shapes)), count] for (op, shapes), count in found.most_common(12)]


def values(graph: Any, module: nn.Module, inputs: Mapping[str, Any], at: Mapping[str, int]) -> dict[str, Any]:
    """The largest difference of the built module's outputs from the model's, relative to the largest."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from madstar.graph.execution import build
    from madstar.graph.structures import leaves

    fed = {f"{name}.{path}" if path else name: t for name, part in inputs.items() for path, t in leaves(part)}
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        torch.manual_seed(2)
        expected = dict(leaves(module(**torch.utils._pytree.tree_map(_copied, dict(inputs)))))
        try:
            built = build(graph, module)
            given = built.bound((), {name: fed[name].clone() for name in graph.input_names})
            torch.manual_seed(2)
            made = built.computed(given, built.plans(given))
        except Exception as error:
            return {"at": dict(at), "error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    got = dict(zip(graph.output_names, made, strict=True))
    worst, least = 0.0, 1.0
    for name, theirs in expected.items():
        mine = got.get(name or "output")
        if mine is None or mine.shape != theirs.shape:
            return {"at": dict(at), "error": f"output {name!r} is {None if mine is None else mine.shape}"}
        a, b = torch.nan_to_num(mine.double()), torch.nan_to_num(theirs.double())
        if b.numel():
            worst = max(worst, float((a - b).abs().max() / b.abs().max().clamp(min=1e-6)))
            least = min(least, float(torch.isfinite(theirs).double().mean()))
    dtype = next((t.dtype for t in expected.values() if t.dtype.is_floating_point), torch.float32)
    good = worst <= TOLERANCE.get(dtype, 1e-4)
    return {"at": dict(at), "difference": worst, "good": good, "dtype": str(dtype), "finite": least}


def _copied(given: Any) -> Any:
    return given.clone() if isinstance(given, Tensor) else given


# What is said of it.


def verdict(row: Mapping[str, Any]) -> str:
    """One type in a line."""
    if row["state"] != "compared":
        return f"{row['state']} {row.get('error', '')}"[:200]
    parts = ["operations equal" if row["equal"] else "operations differ: " + differing(row)]
    for each in row["values"]:
        said = f"values {each['difference']:.1e}" if "difference" in each else each["error"]
        parts.append(f"{each['at']}: {said}")
    return "; ".join(parts)


def differing(row: Mapping[str, Any]) -> str:
    """Which operations only one side has, the most frequent."""
    sides = []
    for word, side in (("graph", "only_graph"), ("run", "only_run")):
        names = Counter[str]()
        for op, _, count in row[side]:
            names[op.removeprefix("aten.")] += count
        sides.append(f"{word} {dict(names.most_common(3))}")
    return " | ".join(sides)


def summary(rows: list[dict[str, Any]]) -> str:
    """The counts, and each type that differs with how."""
    compared = [row for row in rows if row["state"] == "compared"]
    equal = [row for row in compared if row["equal"]]
    names = [row for row in compared if row["equal_names"]]
    first = [row["values"][0] for row in compared]
    other = [row["values"][1] for row in compared if len(row["values"]) > 1]
    states = Counter(row["state"] for row in rows)
    lines = [
        f"types drawn {len(rows)}: {dict(states)}",
        f"operations and shapes equal {len(equal)} of {len(compared)} (operations alone {len(names)})",
        f"values agree at the size traced {sum(v.get('good', False) for v in first)} of {len(first)}, "
        f"at another {sum(v.get('good', False) for v in other)} of {len(other)}",
    ]
    for row in compared:
        if not (row["equal"] and all(each.get("good") for each in row["values"])):
            lines.append(f"  {row['type']:28} {verdict(row)[:400]}")
    lines += [
        f"  {row['type']:28} {verdict(row)}" for row in rows if row["state"] in ("failed", "cannot run")
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
