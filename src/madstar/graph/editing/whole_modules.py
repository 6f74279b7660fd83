"""Edits of modules as wholes: repeated, tied to another, frozen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count as counting

from ...errors import EditError
from ..frozen import frozen, marked
from ..model import Call, Graph, Parameter
from ..paths import join
from .bench import Bench, Touched
from .copies import Chain, Copied, edit_blocks
from .drafts import Draft
from .select import instances

MAX_TIMES = 1000


@dataclass(frozen=True)
class Repeat:
    """Put `times` more of each selected block behind it, with weights of their own.

    Each takes what the one before gives, and else the same. The paths count on from the last of its stack:
    behind layers.31 comes layers.32.
    """

    select: str
    times: int = 1

    def apply(self, bench: Bench) -> Touched:
        """The graph with the edit made. Raises EditError."""
        if not 1 <= self.times <= MAX_TIMES:
            raise EditError(f"times is {self.times}; give between 1 and {MAX_TIMES:,}")

        def edit(draft: Draft, names: Sequence[str]) -> None:
            for name in names:
                repeated(draft, name, self.times)

        return bench.done(bench.sites(self.select), edit)


def repeated(draft: Draft, name: str, times: int) -> list[Call]:
    """Put more calls of a block behind one; what it gave is what the last of them gives."""
    item = draft.item(name)
    if not isinstance(item, Call):
        raise EditError(f"{draft.where(name)}: is one operation; select a block to repeat")
    carried = carries(draft, item)
    if not carried:
        raise EditError(
            f"{draft.where(name)}: gives nothing of the type of what it takes, so that it cannot "
            f"follow itself"
        )
    front, _, last = item.paths[0].rpartition(".")
    made: list[Call] = []
    before: Call = item
    paths = _next(draft, front, last) if last.isdecimal() else None
    for _ in range(times):
        path = draft.fresh_path(item.paths[0]) if paths is None else next(paths)
        arguments = list(before.arguments)
        for output, position in carried.items():
            arguments[position] = f"%{before.outputs[output].name}"
        outputs = tuple(draft.value(v.name, draft.type_of(f"%{v.name}")) for v in item.outputs)
        copy = replace(
            item,
            name=draft.name(item.name),
            paths=(path,),
            arguments=tuple(arguments),
            outputs=outputs,
        )
        made.append(copy)
        before = copy
    draft.insert(made, after=name)
    kept = {name, *(call.name for call in made)}
    for old, new in zip(item.outputs, before.outputs, strict=True):
        draft.redirect(f"%{old.name}", f"%{new.name}", but=kept)
    return made


def _next(draft: Draft, front: str, last: str) -> Iterator[str]:
    """The paths behind the last of a stack."""
    stem = f"{front}." if front else ""
    numbers = [int(last)]
    for item in draft.items:
        for path in item.paths if isinstance(item, Call) else (item.path,):
            part = path.removeprefix(stem).partition(".")[0]
            if path.startswith(stem) and part.isdecimal():
                numbers.append(int(part))
    for number in counting(max(numbers) + 1):
        path = f"{stem}{number}"
        if draft.fresh_path(path) == path:
            yield path


def carries(draft: Draft, call: Call) -> dict[int, int]:
    """Which of a block's inputs each of its results feeds when it follows itself: as in a neighbouring call
    of its stack, else the first of the type."""
    made = {f"%{v.name}": (item, n) for item in draft.items for n, v in enumerate(item.outputs)}
    kind = draft.table[call.definition].kind
    for other in draft.items:
        if not isinstance(other, Call) or draft.table[other.definition].kind != kind:
            continue
        found: dict[int, int] = {}
        for position, ref in enumerate(other.arguments):
            maker, number = made.get(ref, (None, 0))
            if isinstance(maker, Call) and draft.table[maker.definition].kind == kind and maker is not other:
                found.setdefault(number, position)
        fits = all(
            o < len(call.outputs)
            and i < len(call.arguments)
            and draft.type_of(f"%{call.outputs[o].name}") == draft.type_of(call.arguments[i])
            for o, i in found.items()
        )
        if found and fits:
            return found
    for number, value in enumerate(call.outputs):
        for position, ref in enumerate(call.arguments):
            if draft.type_of(ref) == draft.type_of(f"%{value.name}"):
                return {number: position}
    return {}


@dataclass(frozen=True)
class Share:
    """Let the weights of the selected modules be those of another: `with` is the pattern of one module."""

    select: str
    with_: str

    def apply(self, bench: Bench) -> Touched:
        """The graph with the edit made. Raises EditError."""
        models = _modules(bench, self.with_)
        if len(models) != 1:
            raise EditError(f"with {self.with_!r} fits {len(models)} modules; name one, such as {models[0]}")
        first = models[0]
        theirs = _below(bench.parameters, first)
        paths = [path for path in _modules(bench, self.select) if path != first]
        if not paths:
            raise EditError(
                f"select {self.select!r} fits only {first}, with which it is to share; select others"
            )
        groups = []
        for path in paths:
            own = _below(bench.parameters, path)
            if set(own) != set(theirs) or not own:
                odd = sorted(set(own) ^ set(theirs))
                raise EditError(
                    f"{path}: expected the weights that {first} has, "
                    f"{', '.join(sorted(theirs)) or 'none'}, found "
                    f"{', '.join(sorted(own)) or 'none'}" + (f"; only one has {odd[0]}" if odd else "")
                )
            for name, parameter in own.items():
                other = theirs[name]
                if (parameter.shape, parameter.dtype) != (other.shape, other.dtype):
                    raise EditError(
                        f"{join(path, name)}: expected {other.dtype}{list(other.shape)}, as "
                        f"{join(first, name)} "
                        f"has, found {parameter.dtype}{list(parameter.shape)}"
                    )
                groups.append((join(first, name), join(path, name)))
        graph = replace(bench.graph, tied=(*bench.graph.tied, *groups))
        return Touched(bench.settled(Copied(graph, {})), tuple(paths))


def _modules(bench: Bench, pattern: str) -> list[str]:
    """Paths of selected modules that have weights, each once; a pattern may name parameters too."""
    try:
        sites = bench.sites(pattern)
    except EditError:
        try:
            return list(bench.weights(pattern))
        except EditError:
            sites = bench.sites(pattern)
    paths = list(dict.fromkeys(site.path for site in sites))
    if plain := [path for path in paths if "%" in path]:
        raise EditError(f"{plain[0]}: is no module with weights of its own; select modules")
    return paths


def _below(known: Mapping[str, Parameter], path: str) -> dict[str, Parameter]:
    """The weights of a module by their paths within it; for a parameter's own path the parameter under ""."""
    if path in known:
        return {"": known[path]}
    return {each[len(path) + 1 :]: p for each, p in known.items() if each.startswith(f"{path}.")}


