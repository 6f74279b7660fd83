"""Templates filled in: all that users write is escaped, a name that is missing is an error."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .plots import Plot


def filled(template: str, words: Mapping[str, Any]) -> str:
    """A template of this room with its words in place, as HTML."""
    # Here, because it takes a while to load and a terminal does not need it.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("madstar.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(words)


def filled_page(template: str, words: Mapping[str, Any], plots: Sequence[Plot]) -> str:
    """A whole page, with its plots as data and what draws them; the latter only where there are plots."""
    from plotly.offline import get_plotlyjs

    figures = figures_json({plot.key: plot.to_dict() for plot in plots})
    return filled(template, {**words, "figures": figures, "plotly": get_plotlyjs() if plots else ""})


def figures_json(data: Any) -> str:
    """JSON that may stand within a script element: nothing in it can end the element."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
