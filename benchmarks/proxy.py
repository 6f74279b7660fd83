"""Does MAD predict anything? The same architectures scored on MAD's tasks, and trained on text.

    python -m benchmarks.proxy mad --budget quick [--dim 64] [--part 0/2]
    python -m benchmarks.proxy mad --budget standard [--lean] [--repeats 1] [--dim 64] [--part 0/2]
    python -m benchmarks.proxy text [--widths 64,128] [--seeds 2] [--steps 400] [--part 0/2]
    python -m benchmarks.proxy analyse

26 architectures: stacks of one mixer, hybrids with a share of attention, striped (a channel mixer after each
mixer) and not, of 4 and of 8 layers. Scores are those of the sound protocol, in this process; a benchmark
that was interrupted goes on from the archive under --home. As language models they read the default text as
bytes: 256 tokens, 8 sequences a step, validation bits per byte; the learning rate is divided by as much as
a model is wider than 64, and where several --rates are given, each architecture's best counts.

`--lean` asks the first setting of each task alone, at the budget's first sweep point, with `--repeats` seeds:
with one an eighth of the trainings of "standard" and a quarter of those of "quick", before races end any.
It has a name of its own.
`--architectures N` are the first N, `--layers 8` those of so many layers.

Whatever has ended is a line in benchmarks/results/proxy/, and what is there is not done again. Parts 0/2 and
1/2 share the work between two processes. "analyse" prints tables of whatever is there
(`proxy_analysis.py`), and keeps benchmarks/results/proxy.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from madstar.archive import EvaluationRow, RunRow
from madstar.liv import LanguageModel
from madstar.liv.stack import seeded
from madstar.protocol import (
    BUDGETS,
    BenchmarkProgress,
    LayerStack,
    Plan,
    Resources,
    Scores,
    find_budget,
    find_protocol,
    level_settings,
    run_plan,
)
from madstar.protocol.race import Wanted
from madstar.studies.scale import transferred_rate
from madstar.tasks import TextTask, prepare_text
from madstar.tasks.mechanistic import PROTOCOL_TASKS
from madstar.training import Budget, DivergedError, Trainer, TrainingSettings, evaluate

from .machine import RESULTS, keep
from .proxy_analysis import analyse as figures_of
from .proxy_analysis import lean
from .proxy_tables import markdown

ATTENTION = "mh-attention"
MIXERS = (
    *(ATTENTION, "mh-hyena", "mamba", "gated-deltanet", "mh-linear-attention"),
    *("retention", "mh-gated-linear-attention", "mamba2"),
)
HYBRID = ("mh-hyena", "mamba", "gated-deltanet", "retention")
DEEP = ("mh-hyena", "mamba")
BASE_WIDTH, LENGTH, BATCH, VOCABULARY = 64, 256, 8, 256
UNIFORM, STRIPED, BLOCKED = "one mixer", "striped", "not striped"


@dataclass(frozen=True)
class Studied:
    """An architecture and its class: which mixer stands beside attention, and in which order.

    `share` is that of attention among the mixers. A hybrid is striped where mixers of both kinds take turns,
    each with its channel mixer. `family` is shared by those that differ in mixers and their order alone.
    """

    name: str
    layers: tuple[str, ...]
    mixer: str
    share: float
    order: str
    family: str


def architectures() -> tuple[Studied, ...]:
    """All of them, those first that make whole comparisons where not all are trained."""
    return (*_uniform(), *_hybrids(), *_deep(), *_other_channels())


def _uniform() -> Iterator[Studied]:
    for mixer in MIXERS:
        yield Studied(mixer, (mixer, "swiglu") * 2, mixer, float(mixer == ATTENTION), UNIFORM, "4 swiglu")
    rwkv = ("rwkv6-time-mixer", "rwkv6-channel-mixer") * 2
    yield Studied("rwkv6", rwkv, "rwkv6", 0.0, UNIFORM, "4 rwkv")


def _hybrids() -> Iterator[Studied]:
    for mixer in HYBRID:
        layers = (mixer, "swiglu", ATTENTION, "swiglu")
        yield Studied(f"{mixer} + attention", layers, mixer, 0.5, STRIPED, "4 swiglu")
    for mixer in DEEP:
        blocked = (mixer, ATTENTION, "swiglu", "swiglu")
        yield Studied(f"{mixer} + attention, mixers first", blocked, mixer, 0.5, BLOCKED, "4 swiglu")
        bare = (mixer, mixer, ATTENTION, ATTENTION)
        yield Studied(f"{mixer} + attention, mixers only", bare, mixer, 0.5, BLOCKED, "4 bare")


def _deep() -> Iterator[Studied]:
    yield Studied(f"8 x {ATTENTION}", _eight([ATTENTION] * 4), ATTENTION, 1.0, UNIFORM, "8 swiglu")
    for mixer in DEEP:
        yield Studied(f"8 x {mixer}", _eight([mixer] * 4), mixer, 0.0, UNIFORM, "8 swiglu")
        quarter = _eight([mixer, mixer, ATTENTION, mixer])
        yield Studied(f"8 x {mixer}, 25 % attention", quarter, mixer, 0.25, STRIPED, "8 swiglu")
        half = _eight([mixer, ATTENTION] * 2)
        yield Studied(f"8 x {mixer}, 50 % attention", half, mixer, 0.5, STRIPED, "8 swiglu")


def _other_channels() -> Iterator[Studied]:
    for channel in ("mlp", "moe-mlp"):
        layers = (ATTENTION, channel) * 2
        yield Studied(f"{ATTENTION}, {channel}", layers, ATTENTION, 1.0, UNIFORM, f"4 {channel}")


def _eight(mixers: Sequence[str]) -> tuple[str, ...]:
    return tuple(layer for mixer in mixers for layer in (mixer, "swiglu"))


# Rows ----------------------------------------------------------------------------------------


def read_rows(directory: Path) -> list[dict[str, Any]]:
    """The lines of all parts; a line that an interrupt cut off is left out."""
    rows = []
    for path in sorted(directory.glob("*.jsonl")):
        for text in path.read_text().splitlines():
            try:
                rows.append(json.loads(text))
            except ValueError:
                continue
    return rows


def add_row(path: Path, row: dict[str, Any]) -> None:
    """One more line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as out:
        out.write(json.dumps(row) + "\n")


