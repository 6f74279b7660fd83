"""`write_onnx`: a graph becomes an ONNX file that is known to compute the same."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ....errors import GraphError, in_one_line
from ...execution import build, drawn_inputs
from ...execution.module import BuiltModule
from ...model import Graph, Node
from .agreement import Comparison, compare, computed, of_module, session
from .capturing import capture
from .extras import need
from .translating import translate

OPSET = 20
"""The newest that runtimes of two years ago read."""

EXTERNAL = 1_800_000_000
"""Bytes of weights above which they go to a file of their own; a protobuf holds 2 GiB."""

_RANDOM = frozenset(
    "rand randn randint randperm rand_like randn_like randint_like bernoulli multinomial normal uniform "  # noqa: SIM905
    "gumbel_softmax exponential poisson random cauchy rrelu".split()
)


@dataclass(frozen=True)
class OnnxReport:
    """What was written and what is known of it.

    `open` are the symbols that inputs of the file leave open, `fixed` those that have one size in it.
    `compared` has an entry for each sizes at which onnxruntime and the module were given the same inputs;
    `not_compared` says why there is none, where there is none. `fresh` says that weights were drawn, with
    `seed`.
    """

    path: str
    external: str
    opset: int
    nodes: int
    bytes: int
    open: tuple[str, ...]
    fixed: Mapping[str, int]
    fresh: bool
    seed: int
    checked: bool
    compared: tuple[Comparison, ...] = ()
    not_compared: str = ""

    @property
    def difference(self) -> float | None:
        """The largest of all that were compared."""
        return max((each.difference for each in self.compared), default=None)

    def to_dict(self) -> dict[str, Any]:
        """As JSON data."""
        return {**asdict(self), "fixed": dict(self.fixed), "difference": self.difference}

    def text(self) -> str:
        """In a few lines."""
        kept = f" and {self.external}" if self.external else ""
        lines = [f"{self.path}{kept}: {self.nodes} nodes, opset {self.opset}, {self.bytes:,} bytes"]
        sizes = [f"{s} open" for s in self.open] + [f"{s} = {n} only" for s, n in self.fixed.items()]
        lines.append(f"sizes: {', '.join(sizes) or 'none is open'}")
        lines.append(f"weights: {f'fresh, drawn with seed {self.seed}' if self.fresh else 'as given'}")
        for each in self.compared:
            at = ", ".join(f"{s} = {n}" for s, n in each.sizes.items()) or "the one size"
            lines.append(
                f"equal to the module in onnxruntime at {at}: largest difference {each.difference:.1e}"
            )
        if self.not_compared:
            lines.append(f"not compared: {self.not_compared}")
        return "\n".join(lines) + "\n"


def write_onnx(
    graph: Graph,
    path: str | Path,
    *,
    weights: Any = None,
    seed: int = 0,
    sizes: Mapping[str, int] | None = None,
    inputs: Mapping[str, Tensor] | None = None,
    opset: int = OPSET,
    check: bool = True,
) -> OnnxReport:
    """Write a graph as an ONNX file, with its weights, and compare it with the module in onnxruntime.

    Args:
        graph: Any graph that can be built.
        path: Where; what stands there is replaced. Weights of more than 1.8 GB go to `path` + ".data".
        weights: As for `madstar.graph.build`; fresh ones, drawn with `seed`, if None.
        seed: For fresh weights, and for the inputs of the comparison.
        sizes: Of symbols, at which it is exported; as first traced if not given.
        inputs: Examples for the comparison at these sizes, by name; drawn if None.
        opset: The version of ONNX's operators, 18 to 23.
        check: Run onnx.checker and compare, at the sizes and at others of each symbol.

    Inputs and outputs have the graph's names, initializers those of the state dict, and nodes say the
    blocks that they are in. Symbols are open sizes of those names, where torch can keep them so.

    Raises GraphError, and leaves nothing behind, where the graph cannot be built or exported, where the
    file would be invalid, or where it computes something else.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise GraphError(f"{path}: there is no folder {path.parent}")
    if path.is_dir():
        raise GraphError(f"{path} is a folder; name a file")
    if not 18 <= opset <= 23:
        raise GraphError(f"opset {opset}: give one of 18 to 23")
    need("onnx"), need("onnxscript"), need("onnxruntime")
    generator = None if weights is not None else torch.Generator().manual_seed(seed)
    built = build(graph, weights, generator)
    first = _sizes(graph, sizes)
    given = (
        dict(inputs)
        if inputs is not None
        else drawn_inputs(graph, first, torch.Generator().manual_seed(seed))
    )
    captured = capture(built, built.bound((), given))
    said = ""
    for optimize in (True, False):
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            model = translate(graph, captured, opset, optimize=optimize)
            external = _save(model, folder / path.name)
            report = OnnxReport(
                str(path),
                external,
                opset,
                sum(1 for _ in model.graph),
                sum(file.stat().st_size for file in folder.iterdir()),
                captured.open,
                captured.fixed,
                weights is None,
                seed,
                check,
            )
            if check:
                report = _checked(report, folder / path.name, built, given, first)
            for name in (external, path.name) if external else (path.name,):
                os.replace(folder / name, path.parent / name)
            return report
        except GraphError as error:
            # What folding of constants breaks may be right without.
            said = said or str(error)
        except Exception as error:
            said = said or f"{graph.name}: {in_one_line(error, 240)}"
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    raise GraphError(f"{said}; nothing was written")


