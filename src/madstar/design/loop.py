"""The loop: propose, train, score, learn, again; its limits are kept here and not by what proposes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..tasks import TextTask
from ..workers import Outcome, WorkerPool
from . import asking
from .admission import ADMITTED
from .asking import CORPUS, GENERATOR, PREDICTOR, TARGET, TEST, WEIGHTS
from .candidates import GRAPH
from .jobs import Jobs, Stopped, Work
from .ledger import Ledger, clear
from .limits import Limits
from .proposals import SETTLING, Proposals
from .rounds import agreement, predicted_pairs, record

FINAL = 0.06
"""The share of the wall time that is kept for what comes after the last round."""
_FINAL_MOST = 120.0
REASONS = {
    "rounds": "all rounds are done",
    "time": "the time is over",
    "patience": "no gain in {patience} rounds",
    "stop": "a file STOP stands in the run's folder",
    "disk": "the run's folder is full",
    "candidates": "as many candidates as allowed are trained",
    "nothing": "nothing could be proposed or trained in a round: its log.jsonl says why",
    "approval": "waits for approval",
    "declined": "the next round was declined",
}


@dataclass(frozen=True)
class News:
    """How far a run is: which round and part of it, how much of that part, seconds left of all."""

    round: int
    part: str
    done: float
    total: float
    left: float
    words: str = ""


Told = Callable[[News], None]
Approve = Callable[[dict[str, Any]], bool]


class Loop:
    """Rounds of one run, from where it stands.

    `approve` is asked between rounds where the settings want approval; without it the run stops there.
    """

    def __init__(
        self,
        ledger: Ledger,
        limits: Limits,
        task: TextTask,
        *,
        told: Told,
        approve: Approve | None = None,
        handler: str = TARGET,
        import_paths: Sequence[str] = (),
    ) -> None:
        self.ledger, self.limits, self.task, self.told, self.approve = ledger, limits, task, told, approve
        self.settings, self.folder = ledger.settings, ledger.folder
        self.sizes = self.settings.sizes(task.vocabulary_size)
        self.handler, self.import_paths = handler, import_paths
        self.number = len(ledger.rounds) + 1
        self.seconds: dict[str, float] = {}
        self.facts: dict[str, Any] = {}

    def run(self) -> str:
        """Go on until something ends it; returns the reason, a key of `REASONS`."""
        setup = {
            "limits": self.limits.to_dict(),
            "settings": self.settings.model_dump(mode="json"),
            "task": str(self.task.directory.resolve()),
            "work": str(self.folder.work.resolve()),
        }
        final = min(_FINAL_MOST, FINAL * self.limits.seconds)
        with WorkerPool(
            self.handler,
            self.limits.workers,
            setup=setup,
            memory_limit=self.limits.memory,
            import_paths=self.import_paths,
        ) as pool:
            self.jobs = Jobs(pool, self.limits, self.folder, self.ledger, self.limits.seconds - final)
            try:
                reason = self._rounds()
            except Stopped as stopped:
                reason = stopped.reason
            self.jobs.stop_at = self.limits.seconds
            if reason in ("rounds", "time", "patience", "candidates", "declined"):
                self._test()
        shutil.rmtree(self.folder.work, ignore_errors=True)
        return reason

    def _rounds(self) -> str:
        self._hold()
        while True:
            if reason := self._over():
                return reason
            self._round()
            if reason := self._over():
                return reason
            if self.settings.approve:
                if self.approve is None:
                    return "approval"
                self.ledger.book(now=True)
                answer = self.approve(self.ledger.rounds[-1])
                self.ledger.skip()
                self.ledger.log.write("approval", round=self.number, answer=answer)
                if not answer:
                    return "declined"

    def _over(self) -> str:
        rounds = self.ledger.rounds
        if len(rounds) >= self.settings.rounds:
            return "rounds"
        if self.ledger.trained >= self.limits.candidates:
            return "candidates"
        if rounds and not rounds[-1]["trained"] + rounds[-1]["failed"]:
            return "nothing"
        last = rounds[-self.settings.patience :] if self.settings.patience else []
        if last and len(last) == self.settings.patience and len(rounds) > self.settings.patience:
            gains = [each["gain"] for each in last]
            if all(gain is None or gain <= 0 for gain in gains):
                return "patience"
        return "time" if self.jobs.left <= 0 else ""

    def _hold(self) -> None:
        """Note which layers of confinement the workers have."""
        found = self._answers([Work("hold", "hold", {}, SETTLING)], "workers start").get("hold")
        held = {} if found is None else found.get("held", {})
        if self.ledger.row.config.get("workers_held") != held:
            self.ledger.keep(workers_held=held)
        self.ledger.log.write("confined", workers=held, limits=self.limits.to_dict())

    # A round

    def _round(self) -> None:
        self.number = len(self.ledger.rounds) + 1
        self.seconds, self.facts = {}, {}
        began = self.ledger.seconds
        until = began + self.jobs.left / (self.settings.rounds - self.number + 1)
        best_before = self._best_before()
        measured = dict(self.ledger.scores)
        plan = self.ledger.plan(self.number)
        if plan is None:
            models = self._models(until - began)
            proposals = Proposals(
                self.ledger, self.limits, self.sizes, self.number, self._answers, self._seed
            )
            admissions, counts = proposals.made(models, until - began)
            plan = self.ledger.settle(
                self.number,
                admissions,
                models=models,
                generated=counts,
                measured=measured,
                seconds=self.seconds,
                best_before=best_before,
            )
        self.seconds = dict(plan["seconds"])
        indices = self.ledger.enter(plan)
        self._train(indices, until)
        self.seconds["round"] = self.ledger.seconds - began
        tried = [self.ledger.tried[index] for index in indices if index in self.ledger.tried]
        self.ledger.keep_round(
            record(
                self.number,
                tried,
                plan["best_before"],
                measured=plan["measured"],
                models=plan["models"],
                counts=plan["generated"],
                seconds=self.seconds,
            )
        )
        pairs = predicted_pairs(list(self.ledger.tried.values()))
        self.ledger.keep(agreement=agreement(pairs))
        self._sweep()

    def _best_before(self) -> float | None:
        best = self.ledger.best
        return None if best is None else best.score

    # Learning

    def _models(self, seconds: float) -> dict[str, Any]:
        """The round's models: folders and facts; fitted anew unless those of the first stay."""
        folder = self.folder.models / f"{self.number:04}"
        kept = self._former()
        batch = []
        corpus = self.folder.models / CORPUS
        blocks = asking.split(self.settings)[0] > 0
        if blocks and not corpus.exists():
            found = self._answers([Work("corpus", "corpus", {}, max(SETTLING, seconds))], "collecting blocks")
            if "corpus" in found:
                self._move(self.folder.work / "corpus" / CORPUS, corpus)
                self.ledger.log.write("corpus", **found["corpus"])
        first = blocks and GENERATOR not in kept
        if self.settings.generator is not None and first:
            kept[GENERATOR] = {"folder": self.settings.generator, "hash": "given"}
            first = False
        # Without a generator there are no blocks, and in the first round there is nothing else to fit.
        share = max(2.0, self.settings.fitting * seconds * (2 if first else 1))
        if blocks and corpus.exists() and (first or (self.settings.retrain and self.number > 1)):
            payload = {
                "corpus": str(corpus),
                "former": kept[GENERATOR]["folder"] if GENERATOR in kept else None,
                "tried": self._tried(),
                "seconds": share,
                "seed": self._seed(1),
            }
            batch.append(Work("generator", "generator", payload, 4 * share + SETTLING))
        if self.ledger.scores and (PREDICTOR not in kept or self.settings.retrain):
            payload = {"measured": self._measured(), "seed": self._seed(2)}
            batch.append(Work("predictor", "predictor", payload, 2 * share + SETTLING))
        for name, facts in self._answers(batch, "learning").items():
            self._move(self.folder.work / name / name, folder / name)
            kept[name] = {**facts, "folder": str(folder / name), "round": self.number}
            self.ledger.log.write("fitted", what=name, round=self.number, **facts)
        return kept

    def _former(self) -> dict[str, Any]:
        """The models of the last round that had any."""
        kept: dict[str, Any] = {}
        for each in self.ledger.rounds:
            kept |= each["models"]
        return kept

    def _tried(self) -> list[tuple[dict[str, Any], float]]:
        """Blocks that were measured, and what share of all that was measured each is behind."""
        scored = sorted(
            (each for each in self.ledger.tried.values() if each.score is not None),
            key=lambda each: each.score or 0.0,
        )
        last = max(1, len(scored) - 1)
        return [
            (each.candidate.to_dict(), place / last)
            for place, each in enumerate(scored)
            if each.candidate.kind == GRAPH
        ]

    def _measured(self) -> list[list[Any]]:
        return [
            [each.candidate.key, each.candidate.description, each.score]
            for each in self.ledger.tried.values()
            if each.score is not None and each.candidate.description
        ]

    # Training

    def _train(self, indices: Sequence[int], until: float) -> None:
        """Train what waits; what the round's time does not hold is left out."""
        began = self.ledger.seconds
        names = {f"train-{index}": index for index in indices if self._waits(index)}
        batch = [
            Work(
                name,
                "train",
                {"candidate": self.ledger.tried[index].candidate.to_dict()},
                self.limits.candidate_seconds,
            )
            for name, index in names.items()
        ]

        def ended(work: Work, outcome: Outcome) -> None:
            index = names[work.name]
            best = self.ledger.best
            found = self.ledger.evaluated(index, outcome)
            weights = self.folder.work / work.name / WEIGHTS
            if found.score is not None and (best is None or best.score is None or found.score < best.score):
                self._keep_weights(weights, index)
            shutil.rmtree(self.folder.work / work.name, ignore_errors=True)

        # At least one of a round is trained, however little time is left of it.
        left = self.jobs.run(batch[:1], ended, self._teller("training", len(batch)))
        left = self.jobs.run(batch[1:], ended, self._teller("training", len(batch), 1), until=until)
        for work in left:
            self.ledger.leave_out(names[work.name], "the round's time was over")
        self.seconds["training"] = self.ledger.seconds - began

    def _waits(self, index: int) -> bool:
        return index in self.ledger.tried and self.ledger.tried[index].status == ADMITTED

    def _keep_weights(self, file: Path, index: int) -> None:
        """Keep the weights of the best, and of no other."""
        try:
            self._move(file, self.folder.weights / f"{index}.safetensors")
        except OSError:
            return
        for other in self.folder.weights.iterdir():
            if other.name != f"{index}.safetensors":
                other.unlink(missing_ok=True)

    def _test(self) -> None:
        """Score the best on the test split, once."""
        best = self.ledger.best
        if best is None or self.jobs.left <= 0:
            return
        weights = self.folder.weights / f"{best.index}.safetensors"
        done = self.ledger.row.config.get("tested", {})
        if str(best.index) in done or not weights.exists():
            return
        payload = {"candidate": best.candidate.to_dict(), "weights": str(weights.resolve())}
        ends: list[Outcome] = []
        work = Work("test", "test", payload, min(self.limits.candidate_seconds, max(1.0, self.jobs.left)))
        try:
            self.jobs.run([work], lambda _, outcome: ends.append(outcome), self._teller("test", 1))
        except Stopped:
            return
        had = {
            row.candidate
            for row in self.ledger.archive.evaluations(self.ledger.row.id)
            if row.stage == "validation"
        }
        if ends and best.index not in had:
            self.ledger.evaluated(best.index, ends[0], stage="validation")
        value = (ends[0].value or {}).get("values", {}).get(TEST) if ends else None
        if isinstance(value, float):
            self.ledger.keep(tested={**done, str(best.index): value})

    # Workers

    def _answers(self, batch: Sequence[Work], part: str) -> dict[str, dict[str, Any]]:
        """What a batch of work came to, by name; a piece that failed is logged and missing."""
        found: dict[str, dict[str, Any]] = {}
        began = self.ledger.seconds

        def ended(work: Work, outcome: Outcome) -> None:
            if outcome.status == "ok" and outcome.value is not None:
                found[work.name] = outcome.value
            else:
                self.ledger.log.write("failed", what=work.name, status=outcome.status, error=outcome.error)
                self.facts[f"{work.name} failed"] = f"{outcome.status}: {outcome.error}"
                self.told(self._news(part, 0, 1, f"{work.name} failed ({outcome.status}): {outcome.error}"))

        self.jobs.run(batch, ended, self._teller(part, len(batch)))
        if batch:
            self.seconds[part] = self.seconds.get(part, 0.0) + self.ledger.seconds - began
        return found

    def _teller(
        self, part: str, total: int, before: int = 0
    ) -> Callable[[int, dict[str, dict[str, Any]]], None]:
        def tell(done: int, progress: dict[str, dict[str, Any]]) -> None:
            under_way = sum(
                float(each.get("step", 0)) / float(each.get("total") or 1)
                for each in progress.values()
                if isinstance(each.get("step", 0), int | float)
            )
            self.told(self._news(part, before + done + min(under_way, total), max(total, 1)))

        return tell

    def _news(self, part: str, done: float, total: float, words: str = "") -> News:
        best = self._best_before()
        said = words or (f"best {best:.4f} bits per byte" if best is not None else "")
        return News(self.number, part, done, total, max(0.0, self.limits.seconds - self.ledger.seconds), said)

    def _move(self, source: Path, target: Path) -> None:
        """Take a worker's result out of its reach. Links are not taken: they may lead anywhere."""
        if source.is_symlink():
            raise OSError(f"{source} is a link")
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(source, target)

    def _sweep(self) -> None:
        """Remove what work has left, and models that no round to come can need."""
        clear(self.folder.work)
        used = {str(each.get("folder")) for each in self._former().values()}
        for path in self.folder.models.iterdir():
            for inner in path.iterdir() if path.is_dir() else ():
                if str(inner) not in used:
                    shutil.rmtree(inner, ignore_errors=True)
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()

    def _seed(self, what: int) -> int:
        """A seed of its own for everything that is drawn."""
        return (self.settings.seed * 1_000_003 + self.number * 1009 + what * 17) % (2**31)