def is_there(rows: Sequence[dict[str, Any]], **wanted: Any) -> bool:
    """Whether a row says all that is wanted."""
    return any(all(row.get(key) == value for key, value in wanted.items()) for row in rows)


def chosen_architectures(arguments: argparse.Namespace) -> list[Studied]:
    """Those that were asked for."""
    found = architectures()[: arguments.architectures]
    return [each for each in found if arguments.layers in (None, len(each.layers))]


def part_of(arguments: argparse.Namespace) -> tuple[int, int, Path]:
    """This part's number, how many there are, and its file."""
    part, parts = map(int, arguments.part.split("/"))
    return part, parts, arguments.results / f"part-{part}-of-{parts}.jsonl"


# MAD -----------------------------------------------------------------------------------------


class Clock:
    """A watcher that notes the seconds of the processor that each training took, here in this process."""

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self.path, self.about = path, about
        self._tasks: dict[str, str] = {}
        self._last = time.process_time()

    def began(self, plan: Plan, run: RunRow, done: int) -> None:
        self._tasks = {setting.key: setting.task for setting in plan.settings}
        self._last = time.process_time()

    def ended(self, wanted: Wanted, row: EvaluationRow) -> None:
        now = time.process_time()
        line = {"kind": "spent", **self.about, **wanted._asdict(), "task": self._tasks[wanted.setting]}
        add_row(self.path, {**line, "cpu_seconds": round(now - self._last, 3)})
        self._last = time.process_time()

    def tick(self, progress: BenchmarkProgress) -> None:
        """Nothing is told on the way."""

    def close(self) -> None:
        """There is nothing to close."""


def score_all(arguments: argparse.Namespace) -> None:
    """Score this part's share of the architectures on MAD's tasks."""
    part, parts, path = part_of(arguments)
    chosen, protocol = find_budget(arguments.budget), find_protocol("sound")
    settings = level_settings(arguments.tasks or PROTOCOL_TASKS, chosen)
    if arguments.lean:
        firsts = {setting.task: setting for setting in reversed(settings)}
        settings = tuple(setting for setting in settings if firsts[setting.task] is setting)
        points = chosen.sweep(protocol)[:1]
        name = lean(chosen.name)
        chosen = replace(chosen, name=name, points=points, rungs=(1,), seeds=arguments.repeats)
    for each in chosen_architectures(arguments)[part::parts]:
        about = {"architecture": each.name, "budget": chosen.name, "dim": arguments.dim}
        if is_there(read_rows(arguments.results), kind="mad", **about):
            continue
        stack = LayerStack.of(each.layers, arguments.dim, embedding_std=protocol.embedding_std)
        plan = Plan(stack, protocol, chosen, settings, chosen.seeds or protocol.seeds)
        clock = Clock(path, about)
        scores = run_plan(plan, arguments.home, resources=Resources(workers=0), watcher=clock)
        add_row(path, {"kind": "mad", **about, **mad_row(scores)})
        print(f"| {each.name} | {chosen.name} | {scores.mean:.3f} ± {scores.error:.3f} |", flush=True)


