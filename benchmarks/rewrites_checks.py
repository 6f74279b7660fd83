"""One graph, each rewrite of it, and what is asked of the result; see `benchmarks.rewrites`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from madstar.errors import EditError, GraphError
from madstar.graph.checking import check
from madstar.graph.editing import Edited, Places, edit
from madstar.graph.editing.weights import transfer
from madstar.graph.execution import build
from madstar.graph.execution.examples import drawn_inputs
from madstar.graph.execution.fresh import Fresh
from madstar.graph.json_format import save
from madstar.graph.model import Call, Graph
from madstar.graph.paths import join
from madstar.graph.soundness import unfolded_sizes
from madstar.graph.trace import trace
from madstar.graph.unfolding import unfold
from madstar.graph.walk import parameters

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    """Options of a rewrite, and what it promises.

    `same`: the function is unchanged, for weights that `prepare` makes of the given ones where it is given.
    """

    options: Mapping[str, Any]
    same: bool
    prepare: Callable[[Weights, Edited], Weights] = lambda weights, edited: weights


def equal_heads(weights: Weights, edited: Edited) -> Weights:
    """With the heads of each group, as the rewrite takes them, equal."""
    found = dict(weights)
    for recipe in edited.steps[0].recipes.values():
        dim, size, *rows = recipe.numbers
        table = torch.tensor(rows).reshape(-1, size)
        table = table[(table >= 0).all(1)]
        value = found[recipe.sources[0]].movedim(dim, 0).clone()
        value[table.flatten()] = value[table].mean(1).repeat_interleave(size, 0)
        found[recipe.sources[0]] = value.movedim(0, dim)
    return found


def tied_values(weights: Weights, edited: Edited) -> Weights:
    """With the values of tied weights equal."""
    found = dict(weights)
    for group in edited.graph.tied:
        found |= dict.fromkeys(group, found[group[0]])
    return found


CASES: Mapping[str, Case] = {
    "lora": Case({"select": "**"}, True),
    "train_only": Case({"params": "**.bias"}, True),
    "swap_activation": Case({"to": "mish"}, False),
    "prune_layer": Case({"select": "blocks[-1]"}, False),
    "deeper": Case({}, True),
    "windowed_attention": Case({"window": 1_000_000}, True),
    "grouped_query": Case({"groups": 1}, True, equal_heads),
    "share_kv": Case({}, False),
    "parallel": Case({}, False),
    "experts": Case({"select": "blocks[*]"}, True),
    "wider": Case({"select": "**"}, True),
    "add_norm": Case({"select": "blocks[*]"}, False),
    "remove_norm": Case({"select": "blocks[0].**"}, False),
    "tie_weights": Case({}, True, tied_values),
    "rotary": Case({}, False),
    "swap_mixer": Case({}, False),
}
"""The rewrites with their options here."""


class Subject:
    """A graph of the museum, run once."""

    def __init__(self, graph: Graph, numbers: bool) -> None:
        self.graph, self.numbers = graph, numbers
        self.unfolded = unfold(graph)
        self.nodes = unfolded_sizes(graph)[graph.root]

    @cached_property
    def runs(self) -> bool:
        """Whether it is run: it is small enough, can be built and computes."""
        return self.numbers and self.reference is not None

    @cached_property
    def findings(self) -> int:
        return check(self.graph).errors

    @cached_property
    def weights(self) -> Weights:
        """Fresh, with noise so that nothing is zero or one; unknown buffers drawn too."""
        wanted = parameters(self.graph)
        generator = torch.Generator().manual_seed(0)
        fresh = Fresh(self.graph, wanted, generator, torch.device("cpu"), None)
        found = {path: fresh.take(path, parameter) for path, parameter in wanted.items()}
        for path in fresh.missing:
            if found[path].is_floating_point():
                found[path] = torch.rand(found[path].shape, generator=generator).to(found[path].dtype)
        for path, parameter in wanted.items():
            if parameter.trained and found[path].is_floating_point():
                noise = torch.randn(found[path].shape, generator=generator)
                found[path] = (found[path] + 0.02 * noise).to(found[path].dtype)
        for group in self.graph.tied:
            found |= dict.fromkeys(group, found[group[0]])
        return found

    @cached_property
    def inputs(self) -> dict[str, Tensor]:
        return drawn_inputs(self.graph)

    @cached_property
    def reference(self) -> list[Tensor] | None:
        """What it computes; None where it cannot be built or run."""
        try:
            return self.computed(self.graph, self.weights)
        except Exception:
            return None

    def computed(self, graph: Graph, weights: Weights) -> list[Tensor]:
        """The outputs of a graph with these weights."""
        built = build(graph, weights)
        torch.manual_seed(1)
        with torch.no_grad():
            given = built.bound((), {name: value.clone() for name, value in self.inputs.items()})
            return list(built.computed(given, built.plans(given)))

    @cached_property
    def mixer(self) -> dict[str, Any]:
        """The options of swap_mixer, with the graph in a file. Raises EditError."""
        options = swapped(self.unfolded)
        with tempfile.NamedTemporaryFile(suffix=".graph.json", delete=False) as file:
            save(options["new"], file.name)
        return {**options, "new": {"graph": file.name}}

    def tried(self, name: str) -> dict[str, Any]:
        """What became of a rewrite."""
        case = CASES[name]
        begun = time.process_time()
        try:
            options = self.mixer if name == "swap_mixer" else case.options
            edited = edit(self.graph, [{"rewrite": name, **options}])
        except EditError as error:
            return {"state": "declined", "why": str(error)[:400]}
        except Exception as error:
            return {"state": "failed", "why": _said(error)}
        row: dict[str, Any] = {"state": "made", "touched": len(edited.touched)}
        row["seconds"] = round(time.process_time() - begun, 3)
        try:
            folded = edited.graph
            report = check(folded)
            row["checked"] = report.errors <= self.findings
            if not row["checked"]:
                row["why"] = f"check: {report.findings[0].line[:200]}"
            odd = moved(self.unfolded, edited)
            row["untouched"] = not odd
            if odd:
                row["why"] = f"changed: {odd}"
        except Exception as error:
            return row | {"checked": False, "untouched": False, "kept": None, "why": _said(error)}
        row["kept"] = None
        if self.runs:
            try:
                row |= self.kept(case, edited, folded)
            except Exception as error:
                row |= {"kept": False, "why": _said(error)}
        return row

    def kept(self, case: Case, edited: Edited, folded: Graph) -> dict[str, Any]:
        """Whether the promise is kept, in numbers."""
        assert self.reference is not None
        weights = case.prepare(self.weights, edited)
        before = self.reference if weights is self.weights else self.computed(self.graph, weights)
        carried = transfer(weights, edited)
        after = self.computed(folded, carried)
        if [each.shape for each in after] != [each.shape for each in before]:
            return {"kept": False, "why": "outputs have other shapes"}
        if not case.same:
            same = all(
                value is weights.get(path, value) or torch.equal(value, weights[path])
                for path, value in carried.items()
                if path in weights and value.shape == weights[path].shape
            )
            pairs = list(zip(after, before, strict=True))
            finite = all(_finite(a) or not _finite(b) for a, b in pairs)
            why = "weights changed" if not same else "outputs are not finite" if not finite else ""
            return {"kept": same and finite} | ({"why": why} if why else {})
        worst, dtype = 0.0, torch.float32
        for a, b in zip(after, before, strict=True):
            dtype = b.dtype if b.is_floating_point() and b.dtype != torch.float64 else dtype
            a, b = (torch.nan_to_num((x.abs() if x.is_complex() else x).double()) for x in (a, b))
            if b.numel():
                worst = max(worst, float((a - b).abs().max() / b.abs().max().clamp(min=1e-6)))
        kept = worst <= (1e-4 if dtype == torch.float32 else 2e-2)
        return {"kept": kept, "difference": worst} | ({} if kept else {"why": f"differs by {worst:.1e}"})


def _finite(value: Tensor) -> bool:
    return bool(torch.isfinite(value).all())


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


# What was not touched.


def moved(before: Graph, edited: Edited) -> str:
    """The path of a block that is not as it was though nothing in it was touched; empty for none."""
    touched = {path.replace("%", ".") for path in edited.touched}
    around = {""}
    for path in touched:
        while path:
            around.add(path)
            path = path.rpartition(".")[0]
    after = _uses(edited.unfolded)
    for chain, (path, takes, whole, bare) in _uses(before).items():
        within = any(
            path[:end] in touched for end in range(len(path) + 1) if path[end : end + 1] in (".", "")
        )
        if path in around or within or chain not in after:
            continue
        _, now_takes, now_whole, now_bare = after[chain]
        if now_whole != whole and (takes == now_takes or now_bare != bare):
            return path
    return ""


def _uses(graph: Graph) -> dict[tuple[str, ...], tuple[str, Any, Any, Any]]:
    """Each use of a block by its chain of calls: its path, what it takes, the block written out, and so
    without sizes (what is behind an edit has the sizes that follow from it)."""
    known: dict[tuple[str, bool], Any] = {}

    def whole(name: str, sizes: bool) -> Any:
        if (name, sizes) not in known:
            block = graph.definitions[name]
            known[name, sizes] = (
                block.kind,
                block.parameters,
                tuple(one(item, sizes) for item in block.items),
                block.outputs,
                block.inputs if sizes else tuple(value.name for value in block.inputs),
            )
        return known[name, sizes]

    def one(item: Any, sizes: bool) -> Any:
        outputs = item.outputs if sizes else tuple(value.name for value in item.outputs)
        if isinstance(item, Call):
            return (item.name, item.paths, item.arguments, outputs, whole(item.definition, sizes))
        return (item.name, item.op, item.path, item.arguments, item.attributes, outputs)

    found: dict[tuple[str, ...], tuple[str, Any, Any, Any]] = {}
    todo: list[tuple[tuple[str, ...], str, str]] = [((), "", graph.root)]
    while todo:
        chain, path, name = todo.pop()
        found[chain] = (path, graph.definitions[name].inputs, whole(name, True), whole(name, False))
        for item in graph.definitions[name].items:
            if isinstance(item, Call):
                todo.append(((*chain, item.name), join(path, item.paths[0]), item.definition))
    return found


# A mixer to put in.


class RunningMean(nn.Module):
    """A linear layer of the sum of all places so far."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x.cumsum(-2))


