"""`madstar zoo`: the models of transformers and timm as a corpus of graphs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigurationError, GraphError
from .app import command, group
from .document import print_document
from .options import AsJson
from .progress import Mark, shown

if TYPE_CHECKING:
    from ..zoo.corpus import Progress, Task

_zoo = group("zoo", "Models of transformers and timm as a corpus of graphs.")


@command("trace", within=_zoo)
def trace(
    names: Annotated[
        list[str] | None, typer.Argument(help="Types of transformers, hf: or timm: addresses.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All types, and timm models.")] = False,
    shrunk: Annotated[
        bool, typer.Option("--shrunk", help="Only the shallow models [default: those and the full ones].")
    ] = False,
    timm: Annotated[
        int | None, typer.Option(help="How many timm models, drawn at random [default: with --all, all].")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="The corpus: a folder, new or begun.")] = Path("museum"),
    workers: Annotated[int, typer.Option(help="Processes.")] = 2,
    time_limit: Annotated[float, typer.Option(help="Seconds for one model.")] = 300.0,
    memory_limit: Annotated[float, typer.Option(help="GiB for one model.")] = 4.0,
    retry: Annotated[bool, typer.Option("--retry", help="Try again what has failed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Trace many models into a folder; what is there already is not done again."""
    for name, value in (("workers", workers), ("time-limit", time_limit), ("memory-limit", memory_limit)):
        if value <= 0:
            raise ConfigurationError(f"--{name} is {value:g}: give more than 0")
    if timm is not None and timm < 0:
        raise ConfigurationError(f"--timm is {timm}: give 0 or more")
    from ..zoo.corpus import CorpusSettings, build_corpus

    tasks = _tasks(names or [], everything, shrunk, timm)
    settings = CorpusSettings(out, workers, time_limit, int(memory_limit * 2**30), retry)
    try:
        with shown(_mark, _line, tells_left=True) as told:
            done = build_corpus(tasks, settings, told)
    except KeyboardInterrupt:
        again = f"the same command again, or see madstar zoo table {shlex.quote(str(out))}"
        typer.echo(f"\nInterrupted; every model that ended is kept. Go on with {again}", err=True)
        raise typer.Exit(130) from None
    traced = done.done - done.failed
    if as_json:
        found = {"folder": str(out), "models": done.total, "traced": traced, "failed": done.failed}
        print_document(found)
        return
    why = f", {done.failed:,} failed: madstar zoo table {shlex.quote(str(out))} says why"
    typer.echo(f"{traced:,} of {done.total:,} traced into {out}{why if done.failed else ''}")


@command("table", within=_zoo)
def table(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A corpus.")], as_json: AsJson = False
) -> None:
    """Say what a corpus holds, what could not be traced, and why."""
    from ..zoo.corpus import failures, read_index

    if not (folder / "index.jsonl").is_file():
        raise GraphError(f"{folder} is no corpus: it has no index.jsonl; madstar zoo trace makes one")
    rows = read_index(folder)
    failed = failures(rows)
    good = [row for row in rows if row["status"] == "ok"]
    if as_json:
        reasons = [{"status": status, "reason": said, "models": keys} for status, said, keys in failed]
        print_document({"models": len(rows), "traced": len(good), "failures": reasons, "rows": rows})
        return
    typer.echo(f"{len(good):,} of {len(rows):,} traced{_typical(good)}")
    if not failed:
        return
    from rich.console import Console
    from rich.table import Table

    from ..report.quantities import one_line

    why = Table("models", "status", "why", "which", box=None, pad_edge=False, header_style="bold")
    why.columns[0].justify = "right"
    for column in why.columns[2:]:
        column.overflow = "fold"
    for status, said, keys in failed:
        more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
        why.add_row(str(len(keys)), status, one_line(said), ", ".join(keys[:3]) + more)
    typer.echo()
    Console(markup=False, highlight=False).print(why)


@command("list", within=_zoo)
def list_models(
    timm: Annotated[bool, typer.Option("--timm", help="The models of timm instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the addresses: all types of transformers that can be traced, or all timm models."""
    from ..zoo.timm_models import timm_names
    from ..zoo.transformers_models import model_types

    found = [f"timm:{name}" for name in timm_names()] if timm else [f"hf:{name}" for name in model_types()]
    if as_json:
        print_document(found)
    else:
        typer.echo("\n".join(found))


def _tasks(names: list[str], everything: bool, shrunk: bool, timm: int | None) -> tuple[Task, ...]:
    if everything and names:
        raise ConfigurationError("--all and names: give one of them")
    if not everything and not names and not timm:
        raise ConfigurationError(
            "which models? give names, such as hf:llama timm:resnet18, or --timm N, or --all"
        )
    from ..zoo.corpus import museum

    sizes = ("shrunk",) if shrunk else ("full", "shrunk")
    if everything:
        return museum(sizes=sizes, timm=timm)
    found: tuple[Task, ...] = ()
    if names:
        found = museum(sizes=sizes, only=[_address(name) for name in names])
    if timm:
        drawn = museum(sizes=("full",), timm=timm)
        found += tuple(task for task in drawn if task.address.startswith("timm:"))
    return found


def _address(name: str) -> str:
    """The whole address of "llama" or "hf:llama"; what is unknown is told before anything begins."""
    from ..plugins import nearest

    address = name if ":" in name else f"hf:{name}"
    scheme, _, rest = address.partition(":")
    plain = rest.partition("?")[0]
    if scheme == "hf":
        if "/" in plain or plain.endswith(".json"):
            return address
        from ..zoo.transformers_models import model_types

        known = model_types()
    elif scheme == "timm":
        from ..zoo.timm_models import timm_names

        known, plain = timm_names(), plain.partition(".")[0]
    else:
        raise GraphError(f"{name!r} is not of the museum; give hf:TYPE, hf:./config.json or timm:NAME")
    if plain not in known:
        raise GraphError(f"{address}: no such model{nearest(plain, known)}; madstar zoo list shows all")
    return address


def _typical(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    from statistics import median

    from ..report.quantities import amount

    seconds = amount(median(row["seconds"] for row in rows), "s")
    nodes, folded = (median(row.get(key) or 0 for row in rows) for key in ("nodes", "folded_nodes"))
    whole = sum(row.get("share_touched") == 1 for row in rows)
    return (
        f", {whole:,} of them with all parameters touched; median {nodes:,.0f} nodes, {folded:,.0f} folded,"
        f" {seconds}"
    )


def _words(now: Progress) -> str:
    from ..report.quantities import left

    failed = f", {now.failed:,} failed" if now.failed else ""
    return f"{failed}{left(now.seconds_left) if now.done < now.total else ''}"


def _mark(now: Progress) -> Mark:
    return Mark(now.done, now.total, f"{now.last}{_words(now)}")


def _line(now: Progress) -> str:
    what = now.last or ("done before" if now.done else "begun")
    return f"[{now.done}/{now.total}] {what}{_words(now)}"
