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
    """Print what retraining has shown: the figures, the differences, the hit rate."""
    title = f"Trained again from scratch: {validation.budget}, {plural(validation.seeds, 'seed')} each"
    console.print(Text(title, style="bold"))
    if missing := progress(validation):
        console.print(Text(f"{missing[0].upper()}{missing[1:]}.", style="yellow"))
    console.print(_figures(validation))
    console.print(
        Text("Bits per byte on test and validation text; ± is one standard error over seeds.", "dim")
    )
    console.print()
    _print_differences(validation, console)
    _print_hit_rates(validation, console)


def _figures(validation: Validation) -> Table:
    labels = {each.index: each.label for each in validation.architectures}
    others = [o for o in shown(validation.objectives) if o.name != "quality"]
    table = _table("", "test", "validation", *map(heading, others))
    table.add_column("front")
    for each in validation.architectures:
        figures = [amount({**each.figures, **each.means}.get(o.name), o.unit) for o in others]
        style = "cyan" if each.is_baseline else "bold"
        test, valid = mean_with_error(each.test), mean_with_error(each.valid)
        table.add_row(each.label, test, valid, *figures, _place(each, labels), style=style)
    return table


def _place(each: Retrained, labels: dict[int, str]) -> str:
    """What became of a member of the front; a baseline has no place on it."""
    if not each.means:
        return "" if each.is_baseline else "no training succeeded"
    by = [labels[index] for index in each.dominated_by]
    if each.is_baseline:
        return ""
    stays = "stays" if each.stays else "leaves"
    return f"{stays}; dominated by {', '.join(by)}" if by else stays


def _print_differences(validation: Validation, console: Console) -> None:
    if not validation.comparisons:
        return
    console.print(Text("Differences in test bits per byte, by seed; less than 0 is better", style="bold"))
    table = _table("", "difference", "95 % interval", "pairs")
    for name in ("verdict", "cache", "parameters"):
        table.add_column(name, justify="right" if name != "verdict" else "left")
    for member in validation.members:
        table.add_row(member.label, style="bold")
        for baseline in validation.baselines:
            compared = validation.comparison(member.index, baseline.index)
            table.add_row(f"  against {baseline.label}", *_difference(compared))
    console.print(table)
    notes = [
        "A tie: the interval holds 0, and the truth may lie anywhere in it.",
        "Cache and parameters: as shares of the baseline's.",
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
    return MISSING if share is None else f"{100 * share:.3g} %"


def _print_hit_rates(validation: Validation, console: Console) -> None:
    rates = [rate for rate in validation.hit_rates if rate.population]
    if not rates:
        return
    population = plural(rates[0].population, "candidate")
    console.print(Text(f"The search's final population ({population}) at the rung it reached", style="bold"))
    labels = {each.index: each.label for each in validation.architectures}
    table = _table("", "dominate", *(f"better in {heading(o)}" for o in validation.objectives))
    for rate in rates:
        better = [f"{rate.better[o.name] / rate.population:.0%}" for o in validation.objectives]
        table.add_row(labels.get(rate.baseline, f"#{rate.baseline}"), f"{rate.share:.0%}", *better)
    console.print(table)


def _table(first: str, *headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(first, overflow="fold")
    for each in headings:
        table.add_column(each, justify="right", overflow="fold")
    return table
