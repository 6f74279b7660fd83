"""Rebuilding: modules built from graphs, against the models that the graphs were traced from.

    python -m benchmarks.rebuild [--types N] [--most-parameters 60e6] [--only TYPE ...] [--retry] [--summary]
    python -m benchmarks.rebuild --large

goes through the types of transformers in an order drawn with a seed, makes each shallow, traces it (without
weights, where that is possible), and builds a module from the graph. Those with few enough parameters are
also built as themselves on the CPU, with random weights, which the module from the graph is given. What the
two give for the same inputs is compared: at the size traced, and at another (other batch and length, as far
as these are symbolic). The difference is the largest of any output, relative to that output's largest value;
good is 1e-4 for float32, 2e-2 for bfloat16. Gradients: of the sum of all outputs, each multiplied by a fixed
draw from a normal distribution (the plain sum has none after a layer norm), with respect to each parameter,
relative to that parameter's largest, or a thousandth of the largest of all; good is 1e-3 and 5e-2.

A row for each type is added to benchmarks/results/rebuild.jsonl; what stands there is not done again.
`--large` says how long building takes for graphs of 10,000 nodes, and what a step costs beside torch.
"""

from __future__ import annotations

import argparse
import logging
import random
import re
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .fidelity import real_inputs, sizes_of, with_weights
from .machine import RESULTS, keep
from .museum_rows import arguments, go_on, last_rows

ROWS = RESULTS / "rebuild.jsonl"
TOLERANCE = {torch.float32: (1e-4, 1e-3), torch.bfloat16: (2e-2, 5e-2)}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--large", action="store_true", help="the time for graphs of 10,000 nodes")
    given = parser.parse_args()
    if given.large:
        from .rebuild_large import large

        print(keep("rebuild_large", large()))
        return
    if not given.summary:
        run(given)
    rows = read()
    print(summary(rows))
    if rows:
        print("\nkept in", keep("rebuild", {"command": "python -m benchmarks.rebuild", "rows": rows}))


def run(given: argparse.Namespace) -> None:
    from madstar.zoo.transformers_models import model_types

    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    measure("bert", 0)  # what every type imports, once for all forks
    names = list(model_types())
    random.Random(given.seed).shuffle(names)
    most = int(given.most_parameters)
    go_on(given, names, ROWS, lambda name: measure(name, most), _done, verdict)


def _done(row: Mapping[str, Any]) -> bool:
    """What is not done again: what agrees, and what will never be compared."""
    return agrees(row) or row["state"] in ("too large", "no inputs")


def read() -> list[dict[str, Any]]:
    """The last row of each type."""
    return last_rows(ROWS)


# One type.


def measure(name: str, most: int) -> dict[str, Any]:
    """Trace a type, build it from its graph, and say how the two agree."""
    from transformers import AutoModel  # noqa: F401

    from madstar.errors import GraphError
    from madstar.graph.execution import build
    from madstar.zoo.inputs.facts import Facts
    from madstar.zoo.reaching import reach
    from madstar.zoo.tracing import trace_model
    from madstar.zoo.transformers_models import load_type

    try:
        size = sum(p.numel() for p in load_type(name, shrunk=True).module.parameters())
    except (GraphError, ImportError) as error:
        return {"state": "no model", "error": str(error)[:300]}
    if size > most:
        return {"state": "too large", "parameters": size}
    try:
        reached = reach(f"hf:{name}", seconds=30)
    except ImportError as error:
        return {"state": "no model", "error": str(error)[:300]}
    recipe, model = reached.chosen.recipe, reached.model
    if recipe is None:
        return {"state": "no inputs", "parameters": size}
    if sum(p.numel() for p in model.module.parameters()) > 4 * most:
        return {"state": "too large", "parameters": size}
    try:
        graph = trace_model(model, recipe).graph
    except GraphError as error:
        return {"state": "not traced", "parameters": size, "error": str(error)[:300]}
    meta = any(tensor.device.type == "meta" for tensor in model.module.parameters())
    module = with_weights(model.module, model.config) if meta else model.module.eval()
    facts = Facts.of(model.module, model.config)
    row: dict[str, Any] = {"state": "compared", "parameters": size, "guesses": len(graph.guesses)}
    row |= {"symbols": list(graph.symbols), "nodes": graph.facts["function_nodes"], "meta": meta}
    row["unrolled"] = list(graph.facts.get("unrolled_over", ()))
    begun = time.perf_counter()
    try:
        built = build(graph, module)
    except GraphError as error:
        return row | {"state": "not built", "error": str(error)[:300]}
    row["seconds"] = round(time.perf_counter() - begun, 4)
    row["keys"] = set(module.state_dict()) == set(built.state_dict())
    row["at"] = []
    for at in sizes_of(graph):
        inputs = real_inputs(recipe.build(facts, at.get("batch", 1), at.get("length", recipe.least)))
        row["at"].append({"sizes": at, **compared(built, module, inputs)})
    return row


