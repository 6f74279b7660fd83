"""What benchmarks are made of: tasks with their settings, layers with their sizes and states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..liv.layers.catalogue import CATALOGUE, TOKENS
from ..liv.layers.choice import LayerChoice, short
from ..liv.stack import seeded
from ..protocol import BUDGETS
from ..protocol.budgets import EVERY
from ..tasks.mechanistic import Catalogue, Setting, Task, catalogue
from .quantities import MISSING, amount

WIDTH = 128
SHORT, LONG = 128, 1280
_LEVELS = tuple(budget.level for budget in BUDGETS.values() if budget.level != EVERY)


def task_document(task: Task) -> dict[str, Any]:
    """A task as JSON data, its settings with the levels that use them."""
    found = catalogue(task.name)
    levels = {level: {each.key for each in found.level(level)} for level in _LEVELS}
    return {
        "task": task.name,
        "summary": task.summary,
        "source": task.source,
        "backbone": task.backbone,
        "fields": dict(task.fields),
        "varied": list(task.varied),
        "settings": [
            {
                **each.to_dict(),
                "chance": task.chance(each),
                "levels": [level for level, keys in levels.items() if each.key in keys],
                "full": each in found.settings,
            }
            for each in _listed(found)
        ],
    }


def _listed(found: Catalogue) -> tuple[Setting, ...]:
    """All settings, then those that only a level has."""
    own = [each for level in _LEVELS for each in found.level(level) if each not in found.settings]
    return (*found.settings, *dict.fromkeys(own))


def print_tasks(tasks: Sequence[Task], console: Console) -> None:
    """Print the tasks, one block each: what it tests, where it is from, what its settings vary."""
    for task in tasks:
        found = catalogue(task.name)
        console.print(Text(task.name, style="bold"))
        counts = ", ".join(f"{level} {len(found.level(level))}" for level in _LEVELS)
        lines = {
            "tests": task.summary,
            "source": task.source,
            "backbone": task.backbone,
            "varied": ", ".join(task.varied) or MISSING,
            "settings": f"{len(found.settings)} ({counts})",
        }
        _print_lines({name: text for name, text in lines.items() if text}, console)
        console.print()
    console.print(Text("Settings of one: madstar tasks NAME", style="dim"))


def print_task(task: Task, console: Console) -> None:
    """Print a task's settings, by what each changes, and the levels that use it."""
    found = catalogue(task.name)
    baseline = found.settings[0]
    console.print(Text.assemble((task.name, "bold"), f"  {task.summary}"))
    _print_lines({"source": task.source, "backbone": task.backbone}, console)
    console.print()
    console.print(Text("Baseline", style="bold"))
    fields = {name: value for name, value in baseline.to_dict().items() if name not in ("task", "name")}
    _print_lines({name: _plain(value) for name, value in fields.items()}, console)
    console.print()
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("setting", overflow="fold")
    table.add_column("chance", justify="right")
    for level in (*_LEVELS, "full"):
        table.add_column(level)
    levels = {level: {each.key for each in found.level(level)} for level in _LEVELS}
    for each in _listed(found):
        marks = ["x" if each.key in keys else "" for keys in levels.values()]
        full = "x" if each in found.settings else ""
        table.add_row(each.name, f"{task.chance(each):.4f}", *marks, full)
    console.print(table)


@dataclass(frozen=True)
class LayerFacts:
    """A layer at width 128. States are numbers held for each sequence after so many tokens; None where

    a layer does not say. `settings` are MAD's, `iso` those that are other at equal state of 4,096 numbers,
    None where it has no fixed state.
    """

    name: str
    summary: str
    source: str
    mixes: str
    settings: Mapping[str, Any]
    iso: Mapping[str, Any] | None
    parameters: int
    state_short: int | None
    state_long: int | None

    @property
    def grows(self) -> bool | None:
        """Whether the state grows with the sequence; None where a layer does not say."""
        if self.state_short is None or self.state_long is None:
            return None
        return self.state_long > self.state_short

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        document = asdict(self)
        states = {str(SHORT): document.pop("state_short"), str(LONG): document.pop("state_long")}
        return {**document, "width": WIDTH, "state": states, "grows": self.grows}


