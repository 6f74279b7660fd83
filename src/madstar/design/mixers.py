"""Which graphs may stand as a mixer: the form of a layer, its types inferred, nothing read ahead."""

from __future__ import annotations

from ..graph.causality import CAUSAL
from ..graph.checking import check
from ..graph.execution.as_layer import why_no_layer
from ..graph.inference import Inference
from ..graph.model import Graph, Node
from ..graph.vocabulary import OPAQUE


def why_no_mixer(graph: Graph, width: int) -> str:
    """Why a graph may not be a mixer of this width, in words; empty where it may. Nothing is computed.

    The verdict on causality is that of `madstar graph check`: what is undecided is refused too.
    """
    if why := why_no_layer(graph):
        return why
    given = graph.main.inputs[0]
    _, length, channels = given.shape
    if channels != width:
        return f"its width is {channels}, the model's {width}"
    for definition in graph.definitions.values():
        for item in definition.items:
            if isinstance(item, Node) and item.op.startswith(OPAQUE):
                return f"{item.op} is an operation that is not known"
    inference = Inference(graph.symbols)
    report = check(graph, inference, causal=True, symbol=str(length))
    first = next((finding for finding in report.findings if finding.severity == "error"), None)
    if first is not None:
        return first.line[:200]
    types = inference.graph(graph)[graph.root].types
    made = types.get(graph.main.outputs[0])
    if made is None or (made.shape, made.dtype) != (given.shape, given.dtype):
        said = "nothing" if made is None else f"{made.dtype}{list(made.shape)}"
        return f"it gives {said}, not what it takes"
    if report.causality is None or report.causality.verdict != CAUSAL:
        return "it is not certain that it does not look ahead"
    return ""
