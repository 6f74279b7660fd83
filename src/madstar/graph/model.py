"""A computation graph as a value: blocks in blocks, nodes with named argument slots, nothing of torch.

A graph is a table of block definitions and the name of the one that is the whole. A definition holds items
in the order of computation: nodes (one operation each) and calls (of another definition). Blocks that
compute the same are one definition however often they are called, each call with weights of its own; a
run of such calls in which each takes what the one before gives is one call with a count.

Within a definition things are referred to by short strings: "%name" is a value, "@path" a parameter or
buffer, whose path is relative to the block ("self_attn.q_proj.weight"). So a definition says nothing of
where it is used, and the full path of a weight is the path of the calls that lead to it, joined by dots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .execution import BuiltModule

SCHEMA = "madstar.graph/1"

Dim = int | str
"""A size: a number, or an expression of symbols in canonical form, such as "length" or "2*length+1"."""

Shape = tuple[Dim, ...]
Attribute = Any
"""JSON data: a number, a string, true, false, null, or a tuple of these; `Varying` where turns differ."""


@dataclass(frozen=True, slots=True)
class Varying:
    """An attribute, or a part of one, that a definition leaves open: each turn of a call sets it by name."""

    name: str


@dataclass(frozen=True, slots=True)
class Value:
    """What an operation gives: a tensor's shape and dtype ("float32"), under a name unique in its block."""

    name: str
    shape: Shape
    dtype: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """A weight or buffer of a block: its path relative to the block, shape and dtype.

    `initialisation` says how a fresh one is drawn, such as "torch.nn.Linear.weight" (that class's own
    default), "normal(0, 0.02)", "ones", "zeros" or "unknown". A buffer is not trained.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    trained: bool = True
    initialisation: str = "unknown"


@dataclass(frozen=True, slots=True)
class Argument:
    """A tensor that a node takes: the slot of the operation's signature, and what is put there.

    A slot that takes a list has several arguments, "tensors.0", "tensors.1".
    """

    slot: str
    source: str


@dataclass(frozen=True, slots=True)
class Primitive:
    """One ATen operation of a node's body, such as "aten.mm.default"; values are local to the body."""

    op: str
    arguments: tuple[str, ...]
    shapes: tuple[Shape, ...]
    dtypes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """One operation that people would name: linear, scaled_dot_product_attention, layer_norm, add.

    `attributes` are its arguments that are no tensors, by slot, sorted. `body` is what it stands for on
    the level of ATen, where that was recorded. `path` is the path, relative to the block, of the module
    whose forward it is alone (a Linear is one node), empty otherwise. An operation that the vocabulary
    does not know is kept as "opaque:NAME".
    """

    name: str
    op: str
    arguments: tuple[Argument, ...]
    outputs: tuple[Value, ...]
    attributes: tuple[tuple[str, Attribute], ...] = ()
    path: str = ""
    body: tuple[Primitive, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One or more uses of a definition.

    `paths` are the relative paths of the modules called, in order: ("layers.0",), or for a run
    ("layers.0", ..., "layers.79"). `arguments` feed the definition's inputs by position. In a run
    (`len(paths) > 1`), `carried` are pairs (output, input) of positions: what one call gives there is
    what the next takes. `own` are inputs of which each turn takes another value: position, and a reference
    for every turn (the first stands in `arguments` too). All other inputs are the same for every call.
    `settings` give what the definition leaves open, by name, a value for every turn.

    `outputs` name what the last turn gives. `gathered` are outputs of which those of earlier turns are
    needed too: position, and a name for each turn but the last; they have the type of the last. `own` and
    `gathered` are in order of position. A run has at least one of `carried`, `own`, `settings`, `gathered`.
    """

    name: str
    definition: str
    paths: tuple[str, ...]
    arguments: tuple[str, ...]
    outputs: tuple[Value, ...]
    carried: tuple[tuple[int, int], ...] = ()
    own: tuple[tuple[int, tuple[str, ...]], ...] = ()
    settings: tuple[tuple[str, tuple[Attribute, ...]], ...] = ()
    gathered: tuple[tuple[int, tuple[str, ...]], ...] = ()

    @property
    def count(self) -> int:
        """How often the definition is computed."""
        return len(self.paths)


Item = Node | Call


@dataclass(frozen=True, slots=True)
class Definition:
    """A block: what it takes, what it holds, what it computes in order, what it gives.

    `kind` is the class of the module it was made from ("LlamaDecoderLayer"), `module` where that class
    stands. `outputs` are references to values, inputs or parameters. `varying` are the names of what its
    nodes' attributes, or the settings of its calls, leave to whoever calls it; their order counts, as that
    of inputs does.
    """

    name: str
    kind: str
    inputs: tuple[Value, ...]
    parameters: tuple[Parameter, ...]
    items: tuple[Item, ...]
    outputs: tuple[str, ...]
    module: str = ""
    varying: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Guess:
    """A value that tracing needed and the graph does not determine: where, what was asked, what was taken."""

    path: str
    op: str
    taken: str


@dataclass(frozen=True)
class Graph:
    """A model's computation. `definitions` has every block by name, `root` is the whole.

    `inputs` and `outputs` of the root are named as the model's are (`input_names`, `output_names`).
    `symbols` gives for each symbol of the shapes the sizes at which it was traced and verified. `tied`
    are groups of full paths that are one tensor. `weights` are files, relative to the graph's own, in
    which the values of parameters stand; never the values themselves. `facts` is what else was recorded
    (source, versions, seconds), not part of the structure.
    """

    name: str
    root: str
    definitions: Mapping[str, Definition]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    symbols: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    tied: tuple[tuple[str, ...], ...] = ()
    guesses: tuple[Guess, ...] = ()
    weights: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def main(self) -> Definition:
        """The whole."""
        return self.definitions[self.root]

    def build(self, weights: Any = None, **options: Any) -> BuiltModule:
        """A torch module that computes this; see `madstar.graph.build`."""
        from .execution import build

        return build(self, weights, **options)
