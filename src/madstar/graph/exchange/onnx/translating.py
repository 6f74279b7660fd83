"""A program of torch.export as an ONNX model in memory: names, sizes and blocks as the graph's."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ....errors import GraphError, in_one_line
from ...dims import symbols
from ...model import Dim, Graph
from ...walk import parameters
from .capturing import Captured, quiet
from .extras import need

SCOPES = "pkg.torch.onnx.name_scopes"
CLASSES = "pkg.torch.onnx.class_hierarchy"
NAMESPACE = "namespace"
SYMBOLS = "madstar.symbols"
BUFFERS = "madstar.buffers"
TIED = "madstar.tied"
_KEPT = frozenset((SCOPES, CLASSES, NAMESPACE))
_NO_SCOPE = "_empty_nn_module_stack"


def translate(graph: Graph, captured: Captured, opset: int, *, optimize: bool = True) -> Any:
    """The model, an `onnx_ir.Model`. Raises GraphError with what torch said where it cannot."""
    need("onnx")
    need("onnxscript")
    ir = need("onnx_ir")
    try:
        with quiet():
            program = torch.onnx.export(
                captured.program,
                dynamo=True,
                opset_version=opset,
                optimize=False,
                input_names=list(graph.input_names),
                output_names=list(graph.output_names),
                verbose=False,
            )
    except Exception as error:
        raise GraphError(f"{graph.name}: {_said(error)}") from None
    assert program is not None
    _name_sizes(program, graph, captured)
    model = program.model
    weights = {name for name in model.graph.initializers if name in parameters(graph)}
    if optimize:
        _fold(model, weights)
    _describe(ir, model, graph, captured)
    return model


def _said(error: BaseException) -> str:
    """The cause that torch's report of several pages begins with."""
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return f"torch.onnx cannot translate it: {in_one_line(cause, 240)}"


def _name_sizes(program: Any, graph: Graph, captured: Captured) -> None:
    """torch's own symbols, such as s31, by the graph's."""
    mapping: dict[str, str] = {}
    for value, tensor in zip(graph.main.inputs, program.model.graph.inputs, strict=True):
        shape: Sequence[Dim] = value.shape
        for dim, size in zip(shape, tensor.shape, strict=True):
            if isinstance(size, int) or size.value is None or not symbols(dim):
                continue
            if str(size.value).isidentifier():
                name = str(dim)
                if dim in graph.symbols or str(size.value) not in mapping:
                    mapping[str(size.value)] = name
    mapping = {old: new for old, new in mapping.items() if old != new and new.isidentifier()}
    if mapping:
        program.rename_axes(mapping)


def _fold(model: Any, weights: set[str]) -> None:
    """Constants computed and duplicates joined; no weight becomes another, so that all keep their names.

    onnxscript's own sequence of passes also joins weights that are equal, as those of fresh norms are, and
    drops biases of zeros: that is right for running, and wrong for a file that is to be read again.
    """
    folding = need("onnxscript.optimizer._constant_folding")
    passes = need("onnx_ir.passes")
    common = need("onnx_ir.passes.common")

    def wanted(node: Any) -> bool | None:
        return False if any(v is not None and v.name in weights for v in node.inputs) else None

    steps = [
        folding.FoldConstantsPass(
            shape_inference=True, input_size_limit=1024, output_size_limit=1024, should_fold=wanted
        ),
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedFunctionsPass(),
        common.RemoveUnusedOpsetsPass(),
    ]
    with quiet():
        passes.Sequential(
            common.InlinePass(),
            passes.PassManager(steps, steps=2, early_stop=True),
            common.RemoveUnusedNodesPass(),
            common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
            common.CommonSubexpressionEliminationPass(),
            common.OutputFixPass(),
            common.NameFixPass(),
        )(model)


def _describe(ir: Any, model: Any, graph: Graph, captured: Captured) -> None:
    """Scopes where a reader looks for them; nothing of the machine on which this was made."""
    made: dict[int, Mapping[str, str]] = {}
    for node in model.graph:
        said = {key: text for key, text in node.metadata_props.items() if key in _KEPT}
        if _NO_SCOPE in said.get(NAMESPACE, ""):
            said = {}
        if not said:
            # What folding has made belongs where what it takes was made.
            said = dict(next((made[id(v)] for v in node.inputs if v is not None and id(v) in made), {}))
        node.metadata_props.clear()
        node.metadata_props.update(said)
        node.doc_string = None
        if said:
            made.update((id(value), said) for value in node.outputs)
    for value in (*model.graph.inputs, *model.graph.outputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.graph.doc_string = model.doc_string = None
    model.graph.name = graph.name
    model.producer_name, model.producer_version = "madstar", torch.__version__
    open_ = {symbol: list(graph.symbols[symbol]) for symbol in captured.open}
    untrained = [path for path, parameter in parameters(graph).items() if not parameter.trained]
    model.metadata_props[SYMBOLS] = json.dumps(open_)
    model.metadata_props[BUFFERS] = json.dumps(untrained)
    model.metadata_props[TIED] = json.dumps([list(group) for group in graph.tied])


def scopes_of(said: Mapping[str, str]) -> list[tuple[str, str]]:
    """The blocks around a node, outermost first, as (path, class); the last entry of torch's is the node."""
    try:
        paths, classes = (ast.literal_eval(said.get(key, "[]")[:20000]) for key in (SCOPES, CLASSES))
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return []
    if not (isinstance(paths, list) and isinstance(classes, list)):
        return []
    both = [(p, c) for p, c in zip(paths, classes, strict=False) if isinstance(p, str) and isinstance(c, str)]
    return both[:-1]
