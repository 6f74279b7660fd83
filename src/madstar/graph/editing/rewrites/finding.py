"""Where a rewrite applies: what is selected and fits, or fits within what is selected."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from ....errors import EditError
from ...model import Call, Node
from ..bench import Bench
from ..select import Instance, Site


def within(bench: Bench, select: str, fits: Callable[[Site], bool]) -> list[Site]:
    """The selected items that fit; of selected blocks that do not, the items within that do.

    In the order of computation. A pattern that names items (`%`, `:`) means these alone. Raises EditError for
    a pattern that selects nothing; gives none where nothing fits.
    """
    if ":" in select or "%" in select:
        return [site for site in bench.sites(select) if fits(site)]
    todo = bench.sites(select)
    with suppress(EditError):
        todo = bench.sites(f"{select}:*")  # what is no module too
    found: dict[object, Site] = {}
    seen: set[object] = set()
    while todo:
        site = todo.pop()
        if site.key in seen:
            continue
        seen.add(site.key)
        if fits(site):
            found[site.key] = site
        elif isinstance(site.item, Call):
            chain = (*site.instance.chain, site.item.name)
            todo += bench.places.inside(Instance(chain, site.path, site.item.definition))
    return bench.places.ordered(found.values())


def operation(site: Site) -> str:
    """The operation of a site's node; empty for a block."""
    return site.item.op if isinstance(site.item, Node) else ""


def not_there(what: str, select: str, why: str) -> EditError:
    """The error of a rewrite that does not apply."""
    return EditError(f"{what} does not apply to {select!r}: {why}")