def compared(built: nn.Module, module: nn.Module, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The differences of outputs and of gradients."""
    from madstar.graph.structures import leaves

    fed = {f"{name}.{path}" if path else name: t for name, part in inputs.items() for path, t in leaves(part)}
    try:
        module.zero_grad(set_to_none=True)
        torch.manual_seed(2)
        whole = leaves(module(**torch.utils._pytree.tree_map(_copied, dict(inputs))))
        theirs = {path or "output": tensor for path, tensor in whole}
        before = _gradients(module, theirs)
    except Exception as error:
        return {"state": "cannot run", "error": _said(error)}
    try:
        built.zero_grad(set_to_none=True)
        torch.manual_seed(2)
        names = built.graph.input_names
        given = built.bound((), {name: fed[name].clone() for name in names})
        made = built.computed(given, built.plans(given))
    except Exception as error:
        return {"error": _said(error)}
    mine = dict(zip(built.graph.output_names, made, strict=True))
    lacking = [name for name in theirs if name not in mine or mine[name].shape != theirs[name].shape]
    if lacking:
        return {"error": f"outputs differ: {lacking[:3]}"}
    worst, finite = 0.0, 1.0
    for name, tensor in theirs.items():
        a, b = (torch.nan_to_num(each.detach().double()) for each in (mine[name], tensor))
        if b.numel():
            worst = max(worst, float((a - b).abs().max() / b.abs().max().clamp(min=1e-6)))
            finite = min(finite, float(torch.isfinite(tensor).double().mean()))
    dtype = next((t.dtype for t in theirs.values() if t.dtype.is_floating_point), torch.float32)
    limit, steep = TOLERANCE.get(dtype, (1e-4, 1e-3))
    found = {"difference": worst, "good": worst <= limit, "dtype": str(dtype), "finite": finite}
    try:
        return found | _steepness(before, _gradients(built, {name: mine[name] for name in theirs}), steep)
    except Exception as error:
        return found | {"gradients": _said(error)}


def _gradients(module: nn.Module, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of each parameter, by name; empty where no output depends on any."""
    source = torch.Generator().manual_seed(3)
    total: Any = 0.0
    for name in sorted(outputs):
        tensor = outputs[name]
        if tensor.requires_grad and (tensor.is_floating_point() or tensor.is_complex()):
            weight = torch.randn(tensor.shape, generator=source)
            real = torch.view_as_real(tensor).sum(-1) if tensor.is_complex() else tensor
            total = total + (torch.nan_to_num(real.float()) * weight).sum()
    if isinstance(total, Tensor):
        total.backward()
    return {
        name: torch.nan_to_num(p.grad.double()).clone()
        for name, p in module.named_parameters()
        if p.grad is not None
    }


def _steepness(theirs: Mapping[str, Tensor], mine: Mapping[str, Tensor], limit: float) -> dict[str, Any]:
    most = max((float(g.abs().max()) for g in theirs.values() if g.numel()), default=0.0)
    worst, at = 0.0, ""
    for name in {*theirs, *mine}:
        a, b = mine.get(name), theirs.get(name)
        if a is None:
            a = torch.zeros_like(b)
        if b is None:
            b = torch.zeros_like(a)
        if b.numel():
            scale = max(float(b.abs().max()), 1e-3 * most, 1e-12)
            if (found := float((a - b).abs().max()) / scale) > worst:
                worst, at = found, name
    return {"steep": worst, "steep_good": worst <= limit, "steep_at": at, "with_gradient": len(theirs)}


def _copied(given: Any) -> Any:
    return given.clone() if isinstance(given, Tensor) else given


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


# What is said of it.


def agrees(row: Mapping[str, Any]) -> bool:
    """Whether all that was compared of a type is equal."""
    return row["state"] == "compared" and all(each.get("good") for each in row["at"])


def verdict(row: Mapping[str, Any]) -> str:
    """One type in a line."""
    if row["state"] != "compared":
        return f"{row['state']} {row.get('error', '')}"[:300]
    parts = [f"{row['nodes']} nodes"]
    for each in row["at"]:
        said = f"{each['difference']:.0e}" if "difference" in each else str(each.get("error"))
        steep = each.get("steep")
        parts.append(
            f"{tuple(each['sizes'].values())}: {said}"
            + (
                f", gradients {steep:.0e} {each['steep_at'] if not each['steep_good'] else ''}"
                if steep is not None
                else ""
            )
            + (f", {each['gradients']}" if "gradients" in each else "")
        )
    return "; ".join(parts)[:500]


def reason(row: Mapping[str, Any]) -> str:
    """Why a type does not agree, without names and numbers, to be counted."""
    if row["state"] != "compared":
        said = str(row.get("error", row["state"]))
    else:
        said = next((str(e.get("error", "values differ")) for e in row["at"] if not e.get("good")), "")
    return re.sub(r"\d+", "N", re.sub(r"^\w+: ", "", said))[:100]


def summary(rows: list[dict[str, Any]]) -> str:
    """The shares, and what does not agree with why."""
    states = Counter(row["state"] for row in rows)
    tried = [row for row in rows if row["state"] in ("compared", "not built", "failed")]
    able = [r for r in tried if not any(e.get("state") == "cannot run" for e in r.get("at", ())[:1])]
    good = [row for row in able if agrees(row)]
    first = [row for row in able if row["state"] == "compared" and row["at"][0].get("good")]
    other = [row for row in first if len(row["at"]) > 1 and row["at"][1].get("state") != "cannot run"]
    steep = [row for row in first if "steep" in row["at"][0]]
    lines = [
        f"types {len(rows)}: {dict(states)}; models that run {len(able)}",
        f"equal at the size traced {len(first)} of {len(able)}; at another "
        f"{sum(row['at'][1].get('good', False) for row in other)} of {len(other)}; at all sizes {len(good)}",
        f"gradients equal {sum(row['at'][0].get('steep_good', False) for row in steep)} of {len(steep)}; "
        f"state dict keys equal {sum(row.get('keys', False) for row in able)} of {len(able)}",
    ]
    for said, count in Counter(reason(row) for row in able if not agrees(row)).most_common():
        which = [row["type"] for row in able if not agrees(row) and reason(row) == said]
        lines.append(f"  {count:3} {said}: {', '.join(which[:6])}")
    lines += [
        f"      {row['type']}: {verdict(row)}"
        for row in able
        if agrees(row) and not row["at"][0].get("steep_good", True)
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