def swapped(graph: Graph) -> dict[str, Any]:
    """A block in the last of the stack that takes and gives a sequence of one type, and a mixer for it."""
    places = Places(graph)
    try:
        inside = places.select("blocks[-1].*")
    except EditError:
        inside = places.select("**")
    for site in inside:
        if not isinstance(site.item, Call) or len(site.item.outputs) < 1:
            continue
        block = graph.definitions[site.item.definition]
        value = site.item.outputs[0]
        taken = block.inputs[0] if block.inputs else None
        if (
            taken is None
            or (taken.shape, taken.dtype) != (value.shape, value.dtype)
            or len(value.shape) not in (2, 3)
        ):
            continue
        width = value.shape[-1]
        if isinstance(width, int) and value.dtype == "float32" and block.items and _mixes(graph, block.name):
            mixer, flat = RunningMean(width).eval(), len(value.shape) == 2
            new = trace(
                mixer,
                lambda batch, length, width=width, flat=flat: (
                    torch.zeros(length, width) if flat else torch.zeros(batch, length, width),
                ),
                name="mean",
            )
            return {"select": site.path, "new": new}
    raise EditError("no block in the last of the stack takes and gives one sequence and mixes it")


def _mixes(graph: Graph, name: str) -> bool:
    """Whether a block has attention, a convolution, a matrix product or a scan, so that it mixes places."""
    for item in graph.definitions[name].items:
        if isinstance(item, Call):
            if _mixes(graph, item.definition):
                return True
        elif item.op.startswith(
            ("scaled_dot", "conv", "matmul", "bmm", "einsum", "cumsum", "multi_head", "fft")
        ):
            return True
    return False


__all__ = ["CASES", "Case", "GraphError", "Subject"]
