"""Fewer heads of keys and values than of queries (Ainslie et al., "GQA", 2023, arXiv:2305.13245)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ....errors import EditError
from ...model import Argument, Call, Definition, Node
from ...paths import join
from ..bench import Bench, Touched
from ..drafts import Draft, filled
from ..following import sources
from ..recipes import Recipe
from .attentions import Attention, attentions
from .heads import Heads, heads_of, inner_linear, reaching, sized
from .linears import linear_of
from .sketch import Sketch, own_path

_KEYS = ("key", "value")
_PARTED = "gives more than queries, keys and values of one attention; grouped_query cannot part it"


@dataclass(frozen=True)
class GroupedQuery:
    """Let groups of query heads share a head of keys and values: `groups` of these remain.

    The weights of each are the mean of those it stands for (Ainslie et al., "GQA", 2023, arXiv:2305.13245);
    where these are equal the function is unchanged. Applies where keys and values each come from one linear
    layer in the attention's block, which may make queries too.
    """

    groups: int
    select: str = "**"

    def apply(self, bench: Bench) -> Touched:
        """The graph with the rewrite made. Raises EditError."""
        if self.groups < 1:
            raise EditError(f"groups is {self.groups}; give 1 or more")
        plans: dict[tuple[str, str], _Plan] = {}
        chosen, refused = [], None
        for attention in attentions(bench, self.select, "grouped_query"):
            name = (attention.use.definition.name, attention.site.item.name)
            try:
                if name not in plans:
                    plans[name] = _plan(bench, attention, self.groups)
                chosen.append(attention)
            except EditError as error:
                refused = refused or error
        if refused is not None and not chosen:
            raise refused
        recipes: dict[str, Recipe] = {}

        def edit(draft: Draft, names: Sequence[str]) -> None:
            done: dict[str, dict[str, str]] = {}
            for name in names:
                _group(draft, plans[draft.definition.name, name], bench, recipes, done)

        done = bench.done([each.site for each in chosen], edit, recipes)
        layers = (
            join(each.use.path, own_path(heads.maker))
            for each in chosen
            for heads in plans[each.use.definition.name, each.site.item.name].roles.values()
        )
        return replace(done, paths=tuple(dict.fromkeys((*done.paths, *filter(None, layers)))))


@dataclass(frozen=True)
class _Plan:
    attention: Attention
    groups: int
    roles: dict[str, Heads]
    early: bool


def _plan(bench: Bench, attention: Attention, groups: int) -> _Plan:
    """How an attention becomes grouped. Raises EditError where it cannot."""
    where = attention.site.path
    refs = {slot: attention.ref(getattr(attention, slot)) for slot in ("query", *_KEYS)}
    roles: dict[str, Heads] = {}
    for slot in _KEYS:
        layers, _ = reaching(attention.use, refs[slot])
        if len(layers) != 1:
            raise EditError(
                f"{where}: grouped_query wants {slot}s from one linear layer in the same block, found "
                f"{len(layers)}"
            )
        heads = heads_of(bench.graph, attention.use, refs[slot])
        if heads is None or not heads.split:
            raise EditError(
                f"{where}: grouped_query wants {slot}s that are only laid out as heads behind their linear "
                f"layer; something is computed of all heads together before"
            )
        count = len(heads.rows)
        if count % groups or count == groups:
            raise EditError(
                f"{where}: groups is {groups}; give a smaller divisor of the {count} heads of {slot}s"
            )
        roles[slot] = heads
    if roles["key"].maker is roles["value"].maker and roles["key"].ref == roles["value"].ref:
        raise EditError(f"{where}: keys and values are the same here; grouped_query wants two")
    makers = {id(roles[slot].maker) for slot in _KEYS}
    layers, _ = reaching(attention.use, refs["query"])
    if len(layers) == 1 and id(layers[0]) in makers:
        query = heads_of(bench.graph, attention.use, refs["query"])
        if query is None:
            raise EditError(f"{where}: grouped_query cannot tell how queries are laid out")
        roles["query"] = query
    counts = {len(roles[slot].rows) for slot in _KEYS}
    taken = [attention.type(getattr(attention, slot)).shape for slot in _KEYS]
    late = all(len(shape) == 4 and shape[-3] in counts for shape in taken) and len(counts) == 1
    late = late and not any(roles[slot].merged for slot in _KEYS)
    return _Plan(attention, groups, roles, not (late and _plain(attention, roles)))


def _plain(attention: Attention, roles: dict[str, Heads]) -> bool:
    """Whether no block and no change of heads is between the layout and the attention."""
    for slot in _KEYS:
        _, reached = reaching(attention.use, attention.ref(getattr(attention, slot)))
        for item in attention.use.definition.items:
            if item.name not in reached or item is roles[slot].maker:
                continue
            if isinstance(item, Call) or item.op in ("expand", "repeat", "repeat_interleave"):
                return False
    return True


def _group(
    draft: Draft, plan: _Plan, bench: Bench, recipes: dict[str, Recipe], done: dict[str, dict[str, str]]
) -> None:
    """Make one attention grouped; layers that are `done` for another one of the block are so already."""
    by_maker: dict[str, list[str]] = {}
    for slot, heads in plan.roles.items():
        by_maker.setdefault(heads.maker.name, []).append(slot)
    for name, slots in by_maker.items():
        refs = {slot: plan.roles[slot].ref for slot in slots}
        if done.setdefault(name, refs) != refs:
            raise EditError(f"{draft.where(name)}: {_PARTED}")
        if refs is not done[name]:
            continue
        _remade(draft, name, slots, plan, bench, recipes)
    if plan.early:
        return
    old = len(plan.roles["key"].rows)
    for slot in _KEYS:
        _, reached = reaching(plan.attention.use, plan.attention.ref(getattr(plan.attention, slot)))
        for item in list(draft.items):
            if isinstance(item, Node) and item.name in reached:
                draft.put(_with_heads(item, old, plan.groups))
    if plan.attention.scores is None:
        node = draft.item(plan.attention.site.item.name)
        assert isinstance(node, Node)
        attributes = dict(node.attributes) | {"enable_gqa": True}
        draft.put(replace(node, attributes=tuple(sorted(attributes.items())), body=()))
        return
    for slot in _KEYS:
        name, taken = getattr(plan.attention, slot)
        node = draft.item(name)
        assert isinstance(node, Node)
        # Types are inferred anew behind this: here the heads are still as they were.
        value = draft.value(f"{slot}_of_heads", draft.type_of(sources(node)[taken]))
        spread = Node(
            draft.name("repeat_interleave"),
            "repeat_interleave",
            (Argument("input", sources(node)[taken]),),
            (value,),
            (("dim", -3), ("repeats", old // plan.groups)),
        )
        draft.insert([spread], before=name)
        draft.put(filled(node, taken, f"%{value.name}"))


def _remade(
    draft: Draft, name: str, slots: Iterable[str], plan: _Plan, bench: Bench, recipes: dict[str, Recipe]
) -> None:
    """The layer with fewer numbers, laid out as before; what was laid out before is taken out."""
    slots = sorted(slots, key=("query", *_KEYS).index)
    item = draft.item(name)
    old = f"%{item.outputs[0].name}"
    before = draft.type_of(old)
    size = len(plan.roles["key"].rows) // plan.groups
    rows: list[tuple[int, ...]] = []
    parts: list[tuple[str, int, int, int]] = []
    for slot in slots:
        heads = plan.roles[slot]
        table: list[list[tuple[int, ...]]] = [[(row,) for row in head] for head in heads.rows]
        if slot in _KEYS:
            per = len(heads.rows) // plan.groups
            table = [
                [tuple(heads.rows[g * per + n][d] for n in range(per)) for d in range(len(heads.rows[0]))]
                for g in range(plan.groups)
            ]
        parts.append((slot, len(rows), len(table), len(table[0])))
        rows += [each for head in table for each in head]
    used = sorted(row for each in rows for row in each)
    if used != list(range(int(before.shape[-1]))):
        raise EditError(f"{draft.where(name)}: {_PARTED}")
    size = max(len(each) for each in rows)
    numbers = tuple(row for each in rows for row in (*each, *(-1 for _ in range(size - len(each)))))
    value = draft.value(item.outputs[0].name, sized(before, len(rows)))
    _shrunk(draft, item, len(rows), int(before.shape[-1]), (size, *numbers), recipes)
    draft.put(replace(draft.item(name), outputs=(value,)))
    sketch = Sketch(draft, bench.inference)
    for slot, start, count, width in parts:
        ref = f"%{value.name}"
        if len(parts) > 1:
            ref = sketch.node("narrow", ref, dim=-1, start=start, length=count * width)
        ref = _laid_out(sketch, ref, plan.roles[slot], count, width)
        if plan.early and slot in _KEYS:
            many = len(plan.roles[slot].rows) // count
            ref = sketch.node("repeat_interleave", ref, repeats=many, dim=plan.roles[slot].dim)
        if merged := plan.roles[slot].merged:
            ref = sketch.node("reshape", ref, shape=merged)
        draft.redirect(plan.roles[slot].ref, ref)
    draft.insert(sketch.items, after=name)
    draft.sweep()
    if draft.users(old) or old in draft.outputs:
        raise EditError(f"{draft.where(name)}: {_PARTED}")


def _laid_out(sketch: Sketch, ref: str, heads: Heads, count: int, width: int) -> str:
    """Numbers of a layer in the layout that they had."""
    shape = sketch.draft.type_of(ref).shape
    order = heads.order
    if heads.split:
        ref = sketch.node("reshape", ref, shape=(*shape[:-1], count, width))
    else:
        order = tuple(min(place, len(shape) - 1) for place in order)
    if order != tuple(range(len(order))):
        ref = sketch.node("permute", ref, dims=order)
    return ref


def _shrunk(
    draft: Draft, item: Node | Call, new: int, old: int, numbers: tuple[int, ...], recipes: dict[str, Recipe]
) -> None:
    """Change the weights of a linear layer, which is a node or a block."""
    if isinstance(item, Node):
        linear = linear_of(item)
        assert linear is not None
        listed, path = draft.parameters, ""
    else:
        block = draft.table[item.definition]
        inner = inner_linear(block)
        assert inner is not None
        linear = linear_of(inner)
        assert linear is not None
        listed, path = {p.path: p for p in block.parameters}, item.paths[0]
    changed = {}
    for name, dim in linear.weights.items():
        weight = listed[name]
        shape = (*weight.shape[:dim], new, *weight.shape[dim + 1 :])
        changed[name] = replace(weight, shape=shape)
        for use in draft.uses:
            full = join(use, join(path, name))
            recipes[full] = Recipe("mean_rows", (full,), (dim, *numbers))
    if isinstance(item, Node):
        for weight in changed.values():
            draft.set_parameter(weight)
        return
    parameters = tuple(changed.get(p.path, p) for p in block.parameters)
    smaller = resized(replace(block, parameters=parameters), old, new)
    draft.put(replace(item, definition=draft.block(smaller)))


def resized(block: Definition, old: int, new: int) -> Definition:
    """A block of a linear layer and views with another last size behind the layer."""
    layer = inner_linear(block)
    items, behind = [], False
    for item in block.items:
        assert isinstance(item, Node)
        behind = behind or item is layer
        if behind:
            outputs = tuple(
                replace(v, shape=(*v.shape[:-1], new)) if v.shape[-1:] == (old,) else v for v in item.outputs
            )
            attributes = tuple(
                (slot, (*value[:-1], new))
                if isinstance(value, tuple) and value[-1:] == (old,)
                else (slot, value)
                for slot, value in item.attributes
            )
            item = replace(item, outputs=outputs, attributes=attributes, body=())
        items.append(item)
    return replace(block, items=tuple(items))


def _with_heads(node: Node, heads: int, groups: int) -> Node:
    """The node with another number of heads where its attributes give the number as a size."""
    shape = node.outputs[0].shape
    attributes = []
    for slot, value in node.attributes:
        if isinstance(value, tuple) and len(value) == len(shape) and slot in ("size", "shape"):
            # Heads are never the last dimension, which may have as many channels.
            front = (groups if size == at == heads else size for size, at in zip(value, shape, strict=True))
            value = (*tuple(front)[:-1], value[-1])
        attributes.append((slot, value))
    return replace(node, attributes=tuple(attributes))
