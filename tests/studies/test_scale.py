"""A tiny run made larger: what is trained, that nothing is trained twice, and what is refused."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import numpy as np
import pytest

from madstar.archive import Archive
from madstar.errors import ArchiveError, ConfigurationError, GenomeError
from madstar.genome import Genome, baselines
from madstar.genome.scaling import deepen
from madstar.liv import cost
from madstar.search import Run, make_settings
from madstar.search.evaluation import TEST
from madstar.search.run import ARCHIVE_NAME
from madstar.studies.scale import scale
from madstar.studies.scaled import ScaledResult, outcome_of
from madstar.studies.statistics import mean_interval

WORDS = ("the", "model", "reads", "a", "token", "and", "writes", "its", "state", "to", "layer", "two")
TINY = {
    "width": 16,
    "heads": 4,
    "min_depth": 2,
    "max_depth": 2,
    "population": 3,
    "elitism": 1,
    "rungs": ("4",),
    "training": {"length": 32, "batch": 2, "warmup": 2, "validation_windows": 8},
    "workers": 1,
}


# Bits per byte on the test split, and bytes of cache: the first two are the front.
FOUND = {"71111-91111": (2.0, 100.0), "91111-71112": (2.5, 50.0), "11111-71111": (2.6, 200.0)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run, written down: only its data are real."""
    home = tmp_path_factory.mktemp("scale") / "home"
    home.mkdir()
    rng = np.random.default_rng(3)
    text = home / "text.txt"
    text.write_text("\n".join(" ".join(rng.choice(WORDS, size=9)) + "." for _ in range(900)))
    settings = make_settings(data=str(text), candidates=3, **TINY)
    task = settings.text.prepare(home)
    about = {
        "fingerprint": task.fingerprint,
        "description": task.description,
        "vocabulary_size": task.vocabulary_size,
    }
    with Archive.open(home / ARCHIVE_NAME) as archive:
        row = archive.create_run("small", {"settings": settings.model_dump(mode="json"), "task": about})
        known = {name: (str(genome), 3.0 + n, 500.0) for n, (name, genome) in enumerate(baselines(2).items())}
        known |= {genome: (genome, *figures) for genome, figures in FOUND.items()}
        for index, (name, (genome, score, cache)) in enumerate(known.items()):
            role = {} if name == genome else {"role": "baseline", "name": name}
            hashed = Genome.parse(genome).architecture
            archive.add_candidate(
                row.id, index=index, genome=genome, architecture=hashed, operator="random", **role
            )
            values = {objective.name: cache for objective in settings.parsed_objectives[1:]}
            quality = settings.parsed_objectives[0].name
            archive.add_evaluation(
                row.id,
                **{"candidate": index, "rung": 0, "steps": 4, "tokens": 256, "seed": 0, "status": "ok"},
                values={**values, quality: score + 0.5, "bits_per_byte": score + 0.5, TEST: score},
                started_at=1.0,
                finished_at=2.0,
            )
        archive.update_run(row.id, status="finished")
    return Run.open("small", home)


@pytest.fixture(scope="module")
def larger(run: Run) -> ScaledResult:
    return scale(run, width=32, depth=4, seeds=2, budget="3")


def rows_of(run: Run, name: str) -> tuple:
    with Archive.open(run.home / ARCHIVE_NAME, create=False) as archive:
        row = archive.run(name)
        return row, archive.candidates(row.id), archive.evaluations(row.id)


def names(run: Run) -> list[str]:
    with Archive.open(run.home / ARCHIVE_NAME, create=False) as archive:
        return [row.name for row in archive.runs()]


def test_the_winner_and_the_baselines_are_trained_at_the_larger_size(run: Run, larger: ScaledResult) -> None:
    assert larger.run == "small-w32-d4-stack"
    row, candidates, evaluations = rows_of(run, larger.run)
    assert row.status == "finished"
    assert row.seconds > 0
    winner = run.front[0]
    wanted = {winner.entry.index: str(deepen(winner.genome, 4))}
    natural = baselines(4)
    wanted |= {b.entry.index: str(natural[b.entry.label]) for b in run.baselines}
    assert {c.index: c.genome for c in candidates} == wanted
    assert {c.index: c.role for c in candidates} == {
        index: "search" if index == winner.entry.index else "baseline" for index in wanted
    }
    assert sorted((e.candidate, e.seed) for e in evaluations) == sorted(
        (index, seed) for index in wanted for seed in (1000, 1001)
    )
    assert {(e.stage, e.rung, e.steps, e.status) for e in evaluations} == {("validation", 0, 3, "ok")}
    for candidate in candidates:
        sizes = Run(run.home, row).settings.sizes(run.vocabulary_size)
        assert (sizes.width, sizes.heads) == (32, 8)
        model = Genome.parse(candidate.genome).build(sizes)
        assert candidate.values["parameters"] == cost(model.spec, 32).parameters
        assert candidate.values["parameters"] == sum(p.numel() for p in model.parameters())


