"""Wider hidden layers that compute the same at first (Chen et al., "Net2Net", 2016, arXiv:1511.05641)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from ....errors import EditError
from ...model import Attribute, Dim, Node
from ...paths import join
from ..bench import Bench, Touched
from ..copies import Chain
from ..drafts import Draft
from ..following import Made, Use, back, sources
from ..recipes import Recipe
from ..select import Site
from .finding import not_there, within
from .linears import Linear, linear_of

_ACTIVATIONS = "relu relu6 leaky_relu elu selu celu gelu silu mish hardswish sigmoid tanh softplus"
_BETWEEN = "square pow exp erf div mul add sub neg clamp dropout contiguous clone to"
POINTWISE = frozenset(f"{_ACTIVATIONS} {_BETWEEN}".split())
VIEWS = frozenset(("view", "reshape"))
HALVES = frozenset(("chunk", "split"))
_Place = tuple[Chain, str]


@dataclass(frozen=True)
class Wider:
    """Give what each selected linear layer takes `times` as many channels, to be divided evenly if not whole.

    Select the layer that closes an MLP, such as "**.down_proj"; of selected blocks, all layers within that
    close one. The linear layers that make its input, with only operations on single numbers between, get as
    many rows more, copies of their first ones, and the selected layer columns of zeros: the function is
    unchanged. A layer that makes gate and values at once gets more of both. All is trained.
    """

    select: str
    times: float = 2.0

    def apply(self, bench: Bench) -> Touched:
        """The graph with the rewrite made. Raises EditError."""
        if not 1 < self.times <= 1000:
            raise EditError(f"times is {self.times}; give more than 1")
        sites = within(bench, self.select, lambda site: linear_of(site.item) is not None)
        if not sites:
            raise not_there("wider", self.select, "no linear layer is there")
        plan, paths, refused = _Plan(bench, self.times), [], None
        for site in sites:
            try:
                paths += plan.add(site)
            except EditError as error:
                refused = refused or error
        if not paths:
            assert refused is not None
            raise refused
        graph = bench.edit_uses(plan.words(), plan.edit)
        return Touched(graph, tuple(dict.fromkeys(paths)), plan.recipes)


@dataclass
class Hidden:
    """What makes the input of a layer: all nodes on the `way`.

    Of these `makers` are the linear layers, with the number of parts that each makes (gate and values at
    once are two), and `named` those that name the size among their attributes, with the parts of theirs.
    """

    way: list[Made] = field(default_factory=list)
    makers: list[tuple[Made, Linear, int]] = field(default_factory=list)
    named: list[tuple[Made, int]] = field(default_factory=list)


class _Plan:
    """Which weights are to have which sizes, by the use of a block and the node."""

    def __init__(self, bench: Bench, times: float) -> None:
        self.bench, self.times = bench, times
        self.tied = {path for group in bench.graph.tied for path in group}
        self.rows: dict[_Place, tuple[int, int]] = {}
        self.columns: dict[_Place, int] = {}
        self.sizes: dict[_Place, tuple[int, int]] = {}
        self.recipes: dict[str, Recipe] = {}

    def add(self, site: Site) -> list[str]:
        """Plan a layer; gives the paths of what is touched. Raises EditError where it does not apply."""
        use, linear = self.bench.use(site), linear_of(site.item)
        assert linear is not None
        given = sources(linear.node)
        channels = use.types[given[linear.taken]].shape[-1]
        if not isinstance(channels, int) or int(channels * self.times) <= channels:
            raise EditError(f"{site.path}: times is {self.times}, which adds nothing to {channels} channels")
        new = int(channels * self.times)
        hidden = hidden_of(use, linear, f"{site.path}: wider")
        for made, each, _ in (*hidden.makers, (Made(use, linear.node, ""), linear, 1)):
            weights = [join(made.use.path, path) for path in each.weights]
            if shared := self.tied & set(weights):
                raise EditError(
                    f"{site.path}: wider would change {min(shared)}, which is tied to another weight"
                )
        self.columns[use.chain, linear.node.name] = new
        for made, _, parts in hidden.makers:
            assert made.node is not None
            self.rows[made.use.chain, made.node.name] = (new * parts, parts)
        for made, parts in hidden.named:
            assert made.node is not None
            self.sizes[made.use.chain, made.node.name] = (channels * parts, new * parts)
        return [
            site.path,
            *(_path(made) for made, _, _ in hidden.makers),
            *(_path(m) for m, _ in hidden.named),
        ]

    def words(self) -> dict[Chain, tuple[str, ...]]:
        """What is done in each use of a block."""
        said: dict[Chain, list[str]] = {}
        for (chain, name), (new, parts) in self.rows.items():
            said.setdefault(chain, []).append(f"rows {name} {new} {parts}")
        for (chain, name), new in self.columns.items():
            said.setdefault(chain, []).append(f"columns {name} {new} 1")
        for (chain, name), (old, new) in self.sizes.items():
            said.setdefault(chain, []).append(f"sizes {name} {new} {old}")
        return {chain: tuple(sorted(words)) for chain, words in said.items()}

    def edit(self, draft: Draft, said: Sequence[str]) -> None:
        """Change one block as the words say."""
        for what, name, new, other in (word.split(" ") for word in said):
            node = draft.item(name)
            assert isinstance(node, Node)
            if what == "sizes":
                draft.put(_resized(node, int(other), int(new)))
                continue
            linear = linear_of(node)
            assert linear is not None
            for path, dim in linear.weights.items():
                old = draft.parameters[path]
                if what == "columns":
                    dim = 1 - dim
                    if len(old.shape) < 2:
                        continue
                shape = (*old.shape[:dim], int(new), *old.shape[dim + 1 :])
                draft.set_parameter(replace(old, shape=shape))
                for use in draft.uses:
                    full = join(use, path)
                    parts = int(other) if what == "rows" else self._parts(full)
                    self.recipes[full] = Recipe("widened", (full,), (linear.weights[path], parts))

    def _parts(self, path: str) -> int:
        known = self.recipes.get(path)
        return known.numbers[1] if known else 1


def _path(made: Made) -> str:
    assert made.node is not None
    if made.node.path:
        return join(made.use.path, made.node.path)
    return f"{made.use.path}%{made.node.name}"


def hidden_of(use: Use, linear: Linear, where: str) -> Hidden:
    """What makes a layer's input. Raises EditError where more than single numbers are computed between."""
    start = sources(linear.node)[linear.taken]
    channels = use.types[start].shape[-1]
    found = Hidden()
    refused = f"{where} wants only linear layers and operations on single numbers before it, found "

    def follow(made: Made) -> list[str]:
        node, last = made.node, made.use.types[made.ref].shape[-1:]
        assert node is not None
        if (maker := linear_of(node)) is not None:
            parts = last[0] // channels if last and isinstance(last[0], int) else 1  # type: ignore[operator]
            found.makers.append((made, maker, parts))
            return []
        given = [a.source for a in node.arguments]
        lasts = [made.use.types[ref].shape[-1:] for ref in given]
        found.way.append(made)
        if node.op in POINTWISE and all(ref.startswith("%") for ref in given):
            if lasts and all(each == last for each in lasts):
                return given
        elif node.op in VIEWS and lasts == [last]:
            found.named.append((made, 1))
            return given
        elif _halves(node, made.use, channels):
            found.named += [(made, 1)] if node.op == "split" else []
            return given
        raise EditError(f"{refused}{node.op}")

    for made in back(use, start, follow):
        if made.node is None:
            what = "what the model takes" if made.ref.startswith("%") else f"the weight {made.path}"
            raise EditError(f"{refused}{what}")
        if linear_of(made.node) is not None:
            found.way.append(made)
    _only(found.way, linear, use, where)
    return found


