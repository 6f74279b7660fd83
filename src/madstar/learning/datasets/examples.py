"""The questions that learners are asked: what a dataset hands out and what an evaluator is told.

An example names its entry (a graph of the dataset) and says what of its view is asked, by the numbers of
nodes and edges in `madstar.learning.view.view(graph)`. What must be hidden stands in `hiding.py`. An example
holds no answer that the view does not hold, but for labels and measurements, which no graph says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import Any

from ...errors import DataError
from ..corpus.measured import AMOUNTS

TASKS = ("operation", "link", "incomplete", "completion", "classification", "performance")


@dataclass(frozen=True, slots=True)
class Operations:
    """Which operation is each masked node? Learners see `hidden(view, masked)`.

    `masked` are numbers of nodes, ascending: spans of neighbours in the order of computation, or whole
    blocks (`way` says which, "spans" or "blocks"), 30 % of the operations in all, at most 256. Inputs of the
    model are never masked.
    """

    entry: str
    masked: tuple[int, ...]
    way: str = "spans"


@dataclass(frozen=True, slots=True)
class Links:
    """Which earlier node gave what was removed? Learners see `without_edges(view, removed)`.

    `removed` are numbers of data edges with two nodes or more from source to target, ascending. Asked is, at
    (target, position) of each, the source among all nodes before the target. `decoys` are (target, position
    just after its last argument) of nodes that lost nothing: is something missing there?
    """

    entry: str
    removed: tuple[int, ...]
    decoys: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Incomplete:
    """Is an operation missing, and where? Learners see `without(view, deleted)`.

    `deleted` is -1 for an intact graph. Else it is a node with one result, in whose place its takers are
    given a data input of the same shape (`hiding.bypass`): a norm, an activation, the add of a residual, a
    linear of equal widths. Nothing is left unused. The place asked is `hiding.place(view, deleted)`, a
    number in the view without it.
    """

    entry: str
    deleted: int


@dataclass(frozen=True, slots=True)
class Completion:
    """What comes next? Learners see `prefix(view, given)`: the nodes [0, given).

    Asked are the operation of node `given`, and the sources of its data edges in the order of positions.
    """

    entry: str
    given: int


@dataclass(frozen=True, slots=True)
class Classified:
    """What is the graph for? `label` is what its inputs and its class say, such as "vision".

    `question` is "domain" or "role" (encoder, decoder, encoder-decoder). `confuser` is the entry of another
    label whose operations are most alike in number, where one is near: with it the example is matched, and
    counting operations does not answer it. Empty where there is none.
    """

    entry: str
    label: str
    question: str = "domain"
    confuser: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """What does the architecture score? `value` is the mean over `seeds` trainings.

    `task` names the figure ("quality", "mad/in-context-recall", "decode@1024 on" a processor), `budget` how
    much training it had, in words that are equal where budgets are; empty for what needs none. `error` is the
    standard error, if known.
    """

    entry: str
    task: str
    budget: str
    value: float
    error: float | None
    seeds: int


def unit_of(task: str) -> str:
    """The unit of a figure that is an amount, "s" or "bytes"; empty for a score."""
    return AMOUNTS.get(task.partition("@")[0], "")


Example = Operations | Links | Incomplete | Completion | Classified | Measured

KINDS: Mapping[str, type[Any]] = MappingProxyType(
    dict(zip(TASKS, (Operations, Links, Incomplete, Completion, Classified, Measured), strict=True))
)
"""The class of examples of each task."""


def to_row(example: Example) -> dict[str, Any]:
    """The example as JSON data."""
    return asdict(example)


def from_row(task: str, row: Mapping[str, Any]) -> Example:
    """The example in JSON data. Raises DataError where it is none of that task."""
    if task not in KINDS:
        raise DataError(f"there is no task {task!r}; the tasks are {', '.join(TASKS)}")
    kind = KINDS[task]
    names = [field.name for field in fields(kind)]
    if set(row) != set(names):
        raise DataError(f"an example of {task} has {', '.join(sorted(row))}; it must have {', '.join(names)}")
    example: Example = kind(**{name: _frozen(row[name]) for name in names})
    return example


def _frozen(value: Any) -> Any:
    return tuple(_frozen(each) for each in value) if isinstance(value, list | tuple) else value
