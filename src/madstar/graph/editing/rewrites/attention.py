"""Rewrites of attention: what a place may look at, fewer keys and values, who takes what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ....errors import EditError
from ... import dims
from ...model import Call, Node
from ...paths import join
from ...walk import producers
from ..bench import Bench, Touched
from ..drafts import Draft, filled
from ..recipes import Recipe
from ..routes import Route, routed
from ..select import Site
from .sketch import Sketch, not_there

SDPA = "scaled_dot_product_attention"


def attentions(bench: Bench, select: str, what: str) -> list[Site]:
    """The operations of attention that are selected, or that stand within what is. Raises EditError."""
    if ":" in select or "%" in select:
        sites = bench.sites(select)
    else:
        inside = {f"{site.path}." for site in bench.sites(select)}
        sites = [
            site
            for site in bench.sites(f"**:{SDPA}")
            if any(site.path.replace("%", ".").startswith(front) for front in inside)
        ]
    found = [site for site in sites if isinstance(site.item, Node) and site.item.op == SDPA]
    if not found:
        raise not_there(what, select, f"no {SDPA} is there (attention written out as products is not found)")
    return found


@dataclass(frozen=True)
class WindowedAttention:
    """Let each place look only at those less than `window` places away, itself included.

    What is hidden already, by a mask or because it is later, stays hidden. With a window of at least the
    length the function is unchanged. Applies to scaled_dot_product_attention over one sequence.
    """

    window: int
    select: str = "**"

    def apply(self, bench: Bench) -> Touched:
        """The graph with the rewrite made. Raises EditError."""
        if self.window < 1:
            raise EditError(f"window is {self.window}; give 1 or more")

        def edit(draft: Draft, names: Sequence[str]) -> None:
            for name in names:
                self._window(draft, name, bench)

        return bench.done(attentions(bench, self.select, "windowed_attention"), edit)

    def _window(self, draft: Draft, name: str, bench: Bench) -> None:
        node = draft.item(name)
        assert isinstance(node, Node)
        given = {a.slot: a.source for a in node.arguments}
        long, keys = (draft.type_of(given[slot]).shape[-2] for slot in ("query", "key"))
        if not dims.equal(long, keys):
            raise EditError(
                f"{draft.where(name)}: windowed_attention wants one sequence, and here {long} "
                f"places look at {keys}"
            )
        sketch = Sketch(draft, bench.inference)
        places = sketch.node("arange", {}, range=(long,))
        away = sketch.node(
            "sub",
            {
                "input": sketch.node("unsqueeze", places, dim=1),
                "other": sketch.node("unsqueeze", places, dim=0),
            },
        )
        if dict(node.attributes).get("is_causal"):
            near = sketch.node("lt", away, other=self.window)
            near = sketch.node("logical_and", {"input": near, "other": sketch.node("ge", away, other=0)})
        else:
            near = sketch.node("lt", sketch.node("abs", away), other=self.window)
        attributes = tuple((s, False if s == "is_causal" else v) for s, v in node.attributes)
        mask = given.get("attn_mask")
        if mask is None:
            mask = near
        elif draft.type_of(mask).dtype == "bool":
            mask = sketch.node("logical_and", {"input": mask, "other": near})
        else:
            far = sketch.node("logical_not", near)
            mask = sketch.node("masked_fill", {"input": mask, "mask": far}, value=float("-inf"))
        draft.insert(sketch.items, before=name)
        draft.put(filled(replace(node, attributes=attributes, body=()), "attn_mask", mask))


@dataclass(frozen=True)
class GroupedQuery:
    """Let groups of query heads share a head of keys and values: `groups` of these remain.

    The weights of each are the mean of those it stands for (Ainslie et al., "GQA", 2023, arXiv:2305.13245);
    where these are equal the function is unchanged. Applies where keys and values are each the result of one
    linear layer in the attention's block.
    """

    groups: int
    select: str = "**"

    def apply(self, bench: Bench) -> Touched:
        """The graph with the rewrite made. Raises EditError."""
        if self.groups < 1:
            raise EditError(f"groups is {self.groups}; give 1 or more")
        recipes: dict[str, Recipe] = {}

        def edit(draft: Draft, names: Sequence[str]) -> None:
            for name in names:
                for slot in ("key", "value"):
                    self._grouped(draft, name, slot, recipes)
                node = draft.item(name)
                assert isinstance(node, Node)
                attributes = dict(node.attributes) | {"enable_gqa": True}
                draft.put(replace(node, attributes=tuple(sorted(attributes.items())), body=()))

        return bench.done(attentions(bench, self.select, "grouped_query"), edit, recipes)

    def _grouped(self, draft: Draft, name: str, slot: str, recipes: dict[str, Recipe]) -> None:
        node = draft.item(name)
        ref = next(a.source for a in node.arguments if a.slot == slot)  # type: ignore[union-attr]
        shape = draft.type_of(ref).shape
        heads, width = shape[-3] if len(shape) > 2 else None, shape[-1]
        if not isinstance(heads, int) or not isinstance(width, int):
            raise EditError(
                f"{draft.where(name)}: grouped_query wants {slot}s [..., heads, length, width], "
                f"found {draft.type_of(ref)}"
            )
        if heads % self.groups or heads == self.groups:
            raise EditError(
                f"{draft.where(name)}: groups is {self.groups}; give a smaller divisor of the "
                f"{heads} heads of {slot}s"
            )
        linear, between = _projection(draft, ref, name, slot)
        for argument in linear.arguments:
            if argument.slot not in ("weight", "bias"):
                continue
            old = draft.parameters[argument.source[1:]]
            if old.shape[0] != heads * width:
                raise EditError(
                    f"{draft.where(name)}: grouped_query wants {heads} heads of {width} from "
                    f"{draft.where(linear.name)}, "
                    f"found {old.shape[0]} numbers; its {slot}s are shared already"
                )
            draft.set_parameter(replace(old, shape=(self.groups * width, *old.shape[1:])))
            for use in draft.uses:
                path = join(use, old.path)
                recipes[path] = Recipe("mean_heads", (path,), (heads, self.groups))
        for view in between:
            draft.put(_with_heads(view, heads, self.groups))


def _projection(draft: Draft, ref: str, name: str, slot: str) -> tuple[Node, list[Node]]:
    """The one linear layer that a value comes from, and the nodes between."""
    made = {f"%{v.name}": item for item in draft.items for v in item.outputs}
    todo, seen, linears, between = [ref], {ref}, [], []
    while todo:
        item = made.get(todo.pop())
        if item is None:
            continue
        if isinstance(item, Node) and item.op == "linear":
            linears.append(item)
            continue
        if isinstance(item, Node):
            between.append(item)
        for source in item.arguments if isinstance(item, Call) else [a.source for a in item.arguments]:
            if source not in seen:
                seen.add(source)
                todo.append(source)
    if len(linears) != 1 or not all(
        a.source.startswith("@") for a in linears[0].arguments if a.slot != "input"
    ):
        raise EditError(
            f"{draft.where(name)}: grouped_query wants {slot}s from one linear layer in the same "
            f"block, found "
            f"{len(linears)}"
        )
    return linears[0], between


def _with_heads(node: Node, heads: int, groups: int) -> Node:
    """The node with another number of heads where its attributes give the number as a size."""
    shape = node.outputs[0].shape
    attributes = []
    for slot, value in node.attributes:
        if isinstance(value, tuple) and len(value) == len(shape) and slot in ("size", "shape"):
            # Heads are never the last dimension, which may have as many channels.
            value = (
                *(groups if size == at == heads else size for size, at in zip(value, shape, strict=True)),
            )
            value = (*value[:-1], dict(node.attributes)[slot][-1])
        attributes.append((slot, value))
    return replace(node, attributes=tuple(attributes))


@dataclass(frozen=True)
class Parallel:
    """Let attention and MLP of each selected block take the same, side by side: x + f(x) + g(x).

    It applies to blocks that compute h = x + f(x), then h + g(h). The weights stay; the function is that of
    the same layers side by side.
    """

    select: str = "blocks[*]"

    def apply(self, bench: Bench) -> Touched:
        """The graph with the rewrite made. Raises EditError."""
        sites = bench.sites(self.select)
        for site in sites:
            if not isinstance(site.item, Call):
                raise EditError(f"{site.path}: parallel wants blocks, and this is {site.item.op}")
        inside = [place for site in sites for place in _sums(bench, site)]

        def edit(draft: Draft, names: Sequence[str]) -> None:
            for name in names:
                _beside(draft, name)

        touched = bench.done(inside, edit)
        return replace(touched, paths=tuple(site.path for site in sites))


def _sums(bench: Bench, site: Site) -> list[Site]:
    """The first of the two sums of a block."""
    assert isinstance(site.item, Call)
    block = bench.graph.definitions[site.item.definition]
    made = producers(block)
    inputs = {f"%{value.name}" for value in block.inputs}
    last = made.get(block.outputs[0], (None, 0))[0]
    while isinstance(last, Node) and last.op in ("dropout", "contiguous"):
        last = made.get(last.arguments[0].source, (None, 0))[0]
    if isinstance(last, Node) and last.op == "add":
        for argument in last.arguments:
            first = made.get(argument.source, (None, 0))[0]
            if (
                isinstance(first, Node)
                and first.op == "add"
                and any(a.source in inputs for a in first.arguments)
            ):
                held = [
                    place
                    for branch in [bench.places.root.at(site.path)]
                    for instance in branch.held
                    if not isinstance(instance, Site)
                    and instance.chain == (*site.instance.chain, site.item.name)
                    for place in bench.places.inside(instance)
                    if place.item.name == first.name
                ]
                if held:
                    return held
    raise EditError(
        f"{site.path}: parallel wants a block that computes h = x + f(x), then h + g(h); "
        f"{block.kind} is not so"
    )


def _beside(draft: Draft, name: str) -> None:
    node = draft.item(name)
    inputs = {f"%{value.name}" for value in draft.inputs}
    x = next(a.source for a in node.arguments if a.source in inputs)  # type: ignore[union-attr]
    h = f"%{node.outputs[0].name}"
    sums = [
        item.name
        for item in draft.users(h)
        if isinstance(item, Node) and item.op == "add" and any(a.source == h for a in item.arguments)
    ]
    draft.redirect(h, x, but=sums)


@dataclass(frozen=True)
class ShareKeysAndValues:
    """Let neighbouring layers attend to the same keys and values: of each `every`, the first makes them.

    (Brandon et al., "Cross-layer attention", 2024, arXiv:2405.12981.) The projections that nobody needs any
    more go; queries and all else are kept. The function is that of the layers with the first's keys and
    values.
    """

    every: int = 2
    select: str = "**"

    def apply(self, bench: Bench) -> Touched:
        """The graph with the rewrite made. Raises EditError."""
        if self.every < 2:
            raise EditError(f"every is {self.every}; give 2 or more")
        sites = attentions(bench, self.select, "share_kv")
        routes = []
        for start in range(0, len(sites), self.every):
            first, *rest = sites[start : start + self.every]
            for site in rest:
                for slot in ("key", "value"):
                    mine, theirs = (_taken_type(bench, each, slot) for each in (site, first))
                    if mine != theirs:
                        raise EditError(
                            f"{site.path}: expected a {slot} {theirs}, as {first.path} has, found {mine}"
                        )
            if rest:
                routes.append(Route(first, tuple(rest), ("key", "value")))
        if not routes:
            raise not_there("share_kv", self.select, f"it has {len(sites)} attention; two or more can share")
        graph = bench.settled(routed(bench.graph, routes))
        return Touched(graph, tuple(target.path for route in routes for target in route.targets))


def _taken_type(bench: Bench, site: Site, slot: str) -> object:
    draft = Draft(bench.graph.definitions[site.instance.definition], {})
    return draft.type_of(next(a.source for a in site.item.arguments if a.slot == slot))  # type: ignore[union-attr]
