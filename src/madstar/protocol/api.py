"""`madstar.benchmark`: the one call that scores an architecture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import ConfigurationError, LayerError
from ..liv.layers.choice import LayerChoice
from ..plugins import absolute, reference_to
from ..tasks.mechanistic import PROTOCOL_TASKS, Setting, load_settings
from ..tasks.mechanistic.layout import read_layout
from .architecture import Architecture, GenomeStack, LayerStack, MakeModel, ModelFunction
from .budgets import BenchmarkBudget, find_budget
from .plan import Plan, level_settings
from .protocols import SOUND, Protocol, find_protocol
from .scores import Scores
from .session import BenchmarkWatcher, Resources, run_plan


def benchmark(
    layers: Sequence[str | LayerChoice] | None = None,
    *,
    make_model_fn: MakeModel | str | None = None,
    model_id: str | None = None,
    genome: str | None = None,
    protocol: str = "sound",
    budget: str = "quick",
    tasks: Sequence[str] | None = None,
    settings: str | Path | Sequence[Setting] | None = None,
    data: str | Path | None = None,
    seeds: int | None = None,
    dim: int = 128,
    iso_state: bool = False,
    workers: int = 2,
    device: str = "auto",
    time_limit: float = 7200.0,
    home: str | Path = "runs",
    name: str | None = None,
    watcher: BenchmarkWatcher | None = None,
) -> Scores:
    """Train and score an architecture on MAD's tasks (arXiv 2403.17844).

    The architecture is one of: `layers` by name (with MAD's settings, or with those of equal state if
    `iso_state`) at width `dim`; a `genome`; or `make_model_fn`, called as (task=..., vocab_size=...,
    max_length=...) and named by `model_id`, as mad-lab's users have it. A function that stands in a file
    is trained in `workers` processes (that file is then loaded there: keep what it runs under
    `if __name__ == "__main__"`), any other in this process.

    `settings` are the user's own, or a TOML file of them; `data` a directory in mad-lab's benchmark
    layout, whose settings are then all that is trained on. What an earlier call has trained is not trained
    again. Raises ConfigurationError, LayerError, TaskError, ArchiveError.
    """
    chosen, how = find_budget(budget), find_protocol(protocol)
    plan = make_plan(
        find_architecture(
            layers,
            make_model_fn,
            model_id=model_id,
            genome=genome,
            dim=dim,
            iso_state=iso_state,
            protocol=how,
        ),
        how,
        chosen,
        tasks=tasks,
        settings=settings,
        data=data,
        seeds=seeds,
    )
    resources = Resources(workers=workers, device=find_device(device), time_limit=time_limit)
    return run_plan(plan, Path(home), resources=resources, watcher=watcher, name=name)


def find_architecture(
    layers: Sequence[str | LayerChoice] | None = None,
    make_model_fn: MakeModel | str | None = None,
    *,
    model_id: str | None = None,
    genome: str | None = None,
    dim: int = 128,
    iso_state: bool = False,
    protocol: Protocol = SOUND,
) -> Architecture:
    """The one architecture that is given; under the mad-lab protocol its layers do as mad-lab's do.

    Raises ConfigurationError for none, or several.
    """
    kinds = {"layers": layers, "a genome": genome, "make_model_fn": make_model_fn}
    given = [name for name, value in kinds.items() if value]
    if len(given) != 1:
        said = " and ".join(given) or "nothing"
        raise ConfigurationError(f"{said} given: name an architecture by layers, a genome, or make_model_fn")
    if layers:
        return LayerStack.of(
            layers,
            dim,
            iso=iso_state,
            compatible=protocol.compatible,
            embedding_std=protocol.embedding_std,
        )
    if genome:
        return GenomeStack.of(genome, dim)
    if isinstance(make_model_fn, str):
        return ModelFunction(model_id or make_model_fn.rpartition(":")[2], absolute(make_model_fn))
    assert make_model_fn is not None
    if not callable(make_model_fn):
        raise LayerError("make_model_fn is no function: it is called as (task, vocab_size, max_length)")
    found = reference_to(make_model_fn)
    own = model_id or str(getattr(make_model_fn, "__name__", "model"))
    return ModelFunction(own, found) if found else ModelFunction(own, "", make_model_fn)


def make_plan(
    architecture: Architecture,
    protocol: Protocol,
    budget: BenchmarkBudget,
    *,
    tasks: Sequence[str] | None = None,
    settings: str | Path | Sequence[Setting] | None = None,
    data: str | Path | None = None,
    seeds: int | None = None,
) -> Plan:
    """What is to be trained. Raises ConfigurationError, TaskError."""
    stored: tuple[tuple[str, str], ...] = ()
    if data is not None:
        if settings is not None:
            raise ConfigurationError("settings and data are both given: data bring their own settings")
        found = [each for each in read_layout(data) if tasks is None or each.setting.task in tasks]
        if not found:
            raise ConfigurationError(f"data {data} hold no setting of {', '.join(tasks or ())}")
        chosen = tuple(each.setting for each in found)
        stored = tuple((each.setting.key, str(each.directory.resolve())) for each in found)
    elif isinstance(settings, str | Path):
        chosen = load_settings(settings).settings
    elif settings is not None:
        chosen = tuple(settings)
    else:
        chosen = level_settings(tuple(tasks or PROTOCOL_TASKS), budget)
    own = settings is not None or data is not None
    wanted = seeds if seeds is not None else (budget.seeds or protocol.seeds)
    return Plan(architecture, protocol, budget, chosen, wanted, stored, own)


def find_device(name: str) -> str:
    """The device of that name; "auto" is a GPU where there is one. Raises ConfigurationError."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name not in ("cpu", "cuda"):
        raise ConfigurationError(f"unknown device {name!r}: choose auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError("no GPU can be used here: choose --device cpu")
    return name
