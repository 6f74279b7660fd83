"""What differs between two graphs: what was added, removed, changed, and where.

Blocks are aligned from the whole inwards: items by path, operation and class, in sequence. Blocks of equal
structure are not looked into, so that equal graphs differ in nothing. Both graphs are compared unfolded, so
that a change to one layer of eighty is one line; a change to all of them is one line as well, since like
changes are told together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from .hashing import block_hashes
from .model import Call, Definition, Graph, Item, Node, Parameter
from .paths import join
from .runs_of_paths import packed
from .tree import shape_text
from .unfolding import unfold
from .wiring import sources


@dataclass(frozen=True)
class Change:
    """One difference: "added", "removed" or "changed", at which paths, and what in words."""

    sort: str
    paths: tuple[str, ...]
    what: str


@dataclass(frozen=True)
class Difference:
    """All differences of two graphs, in the order of computation."""

    names: tuple[str, str]
    changes: tuple[Change, ...]

    def __bool__(self) -> bool:
        return bool(self.changes)

    def to_dict(self) -> dict[str, Any]:
        """JSON data: {"from", "to", "changes": [{"sort", "paths", "what"}]}."""
        changes = [{"sort": c.sort, "paths": list(c.paths), "what": c.what} for c in self.changes]
        return {"from": self.names[0], "to": self.names[1], "changes": changes}

    def text(self) -> str:
        """For a terminal: one line for each change, with + - and ~; "no difference" for none."""
        if not self.changes:
            return "no difference\n"
        marks = {"added": "+", "removed": "-", "changed": "~"}
        lines = []
        for change in self.changes:
            written = [
                entry if isinstance(entry, str) else entry["path"]
                for entry in packed(list(dict.fromkeys(change.paths)))
            ]
            count = f" (x{len(change.paths)})" if len(change.paths) > 1 else ""
            where = ", ".join(written) or "the whole"
            lines.append(f"{marks[change.sort]} {where}{count}: {change.what}")
        return "\n".join(lines) + "\n"


_Found = tuple[str, str, str]  # sort, path relative to the block, what


def diff(a: Graph, b: Graph) -> Difference:
    """What must be done to `a` to have `b`. Names of values and definitions do not count."""
    found = list(_Comparison(unfold(a), unfold(b)).whole())
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for sort, path, what in found:
        form = "".join("#" if letter.isdigit() else letter for letter in path)
        grouped.setdefault((sort, what, form), []).append(path)
    changes = tuple(Change(sort, tuple(paths), what) for (sort, what, _), paths in grouped.items())
    return Difference((a.name, b.name), changes)


class _Comparison:
    def __init__(self, a: Graph, b: Graph) -> None:
        self.a, self.b = a, b
        self.hashes = (block_hashes(a), block_hashes(b))
        self._known: dict[tuple[str, str], list[_Found]] = {}

    def whole(self) -> Iterator[_Found]:
        yield from self.blocks(self.a.root, self.b.root)
        tied = [{frozenset(group) for group in graph.tied} for graph in (self.a, self.b)]
        for group in sorted(map(sorted, tied[0] - tied[1])):
            yield "removed", group[0], f"tied with {', '.join(group[1:])}"
        for group in sorted(map(sorted, tied[1] - tied[0])):
            yield "added", group[0], f"tied with {', '.join(group[1:])}"

    def blocks(self, left: str, right: str) -> list[_Found]:
        if (left, right) not in self._known:
            one, two = self.a.definitions[left], self.b.definitions[right]
            same = self.hashes[0][left] == self.hashes[1][right]
            found: list[_Found] = []
            if one.kind != two.kind:
                found.append(("changed", "", f"class {one.kind} -> {two.kind}"))
            found += [] if same else self._inside(one, two)
            self._known[left, right] = found
        return self._known[left, right]

    def _inside(self, one: Definition, two: Definition) -> list[_Found]:
        found: list[_Found] = []
        pairs, removed, added = self._aligned(one.items, two.items)
        for item in removed:
            found.append(("removed", _path(item), _words(item)))
        names = {f"%{v.name}": f"%{w.name}" for v, w in zip(one.inputs, two.inputs, strict=False)}
        for left, right in pairs:
            for v, w in zip(left.outputs, right.outputs, strict=False):
                names[f"%{v.name}"] = f"%{w.name}"
        new = {f"%{value.name}" for item in added for value in item.outputs}
        for left, right in pairs:
            found += self._items(left, right, names, new)
        for item in added:
            found.append(("added", _path(item), _words(item)))
        found += _signatures(one, two)
        return found or [("changed", "", "what it takes or gives is wired differently")]

    def _items(self, left: Item, right: Item, names: dict[str, str], new: set[str]) -> Iterator[_Found]:
        path = _path(right)
        if isinstance(left, Call) and isinstance(right, Call):
            for sort, inner, what in self.blocks(left.definition, right.definition):
                yield sort, join(path, inner), what
        elif isinstance(left, Node) and isinstance(right, Node):
            yield from (("changed", path, what) for what in _nodes(left, right))
        slots = (_slots(left), _slots(right))
        for slot, source in slots[1].items():
            before = slots[0].get(slot)
            moved = before is not None and names.get(before, "" if before[0] == "%" else before) != source
            if moved and before is not None and before in names and source not in new:
                yield "changed", path, f"{_name(right)}: {slot} is {source}, was {names[before]}"
            elif (moved and before and before[0] == "@") or before is None:
                yield "changed", path, f"{_name(right)}: {slot} is {source}, was {before or 'not given'}"
        for slot in sorted(slots[0].keys() - slots[1].keys()):
            yield "changed", path, f"{_name(right)}: {slot} is no longer given"

    def _aligned(
        self, left: tuple[Item, ...], right: tuple[Item, ...]
    ) -> tuple[list[tuple[Item, Item]], list[Item], list[Item]]:
        """Pairs that stand for each other, what is only on the left, what is only on the right."""
        keys = [[self._mark(item, side) for item in items] for side, items in enumerate((left, right))]
        pairs: list[tuple[Item, Item]] = []
        removed: list[Item] = []
        added: list[Item] = []
        matcher = SequenceMatcher(None, keys[0], keys[1], autojunk=False)
        for tag, i, j, k, m in matcher.get_opcodes():
            if tag == "equal":
                pairs += zip(left[i:j], right[k:m], strict=True)
                continue
            rest = list(right[k:m])
            for item in left[i:j]:
                match = max(rest, key=lambda other: _likeness(item, other), default=None)
                if match is not None and _likeness(item, match) >= 2:
                    pairs.append((item, match))
                    rest.remove(match)
                else:
                    removed.append(item)
            added += rest
        return pairs, removed, added

    def _mark(self, item: Item, side: int) -> tuple[str, ...]:
        if isinstance(item, Node):
            return (item.op, item.path)
        return ("call", (self.a, self.b)[side].definitions[item.definition].kind, item.paths[0])


def _likeness(left: Item, right: Item) -> int:
    """How likely one became the other: at least 2 to be told as a change."""
    if isinstance(left, Node) != isinstance(right, Node):
        return 0
    path = _path(left)
    score = 3 if path and path == _path(right) else 0
    if isinstance(left, Node) and isinstance(right, Node):
        score += 2 * (left.op == right.op and not path)
        score += len(left.arguments) == len(right.arguments)
        score += [v.shape for v in left.outputs] == [v.shape for v in right.outputs]
        score -= 1 if path and _path(right) and path != _path(right) else 0
    return score


def _nodes(left: Node, right: Node) -> Iterator[str]:
    name = _name(right)
    if left.op != right.op:
        yield f"{left.op} -> {right.op}"
    old, new = dict(left.attributes), dict(right.attributes)
    if left.op == right.op:
        for key in sorted(old.keys() | new.keys()):
            if repr(old.get(key)) != repr(new.get(key)) or (key in old) != (key in new):
                yield f"{name}: {key} {_said(old, key)} -> {_said(new, key)}"
    for v, w in zip(left.outputs, right.outputs, strict=False):
        if v.shape != w.shape:
            yield f"{name}: shape {shape_text(v)} -> {shape_text(w)}"
        if v.dtype != w.dtype:
            yield f"{name}: dtype {v.dtype} -> {w.dtype}"
    if len(left.outputs) != len(right.outputs):
        yield f"{name}: {len(left.outputs)} -> {len(right.outputs)} outputs"


def _signatures(one: Definition, two: Definition) -> Iterator[_Found]:
    old, new = ({p.path: p for p in block.parameters} for block in (one, two))
    for path in {**old, **new}:
        if path not in new:
            yield "removed", path, f"parameter {_parameter(old[path])}"
        elif path not in old:
            yield "added", path, f"parameter {_parameter(new[path])}"
        elif _parameter(old[path]) != _parameter(new[path]):
            yield "changed", path, f"parameter {_parameter(old[path])} -> {_parameter(new[path])}"
    for what, left, right in (
        ("inputs", len(one.inputs), len(two.inputs)),
        ("outputs", len(one.outputs), len(two.outputs)),
    ):
        if left != right:
            yield "changed", "", f"{left} -> {right} {what}"
    for v, w in zip(one.inputs, two.inputs, strict=False):
        if (v.shape, v.dtype) != (w.shape, w.dtype):
            yield "changed", "", f"input {w.name}: {v.dtype}{shape_text(v)} -> {w.dtype}{shape_text(w)}"


def _parameter(parameter: Parameter) -> str:
    trained = "" if parameter.trained else " (not trained)"
    return f"{parameter.dtype}[{', '.join(map(str, parameter.shape))}]{trained}"


def _slots(item: Item) -> dict[str, str]:
    if isinstance(item, Node):
        return {argument.slot: argument.source for argument in item.arguments}
    return {f"input {number}": source for number, source in enumerate(sources(item))}


def _path(item: Item) -> str:
    return item.paths[0] if isinstance(item, Call) else item.path


def _name(item: Item) -> str:
    return item.op if isinstance(item, Node) else "call"


def _words(item: Item) -> str:
    if isinstance(item, Call):
        return f"block {item.definition}"
    return f"{item.op} {shape_text(*item.outputs[:1])}".strip()


def _said(attributes: dict[str, Any], key: str) -> str:
    return repr(attributes[key]) if key in attributes else "not given"
