"""Motifs as people look at them: a section of a run's page, a page of its own, a table in a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..studies.motifs import Motif, MotifStudy
from ..studies.patterns import mixing_of
from ..studies.winners import WINNERS
from .filled import filled, filled_page
from .plots import Plot
from .quantities import plural
from .strips import strip

FALSE_DISCOVERY = 0.05
_SHOWN, _BARS = 20, 14
_ORDER = ("attention", "recurrence", "convolution", "memoryless", "layer by name")


@dataclass(frozen=True)
class MotifLine:
    """A line of the table of motifs."""

    name: str
    drawing: str
    found: bool
    winners: str
    expected: str
    random: str
    others: str
    ratio: str
    q: str
    p: str
    p_independent: str
    also: str


def motif_section(study: MotifStudy) -> str:
    """The section of a page on motifs, as HTML that may be trusted: all that users write is escaped.

    It holds places for the plots of `motif_plots`, by their keys, and its own style; colours are those
    of the page's style sheet.
    """
    return filled("motifs.html.j2", _words(study))


def motif_plots(study: MotifStudy) -> tuple[Plot, ...]:
    """The plots that `motif_section` has places for."""
    plots = (places_plot(study), enrichment_plot(study))
    return tuple(plot for plot in plots if plot is not None)


def write_motifs(study: MotifStudy, path: str | Path) -> Path:
    """Write a page on motifs alone, that opens anywhere; returns where it is.

    Raises OutputError where it cannot be written.
    """
    from .html import write_atomically

    words = {"runs": [run.run for run in study.runs], "section": motif_section(study)}
    text = filled_page("motifs_page.html.j2", words, motif_plots(study))
    path = Path(path)
    write_atomically(path, text)
    return path


def print_motifs(study: MotifStudy, console: Console) -> None:
    """Print what was compared, the surest motifs, and what to keep in mind."""
    words = _words(study)
    console.print(Text(f"Motifs of {', '.join(run.run for run in study.runs)}", style="bold"))
    console.print(Text(words["compared"]))
    ways = {f"{run.strategy}, motif seeds {'on' if run.seeds == 'motifs' else 'off'}" for run in study.runs}
    console.print(Text(f"Strategies: {'; '.join(sorted(ways))}"))
    console.print(Text(words["verdict"], style="bold"))
    console.print()
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("motif", overflow="fold", ratio=1, min_width=24)
    for heading in ("winners", "chance", "others", "q", "p"):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in words["lines"][:_SHOWN]:
        cells = (line.winners, line.expected, line.others, line.q, line.p)
        table.add_row(line.name, *cells, style="bold" if line.found else "")
    console.print(table)
    for note in (
        "chance: " + words["chance"],
        "others: candidates that were trained and did not win.",
        *study.notes,
    ):
        console.print(Text(note, style="dim"))


def places_plot(study: MotifStudy) -> Plot | None:
    """Where each class stands in winners, less where it stands in random genomes."""
    places = study.places
    difference = 100 * (places.winners - places.random)
    rows = sorted(range(len(places.classes)), key=lambda row: _class_order(places.classes[row]), reverse=True)
    rows = [row for row in rows if max(places.winners[row].max(), places.random[row].max()) >= 0.005]
    if not rows:
        return None
    count = places.winners.shape[1]
    across = [f"{place + 1}" if places.layers else f"{place + 1}/{count}" for place in range(count)]
    most = max(1.0, float(abs(difference[rows]).max()))
    trace = {
        "type": "heatmap",
        "x": across,
        "y": [places.classes[row] for row in rows],
        "z": [[round(float(v), 2) for v in difference[row]] for row in rows],
        "customdata": [
            [
                [round(100 * float(places.winners[row][i]), 1), round(100 * float(places.random[row][i]), 1)]
                for i in range(count)
            ]
            for row in rows
        ],
        "zmin": -most,
        "zmax": most,
        "xgap": 2,
        "ygap": 2,
        "colorscale": [[0, "--baseline"], [0.5, "--card"], [1, "--front"]],
        "colorbar": {"thickness": 10, "outlinewidth": 0},
        "hovertemplate": "%{y} at %{x}: %{customdata[0]}% of winners’ layers, "
        "%{customdata[1]}% of random ones<extra></extra>",
    }
    title = "layer" if places.layers else "part of the depth"
    layout = {
        "xaxis": {"title": {"text": title}, "type": "category", "showgrid": False},
        "yaxis": {"type": "category", "showgrid": False, "dtick": 1},
    }
    caption = (
        "Classes by place: share of the winners’ layers less share of random genomes’ layers, in percentage "
        "points. No descent is taken into account here."
    )
    return Plot("motif-places", caption, [trace], layout)


def enrichment_plot(study: MotifStudy) -> Plot | None:
    """The surest motifs by how much more, or less, often winners hold them than drift gives."""
    chosen = list(study.motifs[:_BARS])[::-1]
    if not chosen:
        return None
    ratios = [math.log2(motif.ratio) for motif in chosen]
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": [_short(motif.pattern.name) for motif in chosen],
        "x": [round(ratio, 4) for ratio in ratios],
        "text": [f"q {_probability(motif.q)}" for motif in chosen],
        "textposition": "auto",
        "insidetextanchor": "start",
        "textfont": {"size": 11},
        "constraintext": "none",
        "marker": {"color": [_colour(motif) for motif in chosen]},
        "hovertext": [_hover(motif) for motif in chosen],
        "hoverinfo": "text",
        "showlegend": False,
    }
    ends = range(math.floor(min(0.0, *ratios)) - 1, math.ceil(max(0.0, *ratios)) + 2)
    marked = [end for end in ends if end % (1 if len(ends) <= 6 else 2) == 0]
    layout = {
        "xaxis": {
            "title": {"text": "how often, against chance"},
            "range": [ends[0], ends[-1]],
            "tickvals": marked,
            "ticktext": [f"×{2**end}" if end >= 0 else f"÷{2**-end}" for end in marked],
            "tickangle": 0,
        },
        "yaxis": {"type": "category", "showgrid": False, "tickfont": {"size": 11}},
        "bargap": 0.3,
    }
    caption = (
        "The surest motifs: their share of the winners against that by chance, on a doubling scale. "
        f"Those with q at most {FALSE_DISCOVERY:g} are coloured."
    )
    return Plot("motif-enrichment", caption, [trace], layout)


def _words(study: MotifStudy) -> dict[str, Any]:
    """Everything the template names."""
    found = study.found(FALSE_DISCOVERY)
    lines = [_line(motif, study.depth) for motif in _listed(study)]
    return {
        "compared": _compared(study),
        "chance": _chance(study),
        "verdict": _verdict(study, found),
        "lines": lines,
        "any_found": bool(found),
        "notes": study.notes,
        "strategies": "; ".join(f"{run.run} by {run.strategy}, seeds {run.seeds}" for run in study.runs),
        "plots": motif_plots(study),
        "tested": study.tested,
        "threshold": f"{FALSE_DISCOVERY:.0%}",
    }


def _listed(study: MotifStudy) -> Sequence[Motif]:
    """All that were found, and others for company."""
    return study.motifs[: max(_SHOWN, len(study.found(FALSE_DISCOVERY)))]


def _compared(study: MotifStudy) -> str:
    founders = sum(run.founders for run in study.runs)
    runs = "" if len(study.runs) == 1 else f" of {len(study.runs)} runs"
    descent = f", descended from {plural(founders, 'founder')}" if founders < study.winners else ""
    worth = (
        f" and worth {study.effective:.1f} independent genomes"
        if study.effective < study.winners - 0.05
        else ""
    )
    return f"{plural(study.winners, 'winner')}{runs} ({WINNERS[study.rule]}){descent}{worth}."


def _chance(study: MotifStudy) -> str:
    numbers = {f"{run.background:,}" for run in study.runs}
    genomes = " to ".join(sorted(numbers, key=len)[:: max(1, len(numbers) - 1)])
    each = " for each run" if len(study.runs) > 1 else ""
    constrained = any(run.drawn > run.background for run in study.runs)
    kept = " that keep its static constraints" if constrained else ""
    text = f"{genomes} random genomes of the run’s space{kept}{each}"
    rounds = [run.replicates for run in study.runs if run.replicates]
    if not rounds:
        return f"the share of {text}."
    times = f"{min(rounds)}" if len(set(rounds)) == 1 else f"{min(rounds)} to {max(rounds)}"
    return (
        f"the share if nothing were selected: founders drawn from {text}, "
        f"varied down the run’s own pedigree {times} times."
    )


def _verdict(study: MotifStudy, found: Sequence[Motif]) -> str:
    if not study.tested:
        return "No pattern is of a frequency that could be tested."
    if not found:
        stand = f"None of {study.tested:,} patterns tested stands"
    else:
        number = plural(len(found), "motif")
        stand = f"{number} of {study.tested:,} patterns tested {'stands' if len(found) == 1 else 'stand'}"
    return f"{stand} out from chance (q at most {FALSE_DISCOVERY:g})."


def _line(motif: Motif, depth: int) -> MotifLine:
    return MotifLine(
        name=motif.pattern.name,
        drawing=strip(motif.pattern, depth),
        found=motif.q <= FALSE_DISCOVERY,
        winners=f"{motif.held}/{motif.winners}",
        expected=_percent(motif.expected),
        random=_percent(motif.random),
        others=_percent(motif.others),
        ratio=f"× {motif.ratio:.2g}" if motif.enriched else f"÷ {1 / motif.ratio:.2g}",
        q=_probability(motif.q),
        p=_probability(motif.p),
        p_independent=_probability(motif.p_independent),
        also=_also(motif),
    )


def _also(motif: Motif) -> str:
    names = [pattern.name for pattern in motif.also]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    told = "; ".join(names[:3]) + more
    return told and ("and by the same winners: " if motif.held else "lacking as well: ") + told


def _hover(motif: Motif) -> str:
    return (
        f"<b>{escape(motif.pattern.name)}</b><br>{motif.held} of {motif.winners} winners, "
        f"{_percent(motif.expected)} by chance<br>q {_probability(motif.q)}, p {_probability(motif.p)}"
    )


def _colour(motif: Motif) -> str:
    if motif.q > FALSE_DISCOVERY:
        return "--lower"
    return "--front" if motif.enriched else "--baseline"


def _percent(share: float) -> str:
    if not math.isfinite(share):
        return "–"
    return f"{100 * share:.0f}%" if share >= 0.1 or share == 0 else f"{100 * share:.1f}%"


def _probability(p: float) -> str:
    if p >= 0.1:
        return f"{p:.2f}"
    return f"{p:.3f}" if p >= 0.001 else f"{p:.0e}".replace("e-0", "e-")


def _short(name: str, most: int = 44) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _class_order(token: str) -> tuple[int, bool, str]:
    mixing = mixing_of(token)
    kind = mixing if mixing in _ORDER else mixing.split()[-1]
    return _ORDER.index(kind), token.startswith("Diff"), token