@dataclass(frozen=True)
class Freeze:
    """Let the weights of the selected modules, or those whose paths fit `params`, not be trained."""

    select: str = ""
    params: str = ""

    def apply(self, bench: Bench) -> Touched:
        """The graph with the edit made. Raises EditError."""
        return _trained(bench, self.select, self.params, False)


@dataclass(frozen=True)
class Unfreeze:
    """Let the weights of the selected modules, or those whose paths fit `params`, be trained.

    Where some of them were frozen by an edit, these are meant. Else buffers that were never trained are among
    them: select only what shall be.
    """

    select: str = ""
    params: str = ""

    def apply(self, bench: Bench) -> Touched:
        """The graph with the edit made. Raises EditError."""
        return _trained(bench, self.select, self.params, True)


def _trained(bench: Bench, select: str, params: str, trained: bool) -> Touched:
    if bool(select) == bool(params):
        raise EditError('say which: either "select" for modules or "params" for weights by path')
    if params:
        paths = list(bench.weights(params))
    else:
        modules = _modules(bench, select)
        paths = [join(m, name) for m in modules for name in _below(bench.parameters, m)]
        if not paths:
            raise EditError(f"select {select!r}: {modules[0]} has no weights")
    if trained and (known := frozen(bench.graph) & set(paths)):
        paths = sorted(known)
    wanted = {
        path
        for path in paths
        if bench.parameters[path].trained != trained
        and (not trained or bench.parameters[path].dtype.startswith(("float", "bfloat", "complex")))
    }
    same = {path: set(group) for group in bench.graph.tied for path in group}
    for path in list(wanted):
        wanted |= same.get(path, set())
    return Touched(trained_as(bench, wanted, trained), tuple(paths))


def trained_as(bench: Bench, paths: set[str], trained: bool) -> Graph:
    """The graph with some weights, by full path, trained or frozen, and marked so."""
    graph = bench.settled(changed_parameters(bench, paths, lambda p: replace(p, trained=trained)))
    return marked(graph, fewer=paths) if trained else marked(graph, more=paths)


def changed_parameters(bench: Bench, paths: set[str], change: Callable[[Parameter], Parameter]) -> Copied:
    """The graph with some parameters, by full path, changed wherever they are listed."""
    chosen: dict[Chain, tuple[str, ...]] = {}
    for instance in instances(bench.graph):
        listed = bench.graph.definitions[instance.definition].parameters
        if own := tuple(p.path for p in listed if join(instance.path, p.path) in paths):
            chosen[instance.chain] = own

    def edit(draft: Draft, own: Sequence[str]) -> None:
        for path in own:
            draft.set_parameter(change(draft.parameters[path]))

    return edit_blocks(bench.graph, chosen, edit)
