"""How much of each model is reached: the share of parameter tensors that its graph takes.

    python -m benchmarks.coverage [--size full] [--sample N] [--timm N] [--only TYPE ...] [--home DIR]
    python -m benchmarks.coverage --bare
    python -m benchmarks.coverage --summary

traces all types of the installed transformers that reach an AutoModel, from their default configurations,
made shallow (or at full size; or a seeded sample of them), and a seeded sample of timm's models, into a
corpus (`madstar zoo trace`), which is taken up where it stopped. What the corpus's index says is written to
benchmarks/results/coverage/, a line for each model, and summed up: how many are traced, how many of those
have 99 % of their parameter tensors taken, and all others with why.

`--deep` runs the types that stay below 99 % when shallow once more at full depth: a part that no input
reaches weighs more in a model that was cut. `--bare` tries the types whose default configuration
`madstar.zoo.defaults` changes as they are without that.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from madstar.errors import GraphError

FOLDER = Path(__file__).parent / "results" / "coverage"
HOME = Path("runs") / "museum"
ENOUGH = 0.99
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=("shrunk", "full"), default="shrunk", help="depth of the models")
    parser.add_argument("--sample", type=int, help="so many types, drawn with a seed, instead of all")
    parser.add_argument("--timm", type=int, default=0, help="so many models of timm, drawn with a seed")
    parser.add_argument("--only", nargs="*", default=[], help="these types alone, done again")
    parser.add_argument("--retry", action="store_true", help="try again what has failed")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--time-limit", type=float, default=300.0, help="seconds for one model")
    parser.add_argument("--memory-limit", type=float, default=6.0, help="GiB for one model")
    parser.add_argument("--home", type=Path, default=HOME, help="the corpus")
    parser.add_argument("--bare", action="store_true", help="default configurations without completions")
    parser.add_argument("--deep", action="store_true", help="the types below 99 %% at their full depth")
    parser.add_argument("--summary", action="store_true", help="only print what there is")
    given = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    if given.bare:
        write("bare", [bare(name) for name in completed()])
    elif given.deep:
        write("deep", [deep(row["name"]) for row in rows("shrunk") if state(row) == "some"])
    elif not given.summary:
        trace(given)
    for name in ("shrunk", "full", "timm"):
        if (FOLDER / f"{name}.jsonl").exists():
            print(f"{name}: {summary(rows(name))}")
    if (FOLDER / "deep.jsonl").exists():
        found = rows("deep")
        good = sum(row.get("share", 0) >= ENOUGH for row in found)
        print(f"of {len(found)} types below 99 % when shallow, {good} are above at full depth")
    if (FOLDER / "bare.jsonl").exists():
        print(f"without completions: {bare_summary(rows('bare'))}")


def trace(given: argparse.Namespace) -> None:
    """Bring the corpus as far as was asked, and the results with it."""
    from madstar.zoo.corpus import CorpusSettings, Progress, Task, build_corpus, museum, read_index
    from madstar.zoo.transformers_models import model_types

    types = list(given.only or model_types())
    if given.sample:
        types = sorted(random.Random(SEED).sample(types, given.sample))
    tasks = [Task(f"hf:{name}", given.size) for name in types]
    if given.timm:
        tasks = [task for task in museum(timm=given.timm, seed=SEED) if task.address.startswith("timm:")]
    settings = CorpusSettings(
        given.home,
        given.workers,
        given.time_limit,
        int(given.memory_limit * 2**30),
        given.retry,
        redo=bool(given.only),
    )

    def told(progress: Progress) -> None:
        left = progress.seconds_left
        print(
            f"[{progress.done}/{progress.total}] {progress.last}, {progress.failed} failed"
            + (f", {left / 60:.0f} minutes left" if left else ""),
            file=sys.stderr,
            flush=True,
        )

    try:
        build_corpus(tasks, settings, told)
    finally:
        index = read_index(given.home)
        for name in ("shrunk", "full"):
            found = [compact(row) for row in index if row["size"] == name and row["name"].startswith("hf:")]
            if found:
                write(name, found)
        found = [compact(row) for row in index if row["name"].startswith("timm:")]
        if found:
            write("timm", found)


_KEPT = (
    "class",
    "error",
    "inputs",
    "changes",
    "guesses",
    "seconds",
    "memory_bytes",
    "nodes",
    "folded_nodes",
    "symbols",
    "parameter_tensors",
)


def compact(row: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a row of the index."""
    found = {"name": row["name"].partition(":")[2], "status": row["status"]}
    found |= {key: row[key] for key in _KEPT if row.get(key) not in (None, "", [])}
    if row["status"] == "ok":
        found["share"] = round(row["share_touched"], 4)
        found["untouched"] = row["untouched"][:3]
    if len(found.get("error", "")) > 300:
        found["error"] = found["error"][:300]
    return found


