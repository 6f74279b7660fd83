"""A validation as tables in a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..studies.retrained import Comparison, Retrained, Validation
from .measures import heading, shown
from .quantities import MISSING, amount, plural
from .sections.retrained import better_than_all, difference, mean_with_error, progress

_STYLES = {"better": "green", "worse": "red", "tie": "dim"}


def print_validation(validation: Validation, console: Console) -> None:
    """Print what retraining has shown: the figures, the differences, the hit rate.

    Baselines go by letters, which are explained below the first table.
    """
    title = f"Trained again from scratch: {validation.budget}, {plural(validation.seeds, 'seed')} each"
    console.print(Text(title, style="bold"))
    if missing := progress(validation):
        console.print(Text(f"{missing[0].upper()}{missing[1:]}.", style="yellow"))
    marks = {each.index: chr(ord("a") + place) for place, each in enumerate(validation.baselines)}
    console.print(_figures(validation, marks))
    notes = ["test and validation in bits per byte; ± is one standard error over seeds."]
    if marks:
        notes.append("; ".join(f"{marks[each.index]} {each.label}" for each in validation.baselines) + ".")
    for note in notes:
        console.print(Text(note, style="dim"))
    console.print()
    _print_differences(validation, marks, console)
    _print_hit_rates(validation, marks, console)


def _figures(validation: Validation, marks: dict[int, str]) -> Table:
    """Each architecture's figures, and what became of it among the others."""
    others = [o for o in shown(validation.objectives) if o.name != "quality"]
    short = {each.index: marks.get(each.index, each.label) for each in validation.architectures}
    table = _table("", "test", "validation", *map(heading, others))
    table.add_column("front", no_wrap=True)
    table.add_column("dominated by", overflow="fold")
    for each in validation.architectures:
        table.add_row(
            short[each.index],
            mean_with_error(each.test),
            mean_with_error(each.valid),
            *(amount({**each.figures, **each.means}.get(o.name), o.unit) for o in others),
            _place(each),
            " ".join(short[index] for index in each.dominated_by),
            style="cyan" if each.is_baseline else "bold",
        )
    return table


def _place(each: Retrained) -> str:
    """What became of a member of the front; a baseline has no place on it."""
    if each.is_baseline:
        return ""
    if not each.means:
        return "failed" if each.rows else "to come"
    return "stays" if each.stays else "leaves"


def _print_differences(validation: Validation, marks: dict[int, str], console: Console) -> None:
    if not validation.comparisons:
        return
    console.print(Text("Differences in test bits per byte, by seed; below 0 is better", style="bold"))
    table = _table("", "difference", "95 % interval", "pairs")
    table.add_column("verdict", no_wrap=True)
    for name in ("cache", "parameters"):
        table.add_column(name, justify="right")
    for member in validation.members:
        for baseline in validation.baselines:
            compared = validation.comparison(member.index, baseline.index)
            table.add_row(f"{member.label} less {marks[baseline.index]}", *_difference(compared))
    console.print(table)
    notes = [
        "A tie: the interval holds 0, and the truth may lie anywhere in it. Cache and parameters: the "
        "member's, as shares of the baseline's.",
        better_than_all(validation),
    ]
    for note in notes:
        console.print(Text(note, style="dim"))
    console.print()


def _difference(compared: Comparison) -> list[Text | str]:
    mean, within = difference(compared.difference)
    cache = next((share for name, share in compared.shares.items() if name.startswith("cache")), None)
    return [
        mean,
        within or MISSING,
        str(compared.difference.n),
        Text(compared.verdict, style=_STYLES.get(compared.verdict, "")),
        *(_share(share) for share in (cache, compared.shares.get("parameters"))),
    ]


def _share(share: float | None) -> str:
    if share is None:
        return MISSING
    return f"{100 * share:.3g} %" if share < 10 else f"× {share:,.0f}"


def _print_hit_rates(validation: Validation, marks: dict[int, str], console: Console) -> None:
    rates = [rate for rate in validation.hit_rates if rate.population]
    rates.sort(key=lambda rate: marks.get(rate.baseline, ""))
    if not rates:
        return
    population = plural(rates[0].population, "candidate")
    console.print(Text(f"The search's final population ({population}), as searched", style="bold"))
    table = _table("", "dominate it", *(f"better in {heading(o)}" for o in validation.objectives))
    for rate in rates:
        better = [f"{rate.better[o.name] / rate.population:.0%}" for o in validation.objectives]
        table.add_row(marks.get(rate.baseline, f"#{rate.baseline}"), f"{rate.share:.0%}", *better)
    console.print(table)


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(headings[0], overflow="fold")
    for each in headings[1:]:
        table.add_column(each, justify="right", no_wrap=True)
    return table
