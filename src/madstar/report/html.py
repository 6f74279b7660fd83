"""A run's report as one page that opens anywhere: no server, no network, nothing beside it."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OutputError
from ..search import RunSummary
from .filled import filled_page

if TYPE_CHECKING:
    from ..studies.lineage import Lineage
    from ..studies.motifs import MotifStudy
    from ..studies.retrained import Validation
    from .plots import Plot

_TEMPLATE = "report.html.j2"


def write_html(
    summary: RunSummary,
    path: str | Path,
    *,
    lineage: Lineage | None = None,
    validation: Validation | None = None,
    motifs: MotifStudy | None = None,
) -> Path:
    """Write the report and return where it is; a page that is there already is replaced at once.

    What is not given has no section. Raises OutputError where the page cannot be written.
    """
    path = Path(path)
    write_atomically(path, render(summary, lineage=lineage, validation=validation, motifs=motifs))
    return path


def render(
    summary: RunSummary,
    *,
    lineage: Lineage | None = None,
    validation: Validation | None = None,
    motifs: MotifStudy | None = None,
) -> str:
    """The page as text."""
    # Here, because they take a while to load and a search in a terminal needs none of them.
    from .page import page
    from .plots import curves_plot, front_plots, hypervolume_plot

    fronts: Sequence[Plot] = front_plots(summary)
    hypervolume, curves = hypervolume_plot(summary), curves_plot(summary)
    plots = [*fronts, *(plot for plot in (hypervolume, curves) if plot is not None)]
    section, pictures = _motif_parts(motifs)
    plots += pictures
    words = page(summary, lineage=lineage, validation=validation, motifs=section)
    words = {**words, "fronts": fronts, "hypervolume": hypervolume, "curves": curves}
    return filled_page(_TEMPLATE, words, plots)


def _motif_parts(study: MotifStudy | None) -> tuple[str, Sequence[Plot]]:
    """The section on motifs and its plots; nothing where it cannot be drawn."""
    if study is None:
        return "", ()
    from .motifs import motif_plots, motif_section

    try:
        return motif_section(study), motif_plots(study)
    except Exception as error:  # The report must not be lost with one of its sections.
        warnings.warn(f"no motifs in the report: {error!r}", stacklevel=2)
        return "", ()


def write_atomically(path: Path, text: str) -> None:
    """Write beside the place and rename, so that nobody ever opens half a page."""
    temporary = path.parent / f".{path.name}.{os.getpid()}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        full = getattr(error, "errno", None) == errno.ENOSPC
        reason = "the disk is full" if full else getattr(error, "strerror", None) or str(error)
        raise OutputError(f"cannot write {path}: {reason}; choose another place") from error
    finally:
        with suppress(OSError, ValueError):
            temporary.unlink()