def _halves(node: Node, use: Use, channels: Dim) -> bool:
    """Whether a node parts the last dimension in two halves of so many channels."""
    attributes = dict(node.attributes)
    rank = len(node.outputs[0].shape)
    if node.op not in HALVES or attributes.get("dim", 0) not in (-1, rank - 1) or len(node.outputs) != 2:
        return False
    given = use.types[sources(node)["input"]].shape[-1]
    return isinstance(channels, int) and given == 2 * channels and node.outputs[0].shape[-1] == channels


def _only(on_the_way: Sequence[Made], linear: Linear, use: Use, where: str) -> None:
    """Raise EditError where something else takes what is widened."""
    known = {(made.use.chain, made.node.name) for made in on_the_way if made.node is not None}
    known.add((use.chain, linear.node.name))
    for made in on_the_way:
        assert made.node is not None
        for user, node in _takers(made):
            if node is None or (user.chain, node.name) not in known:
                what = "what the model gives" if node is None else node.op
                raise EditError(
                    f"{where} wants what is before it for it alone, and {_path(made)} goes to {what} too"
                )


def _takers(made: Made) -> Iterator[tuple[Use, Node | None]]:
    assert made.node is not None
    for value in made.node.outputs:
        yield from made.use.takers(f"%{value.name}")


def _resized(node: Node, old: int, new: int) -> Node:
    """The node with another last size where its attributes give it as a number."""

    def other(value: Attribute) -> Attribute:
        if isinstance(value, tuple):
            return (
                tuple(new if part == old else part for part in value[-2:])
                if node.op == "split"
                else ((*value[:-1], new) if value[-1:] == (old,) else value)
            )
        return new if value == old and node.op == "split" else value

    return replace(node, attributes=tuple((slot, other(value)) for slot, value in node.attributes), body=())
