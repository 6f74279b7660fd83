"""A composite operation's parts: each operation once, each link from something that gives to one place."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Any

from ....errors import GraphError
from ...soundness import MAX_NESTING

Endpoint = tuple[str, str]
"""An operation's name, or "this", and a variable's."""

KINDS = {
    "PROJECT": "operations",
    "COMPOSITE_OPERATION": "operations",
    "LOOP_OPERATION": "operations",
    "LOOP_INIT_OPERATION": "operations",
    "LOOP_BODY_OPERATION": "operations",
}
_PARTS = ("operations", "operations_if_true", "operations_if_false")
_MOST = 2_000_000


def check_document(document: Any) -> None:
    """Raise GraphError where a document is no operation, or too deep or too large to be read."""
    if not isinstance(document, dict):
        raise GraphError("no Graphbook file: the document is not an object")
    if document.get("type") not in KINDS:
        raise GraphError(
            f"no Graphbook file: the whole is of type {document.get('type')!r:.60}, not COMPOSITE_OPERATION"
        )
    level, total = [document], 0
    for depth in range(2 * MAX_NESTING + 2):
        level = [
            part
            for entry in level
            for key in _PARTS
            if isinstance(entry.get(key), list)
            for part in entry[key]
            if isinstance(part, dict)
        ]
        total += len(level)
        if total > _MOST:
            raise GraphError(f"more than {_MOST:,} operations")
        if not level:
            return
        if depth > MAX_NESTING:
            break
    raise GraphError(f"operations are nested more than {MAX_NESTING} deep")


def variables(entry: Mapping[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    """The inputs or outputs of an operation; a bare name is a variable of that name. Raises GraphError."""
    found: list[dict[str, Any]] = []
    listed = entry.get(key, [])
    if not isinstance(listed, list):
        raise GraphError(f"{where}: {key!r} must be a list")
    names: set[str] = set()
    for part in listed:
        variable = {"name": part, "primitive_name": part} if isinstance(part, str) else part
        name = variable.get("name") if isinstance(variable, dict) else None
        if not isinstance(name, str) or not isinstance(variable.get("primitive_name", ""), str):
            raise GraphError(f"{where}: {key!r} has what is no variable, {str(part)!r:.60}; it needs a name")
        if name in names:
            raise GraphError(f"{where}: two of its {key} are called {name!r:.80}")
        names.add(name)
        found.append(variable)
    return found


class Distinct:
    """Gives names that were not given before, with numbers in a form such as "{0}_{1}"."""

    def __init__(self, form: str, taken: str = "") -> None:
        self.form = form
        self.given = {taken}
        self.numbers: dict[str, int] = {}

    def new(self, wanted: str) -> str:
        """The name wanted, or that with a number."""
        name, number = wanted, self.numbers.get(wanted, 1)
        while name in self.given:
            number += 1
            name = self.form.format(wanted, number)
        self.numbers[wanted] = number
        self.given.add(name)
        return name


class Wired:
    """The operations of a composite in the order of computation, and what each of their inputs takes.

    `sources` has for each endpoint that is filled the one that fills it, `users` the operations that take
    from one. Raises GraphError for links from or to what is not there, two links to one place, and circles.
    """

    def __init__(self, entry: Mapping[str, Any], where: str, part: str = "") -> None:
        self.where = where
        self.operations: dict[str, dict[str, Any]] = {}
        self.inputs: dict[str, list[dict[str, Any]]] = {}
        self.outputs: dict[str, list[dict[str, Any]]] = {}
        for operation in _list(entry, f"operations{part}", where):
            name = operation.get("name") if isinstance(operation, dict) else None
            if not isinstance(name, str) or name == "this" or name in self.operations:
                raise GraphError(f"{where}: an operation is called {name!r:.80}; it needs a name of its own")
            self.operations[name] = operation
            self.inputs[name] = variables(operation, "inputs", f"{where}/{name:.80}")
            self.outputs[name] = variables(operation, "outputs", f"{where}/{name:.80}")
        gives = {(name, v["name"]) for name, found in self.outputs.items() for v in found}
        takes = {(name, v["name"]) for name, found in self.inputs.items() for v in found}
        gives |= {("this", v["name"]) for v in variables(entry, "inputs", where)}
        takes |= {("this", v["name"]) for v in variables(entry, "outputs", where)}
        self.sources: dict[Endpoint, Endpoint] = {}
        for link in _list(entry, f"links{part}", where):
            source, sink = (_endpoint(link, key, where) for key in ("source", "sink"))
            if source not in gives:
                raise GraphError(
                    f"{where}: a link comes from {_said(source)}, which gives nothing of the kind"
                )
            if sink not in takes:
                raise GraphError(f"{where}: a link goes to {_said(sink)}, which takes nothing of the kind")
            if self.sources.setdefault(sink, source) != source:
                raise GraphError(f"{where}: two links go to {_said(sink)}; remove one")
        self.users: dict[Endpoint, set[str]] = {}
        for (user, _), end in self.sources.items():
            self.users.setdefault(end, set()).add(user)
        self.order = self._order()

    def _order(self) -> list[str]:
        """As they are listed, as far as each comes after what it needs."""
        places = {name: number for number, name in enumerate(self.operations)}
        needs: dict[str, set[str]] = {name: set() for name in places}
        users: dict[str, set[str]] = {name: set() for name in places}
        for (sink, _), (source, _) in self.sources.items():
            if sink != "this" and source != "this":
                needs[sink].add(source)
                users[source].add(sink)
        ready = [places[name] for name, found in needs.items() if not found]
        heapq.heapify(ready)
        names, order = list(places), []
        while ready:
            name = names[heapq.heappop(ready)]
            order.append(name)
            for user in users[name]:
                needs[user].discard(name)
                if not needs[user]:
                    heapq.heappush(ready, places[user])
        if len(order) < len(names):
            stuck = next(name for name in names if needs[name])
            raise GraphError(f"{self.where}: {stuck!r:.80} takes, by way of others, what it gives itself")
        return order

    def source(self, operation: str, variable: str) -> Endpoint:
        """Where an input comes from. Raises GraphError where nothing is linked to it."""
        found = self.sources.get((operation, variable))
        if found is None:
            what = "output" if operation == "this" else "input"
            place = self.where if operation == "this" else f"{self.where}/{operation:.80}"
            raise GraphError(
                f"{place}: nothing is linked to its {what} {variable!r:.80}; link it or give data"
            )
        return found


def _list(entry: Mapping[str, Any], key: str, where: str) -> list[Any]:
    found = entry.get(key, [])
    if not isinstance(found, list):
        raise GraphError(f"{where}: {key!r} must be a list")
    return found


def _endpoint(link: Any, key: str, where: str) -> Endpoint:
    end = link.get(key) if isinstance(link, dict) else None
    operation, data = (end.get("operation"), end.get("data")) if isinstance(end, dict) else (None, None)
    if not isinstance(operation, str) or not isinstance(data, str):
        raise GraphError(f"{where}: a link's {key} must say 'operation' and 'data', not {str(end)!r:.60}")
    return operation, data


def _said(end: Endpoint) -> str:
    return f"{end[1]!r:.80} of {end[0]!r:.80}"
