"""Linear layers as nodes: `linear`, and `addmm` of a weight the other way round (transformers' Conv1D)."""

from __future__ import annotations

from dataclasses import dataclass

from ...model import Node
from ..following import Made, sources


@dataclass(frozen=True)
class Linear:
    """A linear layer with weights of its own: slots of what it takes, and of its weights.

    `rows` is the dimension of the weight that counts what it gives.
    """

    node: Node
    taken: str
    weight: str
    bias: str
    rows: int

    @property
    def weights(self) -> dict[str, int]:
        """The paths of the weights in its block, with the dimension that counts what it gives."""
        given = sources(self.node)
        found = {given[self.weight][1:]: self.rows}
        if self.bias in given:
            found[given[self.bias][1:]] = 0
        return found


_FORMS = {"linear": ("input", "weight", "bias", 0), "addmm": ("mat1", "mat2", "input", 1)}


def linear_of(node: object) -> Linear | None:
    """A node as a linear layer; None for what is none, or has no weights of its own block."""
    form = _FORMS.get(node.op) if isinstance(node, Node) else None
    if form is None or not isinstance(node, Node):
        return None
    given = sources(node)
    own = [given[slot] for slot in form[1:3] if slot in given]
    if form[1] not in given or not all(ref.startswith("@") for ref in own):
        return None
    if any(value != 1 for slot, value in node.attributes if slot in ("alpha", "beta")):
        return None
    return Linear(node, *form)


def made_linear(made: Made) -> Linear | None:
    """What makes a value as a linear layer."""
    return None if made.node is None else linear_of(made.node)