def bare(name: str) -> dict[str, Any]:
    """A type from its default configuration as it is: what runs, or what it says."""
    from madstar.zoo.inputs.choose import choose
    from madstar.zoo.transformers_models import load_type

    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    row: dict[str, Any] = {"name": name, "built": False, "ran": False}
    try:
        model = load_type(name, shrunk=True, bare=True)
        row["built"] = True
        chosen = choose(model.module, model.config, seconds=20.0)
        row |= {"ran": chosen.recipe is not None, "error": chosen.trial.error[:200]}
        row |= {"share": round(chosen.trial.share, 4)} if chosen.recipe is not None else {}
    except GraphError as error:
        row["error"] = str(error)[:200]
    return row


def deep(name: str) -> dict[str, Any]:
    """The share of a type's parameter tensors at full depth that one run takes, with the same inputs."""
    from madstar.zoo.inputs.facts import Facts
    from madstar.zoo.inputs.trial import attempt
    from madstar.zoo.reaching import reach
    from madstar.zoo.source import load

    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    row: dict[str, Any] = {"name": name}
    try:
        recipe = reach(f"hf:{name}", seconds=20.0).chosen.recipe
        if recipe is not None:
            model = load(f"hf:{name}")
            trial = attempt(model.module, recipe.build(Facts.of(model.module, model.config)))
            missed = [path for path, _ in model.module.named_parameters() if path not in trial.touched]
            row |= {"tensors": trial.total, "missed": len(missed), "error": trial.error[:200]}
            row |= {"share": 0.0 if trial.error else round(trial.share, 4), "untouched": missed[:3]}
    except GraphError as error:
        row["error"] = str(error)[:200]
    return row


def completed() -> list[str]:
    """The types whose default configuration was changed, as the results for shallow models say."""
    words = (" set to ", "as the text's")
    return [
        row["name"] for row in rows("shrunk") if any(w in c for c in row.get("changes", ()) for w in words)
    ]


def write(name: str, found: Iterable[dict[str, Any]]) -> None:
    lines = [json.dumps(row, sort_keys=True) for row in sorted(found, key=lambda row: row["name"])]
    (FOLDER / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def rows(name: str) -> list[dict[str, Any]]:
    text = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def kind(row: dict[str, Any]) -> str:
    """The kinds of input that a type was fed, such as "image + text"."""
    words = (part.partition(":")[0].strip() for part in (row.get("inputs") or "").split(";"))
    kinds = sorted(
        {
            word
            for word in words
            if word in ("text", "image", "video", "audio", "series", "latents", "session")
        }
    )
    return " + ".join(kinds) or "none found"


def state(row: dict[str, Any]) -> str:
    """Where a model got to: "reached", "some" of its parameters, "fails", "refused" or "not built"."""
    if row["status"] == "ok":
        return "reached" if row["share"] >= ENOUGH else "some"
    said = row.get("error", "")
    if row["status"] == "error" or row["status"] == "failed":
        if "cannot be built" in said or "needs the package" in said:
            return "not built"
        if "no inputs were found" in said:
            return "refused"
    return "fails"


def summary(table: list[dict[str, Any]]) -> str:
    states = Counter(map(state, table))
    built = len(table) - states["not built"]
    runs = built - states["refused"]
    reached = states["reached"]
    lines = [
        f"{len(table)} models, {built} built, {runs} run, {reached + states['some']} traced, "
        f"{reached} with >= 99 % of their parameter tensors taken "
        f"({reached / max(runs, 1):.1%} of those that run, {reached / max(built, 1):.1%} of those built)"
    ]
    every = Counter(map(kind, table))
    good = Counter(kind(row) for row in table if state(row) == "reached")
    if len(every) > 1:
        lines += [f"  {name:24} {good[name]:4} of {count:4}" for name, count in every.most_common()]
    for row in table:
        if state(row) != "reached":
            share = f"{row['share']:.1%}" if "share" in row else state(row)
            why = row.get("error") or f"not taken: {', '.join(row.get('untouched', [])[:3])}"
            lines.append(f"  {row['name']:32} {share:10} {why[:160]}")
    return "\n".join(lines)


def bare_summary(table: list[dict[str, Any]]) -> str:
    built, ran = sum(row["built"] for row in table), sum(row["ran"] for row in table)
    reached = sum(row.get("share", 0) >= ENOUGH for row in table)
    return (
        f"{len(table)} types have a default configuration that is completed; as it is, {built} are built, "
        f"{ran} run, {reached} with >= 99 % of their parameter tensors taken"
    )


if __name__ == "__main__":
    main()
