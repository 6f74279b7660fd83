"""What stands in the report's page, section by section: words and numbers, no markup.

Only drawings are markup; everything else is escaped by the templates.
"""

from __future__ import annotations

from typing import Any

from ..search import RunSummary
from ..studies.lineage import Lineage
from ..studies.retrained import Validation
from .sections.candidates import candidate_lines, failures
from .sections.front import front
from .sections.head import head
from .sections.lineage import lineage_section
from .sections.offspring import offspring
from .sections.retrained import retrained_section


def page(
    summary: RunSummary,
    *,
    lineage: Lineage | None = None,
    validation: Validation | None = None,
    motifs: str = "",
) -> dict[str, Any]:
    """Everything the templates name; a section that there is nothing for is empty.

    `motifs` is a section that is markup already.
    """
    return {
        "head": head(summary),
        "front": front(summary),
        "offspring": offspring(summary),
        "retrained": retrained_section(validation) if validation else None,
        "motifs": motifs,
        "lineage": lineage_section(summary, lineage) if lineage else None,
        "failures": failures(summary),
        "candidates": candidate_lines(summary),
    }