def test_the_result_says_what_the_rows_say(run: Run, larger: ScaledResult) -> None:
    _, candidates, evaluations = rows_of(run, larger.run)
    assert larger.measure == "test_bits_per_byte"
    assert (larger.budget, larger.own_budget) == ("3 steps", "4 steps")
    assert larger.learning_rate == pytest.approx(run.settings.training.learning_rate / 2)
    assert [entry.role for entry in larger.entries] == ["search"] + ["baseline"] * 4
    scores: dict[int, list[float]] = {}
    for row in sorted(evaluations, key=lambda e: e.seed):
        scores.setdefault(row.candidate, []).append(row.values["test_bits_per_byte"])
    at = {entry.label: entry for entry in larger.entries}
    assert len(at) == len(candidates)
    for entry in larger.entries:
        mine = scores[entry.index]
        assert entry.scaled.mean == pytest.approx(statistics.fmean(mine))
        assert entry.scaled.error == pytest.approx(statistics.stdev(mine) / math.sqrt(2))
        assert [a.baseline for a in entry.against] == [
            b.entry.label for b in run.baselines if b.entry.label != entry.label
        ]
        for one in entry.against:
            differences = [a - b for a, b in zip(mine, scores[at[one.baseline].index], strict=True)]
            assert one.scaled.mean == pytest.approx(statistics.fmean(differences))
            assert one.scaled.n == 2
    winner = larger.members[0]
    assert winner.own is not None
    assert (winner.own.mean, winner.own.n) == (2.0, 1)
    assert [one.own.mean for one in winner.against if one.own is not None] == [-1.0, -2.0, -3.0, -4.0]


@pytest.mark.parametrize(
    ("own", "said", "outcome"),
    [
        (-1.0, "better", "holds"),
        (0.5, "better", "gained"),
        (None, "better", "gained"),
        (-1.0, "tie", "open"),
        (-1.0, "worse", "lost"),
        (0.5, "worse", "behind"),
        (None, "worse", "behind"),
    ],
)
def test_what_became_of_a_lead(own: float | None, said: str, outcome: str) -> None:
    assert outcome_of(None if own is None else mean_interval([own]), said) == outcome


def test_the_same_command_again_trains_nothing(run: Run, larger: ScaledResult) -> None:
    before = rows_of(run, larger.run)
    again = scale(run, width=32, depth=4, seeds=2, budget="3")
    assert again.to_dict() == larger.to_dict()
    after = rows_of(run, larger.run)
    assert after[1:] == before[1:]
    assert after[0].config == before[0].config


def test_it_goes_on_where_it_stopped_and_grows(run: Run) -> None:
    class Stop:
        """Ctrl-C after two trainings."""

        def __init__(self) -> None:
            self.left, self.told = 2, []

        def began(self, total: int, done: int) -> None:
            self.told.append((total, done))

        def ended(self, trial: object, row: object) -> None:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt

        def tick(self, progress: object) -> None: ...

    stop = Stop()
    with pytest.raises(KeyboardInterrupt):
        scale(run, depth=4, how="stretch", seeds=1, budget="2", learning_rate=0.001, watcher=stop)
    name = "small-w16-d4-stretch-lr0.001"
    row, _, done = rows_of(run, name)
    assert (row.status, len(done)) == ("interrupted", 2)
    # The same command, with the whole front in place of the winner.
    watcher = Stop()
    watcher.left = -1
    result = scale(
        run,
        **{"depth": 4, "how": "stretch", "seeds": 1, "budget": "2", "learning_rate": 0.001},
        members="front",
        watcher=watcher,
    )
    assert (stop.told, watcher.told) == ([(5, 0)], [(6, 2)])
    row, _, whole = rows_of(run, name)
    assert (row.status, result.run) == ("finished", name)
    assert whole[:2] == done
    assert len(whole) == 6
    genomes = {entry.index: entry.genome for entry in result.members}
    assert genomes == {4: "71111-71111-91111-91111", 5: "91111-91111-71111-71111"}
    # One seed shows no spread, so everything is a tie.
    assert {one.outcome for entry in result.entries for one in entry.against} == {"open"}


REFUSED = [
    (
        {"depth": 3},
        GenomeError,
        r"^candidate .*: depth 3 is no multiple of the genome's 2 layers: give 2 or 4$",
    ),
    ({"depth": 4, "how": "pile"}, ConfigurationError, "how='pile'"),
    ({"width": 30}, ConfigurationError, "width 30 does not divide into heads of 4 channels.*: give "),
    ({"width": 0}, ConfigurationError, "width 0 does not divide"),
    ({}, ConfigurationError, "nothing to scale to"),
    ({"width": 32, "seeds": 0}, ConfigurationError, "0 seeds"),
    ({"width": 32, "members": 0}, ConfigurationError, "members is 0"),
    ({"width": 32, "members": "all"}, ConfigurationError, "members is 'all'"),
    ({"width": 32, "budget": "lots"}, ConfigurationError, "budget 'lots'"),
    ({"width": 32, "learning_rate": 0.0}, ConfigurationError, "learning_rate"),
]


@pytest.mark.parametrize(("wish", "kind", "said"), REFUSED, ids=lambda value: str(value)[:30])
def test_refusals_write_nothing(run: Run, wish: dict, kind: type, said: str) -> None:
    before, there = names(run), sorted(run.home.rglob("*"))
    with pytest.raises(kind, match=said) as refusal:
        scale(run, **wish)
    assert "\n" not in str(refusal.value)
    assert names(run) == before
    assert sorted(run.home.rglob("*")) == there


def test_a_run_without_a_front_and_a_scaled_run_are_refused(run: Run, larger: ScaledResult) -> None:
    with pytest.raises(ArchiveError, match="run small at a larger size: scale small"):
        scale(Run.open(larger.run, run.home), width=64)
    with Archive.open(run.home / ARCHIVE_NAME) as archive:
        config = rows_of(run, "small")[0].config
        archive.create_run("empty", config)
        archive.create_run("small-w48", config)
    with pytest.raises(ArchiveError, match="run empty has no front"):
        scale(Run.open("empty", run.home), width=32)
    with pytest.raises(ArchiveError, match="'small-w48' is there already"):
        scale(run, width=48)
    assert not (Path(run.home) / "small-w48").exists()
