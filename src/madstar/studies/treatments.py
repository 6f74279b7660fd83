"""Which runs may be compared, and what is compared: treatments, and all that must be equal between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigurationError
from ..search import SearchSettings
from ..search.strategies import STRATEGIES

# What a study may compare. Everything else, whatever is added to the settings, must be equal.
TREATMENT = (
    *("strategy", "seeds", "population", "elitism", "crossover", "mutation", "below", "cuts", "mode"),
    *("promote", "reevaluate", "knowledge", "unguided"),
)
SEED = "seed"
# What a strategy has no use for is no part of its treatment.
_UNUSED = {"random": frozenset({"population", "elitism", "crossover", "mutation", "below", "cuts"})}
_FLAGS = {("seeds", "none"): "no seeds", ("seeds", "motifs"): "seeds from motifs"}


@dataclass(frozen=True)
class Treatment:
    """How candidates are proposed and promoted: the settings of `TREATMENT`, and a label that says
    in what this one differs from those it is compared with.
    """

    label: str
    settings: tuple[tuple[str, Any], ...]


def treatments(settings: Sequence[SearchSettings]) -> list[Treatment]:
    """The treatment of each run, in order; equal ones are equal values."""
    used = [_used(flat(each)) for each in settings]
    names = list(dict.fromkeys(name for each in used for name in each))
    # A setting that some have no use for differs only if it differs among those that have.
    differing = [n for n in names if len({repr(each[n]) for each in used if n in each}) > 1]
    shown = [name for name in differing if name != "strategy"]
    return [
        Treatment(
            ", ".join([each["strategy"], *(_phrase(name, each[name]) for name in shown if name in each)]),
            tuple(each.items()),
        )
        for each in used
    ]


def _used(settings: Mapping[str, Any]) -> dict[str, Any]:
    unused = _UNUSED.get(settings["strategy"], frozenset())
    if settings["strategy"] in STRATEGIES:  # those guided by a model come from elsewhere
        unused |= {"knowledge", "unguided"}
    return {n: settings[n] for n in (*TREATMENT, "workers") if n in settings and n not in unused}


def check_comparable(
    names: Sequence[str], settings: Sequence[SearchSettings], configs: Sequence[Mapping[str, Any]]
) -> None:
    """Raise ConfigurationError, naming the field, both values and both runs, where runs differ in more
    than treatment and seed. `configs` are the runs' own, which hold the fingerprints of their texts.
    """
    first = flat(settings[0])
    texts: dict[int, tuple[str, str]] = {}
    for name, chosen, config in zip(names, settings, configs, strict=True):
        other = flat(chosen)
        for field in common_fields(settings[0]):
            if other[field] != first[field]:
                raise _incomparable(field, (names[0], first[field]), (name, other[field]))
        # The split follows from text and seed, so equal seeds must have given equal data.
        fingerprint = str(config.get("task", {}).get("fingerprint", ""))
        known, text = texts.setdefault(chosen.seed, (name, fingerprint))
        if text != fingerprint:
            raise _incomparable("the text of data", (known, text[:12]), (name, fingerprint[:12]))


def common_fields(settings: SearchSettings) -> list[str]:
    """The settings, those within others with a dot, that must be equal to those of a run to compare."""
    free = {*TREATMENT, SEED}
    if settings.generations is not None:
        free.discard("population")  # a generation of more candidates costs more
    if settings.minutes is None:
        free.add("workers")  # a minute of more workers costs more, a candidate does not
    return [name for name in flat(settings) if name not in free]


def flat(settings: SearchSettings) -> dict[str, Any]:
    """Settings as plain data, those within others with a dot: "training.length"."""
    found: dict[str, Any] = {}
    for name, value in settings.model_dump(mode="json").items():
        if isinstance(value, dict):
            found |= {f"{name}.{inner}": part for inner, part in value.items()}
        else:
            found[name] = value
    return found


def told(value: Any) -> str:
    """A setting's value in words."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _phrase(name: str, value: Any) -> str:
    return _FLAGS.get((name, value), f"{name} {told(value)}")


def _incomparable(field: str, one: tuple[str, Any], other: tuple[str, Any]) -> ConfigurationError:
    return ConfigurationError(
        f"runs {one[0]} and {other[0]} differ in more than their treatment: {field} is {told(one[1])} in "
        f"{one[0]} and {told(other[1])} in {other[0]}; compare runs of equal data, space, rungs and budget"
    )
