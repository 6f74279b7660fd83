"""Where edits are made: an unfolded graph with its sites, and what every edit of it must keep.

Each edit gives a graph that is typed anew, sound, and whose weights have one form each; or it raises
EditError and nothing has changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from ...errors import EditError
from ..frozen import copied
from ..inference import Inference
from ..model import Graph, Parameter
from ..soundness import check_sound
from ..walk import parameters
from .copies import Chain, Copied, Edit, edit_blocks, edit_copies
from .following import Use
from .recipes import Recipe
from .retype import retype
from .select import Places, Site, select_parameters


@dataclass(frozen=True)
class Touched:
    """The graph after an edit, the full paths of what was selected, and where new weights come from.

    `recipes` say of full paths of parameters how their values are made of those before (see `weights`);
    parameters that keep path and shape keep their values without one.
    """

    graph: Graph
    paths: tuple[str, ...]
    recipes: Mapping[str, Recipe] = field(default_factory=dict)


class Bench:
    """An unfolded graph on which edits are tried; it is never changed itself."""

    def __init__(self, graph: Graph, inference: Inference | None = None) -> None:
        self.graph = graph
        self.inference = inference or Inference(graph.symbols)

    @cached_property
    def places(self) -> Places:
        """The sites of the graph."""
        return Places(self.graph)

    @cached_property
    def whole(self) -> Use:
        """The graph for following values."""
        return Use.of(self.graph)

    def use(self, site: Site) -> Use:
        """The use of a block in which a site is."""
        return self.whole.at(site.instance.chain)

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """The weights and buffers by full path."""
        return parameters(self.graph)

    def sites(self, pattern: str) -> list[Site]:
        """What a pattern selects. Raises EditError for nothing."""
        return self.places.select(pattern)

    def weights(self, pattern: str) -> Mapping[str, Parameter]:
        """The parameters that a pattern selects. Raises EditError for none."""
        return select_parameters(self.graph, pattern, self.places.stack)

    def edit(self, sites: Iterable[Site], edit: Edit) -> Graph:
        """The graph with the blocks of the sites edited, typed and checked."""
        return self.settled(edit_copies(self.graph, sites, edit))

    def edit_uses(self, chosen: Mapping[Chain, tuple[str, ...]], edit: Edit) -> Graph:
        """The graph with uses of blocks edited, that are named by chains; the edit is given the words."""
        return self.settled(edit_blocks(self.graph, chosen, edit))

    def done(self, sites: Sequence[Site], edit: Edit, recipes: Mapping[str, Recipe] | None = None) -> Touched:
        """As `edit`, with what was selected."""
        graph = self.edit(sites, edit)
        if recipes:  # filled by the edit
            graph = copied(graph, {path: r.sources[0] for path, r in recipes.items() if r.how == "copy"})
        return Touched(graph, tuple(site.path for site in sites), recipes or {})

    def settled(self, edited: Copied) -> Graph:
        """The edited graph with its types, its tied weights and its soundness seen to. Raises EditError."""
        graph = retype(edited, self.inference)
        graph = replace(graph, tied=_tied(graph))
        check_sound(graph)
        return graph


def _tied(graph: Graph) -> tuple[tuple[str, ...], ...]:
    """The groups of tied weights without what is gone. Raises EditError for one path with two forms."""
    forms: dict[str, Parameter] = {}
    from ..paths import join
    from ..walk import blocks

    for block, definition in blocks(graph):
        for parameter in definition.parameters:
            path = join(block, parameter.path)
            known = forms.setdefault(path, parameter)
            if (known.shape, known.dtype) != (parameter.shape, parameter.dtype):
                raise EditError(
                    f"{path}: expected {known.dtype}{list(known.shape)}, as another block has it, found "
                    f"{parameter.dtype}{list(parameter.shape)}; give what is put in another path"
                )
    groups: list[list[str]] = []
    home: dict[str, list[str]] = {}
    for group in graph.tied:
        kept = [path for path in group if path in forms]
        merged = next((home[path] for path in kept if path in home), None)
        if merged is None:
            merged = []
            groups.append(merged)
        for path in kept:
            other = home.get(path, merged)
            if other is not merged:
                groups.remove(other)
                for each in other:
                    home[each] = merged
                merged += [each for each in other if each not in merged]
            if path not in merged:
                merged.append(path)
            home[path] = merged
    return tuple(tuple(group) for group in groups if len(group) > 1)
