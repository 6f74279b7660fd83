"""`madstar graph edit`: a graph with a program of edits made in it, checked, written, undone."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import EditError
from .addresses import Inputs, Shrunk, opened
from .app import command
from .document import print_document
from .graph import graphs
from .options import AsJson

if TYPE_CHECKING:
    from ..graph.editing import Edited
    from ..graph.editing.reading import Edit
    from ..graph.model import Graph

_FILES = (".json", ".json.gz")


@command("edit", within=graphs, context_settings={"ignore_unknown_options": True})
def edit(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="G [PROGRAM.json]",
            help="A graph file, or what madstar trace takes; then a program, if there is one.",
        ),
    ],
    edits: Annotated[
        list[str] | None, typer.Option("--edit", metavar="JSON", help="An edit; once for each, in order.")
    ] = None,
    rewrite: Annotated[
        str, typer.Option("--rewrite", metavar="NAME", help="A ready-made rewrite; its options follow it.")
    ] = "",
    select: Annotated[
        str, typer.Option("--select", metavar="PATTERN", help="Where, for --rewrite or --set.")
    ] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SLOT=VALUE", help="An attribute to set where --select says."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the edited graph there.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be touched; write nothing.")
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Make G again without the last of its edits, from its original.")
    ] = False,
    original: Annotated[
        Path | None, typer.Option("--original", help="With --undo: the original, if it is not where G says.")
    ] = None,
    as_json: AsJson = False,
    inputs: Inputs = None,
    shrunk: Shrunk = False,
) -> None:
    """Edit a graph by a program or single edits, each of which is checked.

    Programs are described in docs/edit-programs.md. G itself is never changed.
    """
    address, programs, options = _parted(words)
    wanted = bool(programs or edits or rewrite or settings)
    if undo == wanted:
        raise EditError("give either --undo, or what to do: a program, --edit, --rewrite or --set")
    if options and not rewrite:
        raise EditError(
            f"there is no option --{next(iter(options))}; options of rewrites go with --rewrite NAME"
        )
    if original is not None and not undo:
        raise EditError("--original goes with --undo")
    if out is None and not dry_run:
        raise EditError(
            "say where the edited graph goes with --out, or --dry-run to only see what is touched"
        )
    if out is not None and not str(out).endswith(_FILES):
        raise EditError(f"--out {out}: give a name that ends in .graph.json or .json.gz")
    if out is not None and Path(address).exists() and out.exists() and os.path.samefile(address, out):
        raise EditError(
            f"--out {out} is the graph itself, without which edits cannot be undone; give another"
        )
    last = ""
    if undo:
        given, result, last = _undone(address, original)
    else:
        # What can be read is read before a model is traced.
        program = _program(programs, edits or [], rewrite, select, settings or [], options)
        given = opened(address, inputs, shrunk)
        from ..graph.editing import edit as edited

        result = edited(given, address=address).apply(program)
    _finish(given, result, last, None if dry_run else out, as_json)


def _parted(words: list[str]) -> tuple[str, list[Path], dict[str, Any]]:
    """The graph, the programs, and the options that belong to a rewrite."""
    plain: list[str] = []
    options: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            plain.append(word)
            continue
        name, sign, value = word[2:].partition("=")
        if not sign:
            value = rest.pop(0) if rest and not rest[0].startswith("--") else "true"
        options[name.replace("-", "_")] = value
    if not plain:
        raise EditError("name the graph to edit first")
    return plain[0], [Path(each) for each in plain[1:]], options


def _program(
    programs: list[Path],
    edits: list[str],
    rewrite: str,
    select: str,
    settings: list[str],
    options: dict[str, Any],
) -> list[Edit]:
    from ..graph.editing.reading import load_program, parsed, read_program

    found = [edit for path in programs for edit in load_program(path)]
    for text in edits:
        data = parsed(text, "--edit")
        found += read_program(data if isinstance(data, list) else [data], "--edit")
    if settings:
        if not select:
            raise EditError("--set needs --select: which operations")
        pairs = {}
        for each in settings:
            slot, sign, value = each.partition("=")
            if not sign or not slot:
                raise EditError(f"--set {each}: write SLOT=VALUE, such as is_causal=false")
            pairs[slot] = _data(value)
        found += read_program([{"edit": "set_attr", "select": select, "set": pairs}], "--set")
    if rewrite:
        entry = {"rewrite": rewrite, **({"select": select} if select else {}), **_options(rewrite, options)}
        found += read_program([entry], "--rewrite")
    if select and not rewrite and not settings:
        raise EditError("--select goes with --rewrite or --set")
    return found


def _options(rewrite: str, options: dict[str, str]) -> dict[str, Any]:
    """The options of a rewrite with the types that it wants."""
    from ..graph.editing.rewrites import REWRITES

    known = fields(REWRITES[rewrite]) if rewrite in REWRITES else ()
    kinds = {each.name.rstrip("_"): str(each.type) for each in known}
    return {name: text if kinds.get(name) == "str" else _data(text) for name, text in options.items()}


def _data(text: str) -> Any:
    """A value as JSON, else as text."""
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _undone(address: str, original: Path | None) -> tuple[Graph, Edited, str]:
    from ..graph.editing import undone
    from ..graph.editing.applying import last_edits
    from ..graph.json_format import load

    given = opened(address, None, False)
    folder = Path(address).parent
    history = last_edits(given)
    said, edit = str(history["original"].get("file", "")), history["edits"][-1]
    if original is None:
        # Only files are opened that are graphs; nothing is traced on a file's word.
        if not said.endswith(_FILES) or said.startswith("hf:"):
            raise EditError(
                f"{address} was made from {said or 'a graph that it does not name'}; trace that "
                f"into a file and "
                "give it with --original"
            )
        original = folder / said
        if not original.is_file():
            raise EditError(
                f"{address} was made from {original}, which is not there; give it with --original"
            )
    name = str(edit.get("edit", edit.get("rewrite", ""))) if isinstance(edit, dict) else ""
    return given, undone(given, load(original), folder, str(original)), name


def _finish(given: Graph, result: Edited, undone: str, out: Path | None, as_json: bool) -> None:
    from ..graph.diff import diff
    from ..graph.json_format import save

    graph = result.written(None if out is None else out.resolve().parent)
    difference = diff(given, graph)
    if out is not None:
        save(graph, out)
    if as_json:
        made = [{"edit": dict(step.edit), "paths": list(step.paths)} for step in result.steps]
        print_document({"edits": made, **difference.to_dict(), "out": None if out is None else str(out)})
        return
    if undone:
        typer.echo(f"undone: {undone}")
    for number, step in enumerate(() if undone else result.steps, 1):
        name = step.edit.get("edit", step.edit.get("rewrite"))
        typer.echo(f"{number} {name}: {_packed(step.paths)}")
    typer.echo(difference.text(), nl=False)
    typer.echo("nothing was written" if out is None else f"written to {out}")


def _packed(paths: tuple[str, ...]) -> str:
    from ..graph.runs_of_paths import packed

    written = [each if isinstance(each, str) else each["path"] for each in packed(list(dict.fromkeys(paths)))]
    shown = ", ".join(written[:12]) + (f", … {len(written) - 12} more" if len(written) > 12 else "")
    return f"{shown} (x{len(paths)})" if len(paths) > 1 else shown
