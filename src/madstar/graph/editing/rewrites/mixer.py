"""Another mixer in the place of one: any graph that takes and gives a sequence of the same width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ....errors import EditError
from ...model import Call
from ..bench import Bench, Touched
from ..drafts import Draft
from ..fragments import Fragment, build
from ..items import around, gives, taken


@dataclass(frozen=True)
class SwapMixer:
    """Put a graph in the place of each selected block: `graph` names its file, "in" what its inputs take.

    Make the graph of any layer with `madstar trace`. Its first result takes the place of the block's first;
    other results of the block must not be used. What only the block needed goes, all else is kept. The
    weights of the new mixer are fresh and stand under the block's path.
    """

    select: str
    new: Fragment

    def apply(self, bench: Bench) -> Touched:
        """The graph with the rewrite made. Raises EditError."""
        if self.new.graph is None:
            raise EditError('swap_mixer wants a graph: "new": {"graph": "layer.graph.json"}')

        def edit(draft: Draft, names: Sequence[str]) -> None:
            for name in names:
                call = draft.item(name)
                if not isinstance(call, Call):
                    raise EditError(f"{draft.where(name)}: swap_mixer replaces blocks, and this is {call.op}")
                path = call.paths[0]
                draft.release(path)
                y = gives(draft, call)
                wanted = draft.type_of(y)
                _, x = taken(draft, call, "")
                new = replace(self.new, path=path)
                items, results = build(new, around(draft, call, x, y), draft, bench.inference)
                if draft.type_of(results[0]) != wanted:
                    raise EditError(
                        f"{draft.where(name)}: expected a mixer that gives {wanted}, found "
                        f"{draft.type_of(results[0])}"
                    )
                for value in call.outputs[1:]:
                    if draft.users(f"%{value.name}") or f"%{value.name}" in draft.outputs:
                        raise EditError(
                            f"{draft.where(name)}: %{value.name}, a second result, is used; the "
                            f"mixer gives one"
                        )
                draft.insert(items, before=name)
                draft.redirect(y, results[0], but=[name])
                draft.remove(name)

        return bench.done(bench.sites(self.select), edit)