def mad_row(scores: Scores) -> dict[str, Any]:
    """What the study needs of a benchmark."""
    tasks = {
        task.task: {
            "score": task.value,
            "error": task.error,
            "steps": sum(each.steps for each in task.settings),
            "seconds": sum(each.seconds for each in task.settings),
            "settings": {each.setting.name: each.value for each in task.settings},
        }
        for task in scores.tasks
    }
    return {
        "run": scores.run.name,
        "seeds": scores.plan.seeds,
        "score": scores.mean,
        "error": scores.error,
        "tasks": tasks,
    }


# Text ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """One training on text; `rate` is that of width 64."""

    architecture: str
    width: int
    seed: int
    steps: int
    rate: float


def jobs(arguments: argparse.Namespace) -> Iterator[tuple[Studied, Job]]:
    """Seed by seed and small widths first, so that what is there after an interrupt can be compared."""
    wanted = itertools.product(range(arguments.seeds), sorted(arguments.widths), arguments.rates)
    for seed, width, rate in wanted:
        for each in chosen_architectures(arguments):
            yield each, Job(each.name, width, seed, arguments.steps, rate)


def read_all(arguments: argparse.Namespace) -> None:
    """Train this part's share of what is missing on the default text."""
    part, parts, path = part_of(arguments)
    task = prepare_text(directory=arguments.home / f"text-{part}-of-{parts}", length=LENGTH)
    for each, job in list(jobs(arguments))[part::parts]:
        if is_there(read_rows(arguments.results), kind="text", **asdict(job)):
            continue
        row = train_on_text(each, job, task)
        add_row(path, row)
        score = "diverged" if row["bits_per_byte"] is None else f"{row['bits_per_byte']:.3f}"
        seconds = row.get("cpu_seconds", 0.0)
        print(f"| {each.name} | {job.width} | {job.seed} | {score} | {seconds} s |", flush=True)


def train_on_text(each: Studied, job: Job, task: TextTask) -> dict[str, Any]:
    """One training and its row; one that diverged has no score."""
    rate = transferred_rate(job.rate, BASE_WIDTH, job.width)
    settings = TrainingSettings(length=LENGTH, batch=BATCH, learning_rate=rate)
    model = seeded(lambda: LanguageModel(VOCABULARY, LENGTH, each.layers, dim=job.width), job.seed)
    parameters = sum(p.numel() for p in model.parameters())
    row = {"kind": "text", **asdict(job), "learning_rate": rate, "parameters": parameters}
    begun = time.process_time()
    try:
        trained = Trainer(model, task, settings, job.seed).train_to(Budget(job.steps))
    except DivergedError as error:
        return {**row, "bits_per_byte": None, "error": str(error)}
    windows = settings.validation_windows
    found = evaluate(trained.model, task, "valid", batch=settings.evaluation_batch, limit=windows)
    spent = round(time.process_time() - begun, 1)
    return {**row, "bits_per_byte": found.bits_per_byte, "cpu_seconds": spent}


# All of it -----------------------------------------------------------------------------------


def analyse(arguments: argparse.Namespace) -> None:
    """Tables of what is there."""
    rows = [row for row in read_rows(arguments.results) if row.get("dim") in (None, arguments.dim)]
    rows = [row for row in rows if row["kind"] != "text" or row["steps"] == arguments.steps]
    known = [asdict(each) for each in architectures()]
    result = figures_of(known, rows, draws=arguments.draws)
    print(markdown(result))
    settings = {"dim": arguments.dim, "steps": arguments.steps, "length": LENGTH, "batch": BATCH}
    if arguments.name:
        print("\nkept in", keep(arguments.name, {**settings, "architectures": known, **result}))


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("mad", "text", "analyse"))
    parser.add_argument("--budget", choices=tuple(BUDGETS), default="quick")
    parser.add_argument("--tasks", nargs="*", help="fewer tasks than MAD's six, for a trial")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--architectures", type=int, help="the first so many only")
    parser.add_argument("--layers", type=int, help="those of so many layers alone")
    parser.add_argument("--widths", type=lambda text: [int(w) for w in text.split(",")], default=[64, 128])
    parser.add_argument("--rates", type=lambda text: [float(r) for r in text.split(",")], default=[5e-3])
    parser.add_argument("--lean", action="store_true", help="less of each task; see above")
    parser.add_argument("--repeats", type=int, default=1, help="seeds on MAD's tasks where it is lean")
    parser.add_argument("--seeds", type=int, default=2, help="seeds on text")
    parser.add_argument("--steps", type=int, default=400, help="training steps on text")
    parser.add_argument("--part", default="0/1")
    parser.add_argument("--home", type=Path, default=Path("runs/proxy"))
    parser.add_argument("--results", type=Path, default=RESULTS / "proxy")
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--name", default="proxy", help="of the result; empty to keep none")
    arguments = parser.parse_args(given)
    torch.set_num_threads(1)
    {"mad": score_all, "text": read_all, "analyse": analyse}[arguments.what](arguments)


if __name__ == "__main__":
    main()
