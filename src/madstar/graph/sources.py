"""A module of one's own as a graph: "my_model.py:MyNet", with its inputs as declared.

This runs the code that the reference names; nothing else in this room does.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from madstar.errors import GraphError, in_one_line
from madstar.graph.declared import Declared, example_inputs
from madstar.graph.model import Graph
from madstar.graph.trace import trace
from madstar.plugins import load_attribute


def trace_reference(reference: str, inputs: Sequence[str]) -> Graph:
    """Trace what `path/to/file.py:Name` or `package.module:Name` names: a class, a function, or a module.

    A class or function is called without arguments, on the meta device where it allows that. `inputs` are
    declarations such as "tokens:int64[batch,length]". Raises GraphError for a reference to nothing, for
    whatever the code raises, and where tracing fails.
    """
    declared = [Declared.parse(text) for text in inputs]
    module = build(reference)
    make, symbols = example_inputs(declared, module)
    return trace(module, make, name=reference.rpartition(":")[2], symbols=symbols)


def build(reference: str) -> nn.Module:
    """The module that a reference names, on the meta device if its constructor works there."""
    found = load_attribute(reference, "model", GraphError)
    if isinstance(found, nn.Module):
        return found
    if not callable(found):
        raise GraphError(f"model {reference!r} is a {type(found).__name__}; give a class of torch.nn.Module")
    try:
        with torch.device("meta"):
            made = found()
    except (Exception, SystemExit):
        # Some constructors read values, such as a schedule of rates, which the meta device has not.
        try:
            made = found()
        except (Exception, SystemExit) as error:
            raise GraphError(
                f"model {reference!r} cannot be built without arguments: {in_one_line(error, 240)}; "
                "name a function without arguments that builds it"
            ) from error
    if not isinstance(made, nn.Module):
        raise GraphError(
            f"model {reference!r} gives a {type(made).__name__}; give a class of torch.nn.Module"
        )
    return made