def _sizes(graph: Graph, wanted: Mapping[str, int] | None) -> dict[str, int]:
    """A size for each symbol. torch takes what is 1 for fixed, so the first traced one that is more."""
    found = {s: next((n for n in traced if n > 1), traced[0]) for s, traced in graph.symbols.items()}
    for symbol in graph.facts.get("unrolled_over", ()):
        if symbol in found:
            found[symbol] = graph.symbols[symbol][0]
    return found | dict(wanted or {})


def _save(model: Any, file: Path) -> str:
    """Write the model; the name of the file beside it that has its weights, empty if it has them itself."""
    ir = need("onnx_ir")
    total = sum(v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value is not None)
    if total <= EXTERNAL:
        ir.save(model, file)
        return ""
    name = f"{file.name}.data"
    ir.save(model, file, external_data=name)
    return name


def _checked(
    report: OnnxReport, file: Path, built: BuiltModule, given: Mapping[str, Tensor], first: Mapping[str, int]
) -> OnnxReport:
    """The report with what checking found. Raises GraphError where the file is not as it should be."""
    onnx = need("onnx")
    try:
        onnx.checker.check_model(str(file), full_check=not report.external)
    except Exception as error:
        raise GraphError(f"{built.graph.name}: onnx.checker refuses it: {in_one_line(error, 240)}") from None
    if random := sorted(_drawn(built.graph)):
        return _with(report, (), f"it draws random numbers ({', '.join(random[:3])})")
    if any(tensor.dtype is torch.bfloat16 for tensor in (*built.parameters(), *given.values())):
        return _with(report, (), "it is of bfloat16, which onnxruntime has not on the CPU")
    running = session(file)
    found = []
    others = {symbol: _other(built.graph, symbol, first[symbol]) for symbol in report.open}
    places: list[tuple[dict[str, int], Mapping[str, Tensor]]] = [(dict(first), given)]
    if others:
        at = {**first, **others}
        source = torch.Generator().manual_seed(report.seed + 1)
        places.append((at, drawn_inputs(built.graph, at, source)))
    why = ""
    for at, inputs in places:
        try:
            mine = of_module(built, inputs)
        except GraphError as error:
            why = f"at {at} the module itself fails: {error}"
            continue
        each = compare(mine, computed(running, inputs), at)
        if not each.equal:
            raise GraphError(
                f"{built.graph.name}: onnxruntime differs from the module by {each.difference:.1e}, at {at}"
            )
        found.append(each)
    return _with(report, tuple(found), why)


def _with(report: OnnxReport, compared: tuple[Comparison, ...], why: str) -> OnnxReport:
    return replace(report, compared=compared, not_compared=why)


def _other(graph: Graph, symbol: str, first: int) -> int:
    """Another size at which the graph was traced, or one more."""
    return next((n for n in graph.symbols[symbol] if n not in (first, 1)), first + 1)


def _drawn(graph: Graph) -> set[str]:
    return {
        item.op
        for definition in graph.definitions.values()
        for item in definition.items
        if isinstance(item, Node) and item.op in _RANDOM
    }