def layer_facts(name: str) -> LayerFacts:
    """What is known of a layer by name, or of a user's own. Raises LayerError."""
    choice = LayerChoice.of(name)
    entry = CATALOGUE.get(name)
    layer = seeded(lambda: choice.build(WIDTH, LONG), 0)
    counted = getattr(layer, "state_elements", None)
    after = [int(counted(length)) if callable(counted) else None for length in (SHORT, LONG)]
    said = (type(layer).__doc__ or "").strip().splitlines() or [""]
    return LayerFacts(
        name=short(choice.name),
        summary=entry.summary if entry else said[0],
        source=f"arXiv {entry.source}" if entry else "",
        mixes=entry.mixes if entry else "",
        settings=dict(choice.settings),
        iso=None if entry is None or entry.iso is None else dict(entry.iso),
        parameters=sum(p.numel() for p in layer.parameters() if p.requires_grad),
        state_short=after[0],
        state_long=after[1],
    )


def print_layers(found: Sequence[LayerFacts], console: Console) -> None:
    """Print the layers, a line or two each: those that mix tokens, then the others."""
    own = [each for each in found if each.mixes not in (TOKENS, "channels")]
    groups = {
        "Layers that mix tokens": [each for each in found if each.mixes == TOKENS],
        "Layers that mix channels": [each for each in found if each.mixes == "channels"],
        "Other packages' layers": own,
    }
    for title, group in groups.items():
        if not group:
            continue
        console.print(Text(title, style="bold"))
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("", overflow="fold", ratio=1)
        for heading in ("parameters", f"state {SHORT}", f"{LONG:,}"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("grows", no_wrap=True)
        for each in group:
            first = Text(each.name, style="cyan")
            source = f" ({each.source})" if each.source else ""
            first.append(f"\n  {each.summary}{source}", style="dim")
            if settings := settings_words(each.settings):
                iso = f"; iso-state {settings_words(each.iso)}" if each.iso else ""
                first.append(f"\n  {settings}{iso}", style="dim")
            table.add_row(first, amount(each.parameters), *map(_count, _states(each)), _grows(each))
        console.print(table)
        console.print()
    for note in (
        f"Parameters at width {WIDTH}. State: numbers held for each sequence after so many tokens, beside "
        "the last few inputs of short convolutions.",
        "iso-state: what --iso-state changes, so that a fixed state holds 4,096 numbers.",
    ):
        console.print(Text(note, style="dim"))


def print_layer(facts: LayerFacts, console: Console) -> None:
    """Print all of one layer."""
    console.print(Text.assemble((facts.name, "bold"), f"  {facts.summary}"))
    short_state, long_state = _states(facts)
    iso = MISSING if facts.iso is None else settings_words(facts.iso) or "the same"
    lines = {
        "source": facts.source,
        "mixes": facts.mixes,
        "settings": settings_words(facts.settings) or MISSING,
        "iso-state settings": iso,
        "parameters": f"{facts.parameters:,} at width {WIDTH}",
        "state": f"{_count(short_state)} numbers after {SHORT} tokens, {_count(long_state)} after {LONG:,}",
        "grows": _grows(facts) or MISSING,
    }
    _print_lines({name: text for name, text in lines.items() if text}, console)


def settings_words(settings: Mapping[str, Any]) -> str:
    """ "heads 16, window 32"."""
    return ", ".join(f"{name} {_plain(value)}" for name, value in settings.items())


def _states(facts: LayerFacts) -> tuple[int | None, int | None]:
    return facts.state_short, facts.state_long


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _grows(facts: LayerFacts) -> str:
    return {None: "-", True: "yes", False: "no"}[facts.grows] if facts.state_long != 0 else ""


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value}"


def _print_lines(lines: Mapping[str, str], console: Console) -> None:
    grid = Table.grid(padding=(0, 2))
    for key, text in lines.items():
        grid.add_row(Text(f"  {key}", style="dim"), Text(text, overflow="fold"))
    console.print(grid)
