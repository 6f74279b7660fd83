"""Several trainings as one program: sweep points, settings and seeds whose tensors have the same shapes.

The members' parameters are stacked along a new first dimension, the forward pass is mapped over it
(torch.func.vmap), and one AdamW with a rate and a decay per member moves them all. Each member keeps its
own data and order. On a GPU, where one small model leaves most of the machine idle, the step can be captured
as a CUDA graph and compiled. On a CPU a stack is slower than its members one by one (0.5 to 0.85 times the
speed at width 128), so `together` (in `side_by_side`) uses it there only when told to.

A stack is made of `ExampleTrainer`s and gives its state back to them (`unstack`), so that scoring, pausing on
disk and racing are the same for both. Its steps equal theirs to rounding. What a model draws itself (dropout)
is drawn anew for each member, but not as the member alone would draw it.

Not every layer can be mapped: those that read a number of a tensor (`.item()`), change a tensor of their own
in place, have outputs whose shape depends on values, or call a kernel without a vmap rule. These raise
NotStackableError, and `together` then trains the members one by one.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from ..errors import ConfigurationError, LayerError
from .examples import ExampleTrainer, Progress, decays, step_seed
from .metrics import (
    ExampleScore,
    as_examples,
    autocast,
    check_logits,
    guesses,
    in_batches,
    probed_loss,
    summarise,
)
from .trainer import DivergedError

Scored = ExampleScore | DivergedError
Examples = tuple[Tensor, Tensor]

_VARY = {"learning_rate", "weight_decay"}
_READ_EVERY = 50


class NotStackableError(LayerError):
    """A model that cannot be trained as one program with others: a layer that vmap does not know."""


class StackedTrainer:
    """Trainings of equal shape at the same step, moved on together.

    `diverged` has what went wrong for each member (by its place) that came apart; the others go on.
    `compiled` runs torch.compile on the forward and backward pass; `captured` replays a step as a CUDA graph.
    Raises ConfigurationError for trainers that differ in more than rate, decay, seed, data and weights,
    NotStackableError for a layer that cannot be mapped.
    """

    def __init__(
        self, trainers: Sequence[ExampleTrainer], *, compiled: bool = False, captured: bool = False
    ) -> None:
        _check_alike(trainers)
        self.trainers = list(trainers)
        first = self.trainers[0]
        self.device, self.settings, self.step = first.device, first.settings, first.step
        self.diverged: dict[int, DivergedError] = {}
        self.seconds = 0.0
        self._data = _Shared([(one.inputs, one.targets) for one in self.trainers])
        self._base = copy.deepcopy(first.model).train()
        for one in self.trainers:
            one.model.train()
        self._parameters, self._buffers = _stacked([one.model for one in self.trainers])
        self._trained = [name for name, value in self._parameters.items() if value.requires_grad]
        self._moments = {name: self._moments_of(name) for name in self._trained}
        self._unused: set[str] = set()
        self._rates = torch.zeros(3, len(self.trainers), device=self.device)
        self._losses = vmap(self._loss, randomness="different")
        self._epoch, self._order = -1, torch.empty(0)
        self._unread: list[Tensor] = []
        self._try()
        if compiled:
            self._losses = torch.compile(self._losses)
        self._graph: _Captured | None = None
        self._captured = captured and self.device.type == "cuda"

    def __len__(self) -> int:
        return len(self.trainers)

    def advance_to(self, step: int, progress: Progress | None = None) -> None:
        """Train all members until `step` steps are done. Raises ConfigurationError beyond their end."""
        total = self.trainers[0].total_steps
        if step > total:
            raise ConfigurationError(f"step {step} is beyond the end of training at {total}")
        begun = time.monotonic()
        self._base.train()
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            while self.step < step:
                self._one_step(total)
                self.step += 1
                if len(self._unread) >= _READ_EVERY:
                    self._read()
                if progress is not None:
                    progress(self.step, total)
        self._read()
        self.seconds += time.monotonic() - begun

    def scores(self, examples: Sequence[Examples]) -> list[Scored]:
        """The score of each member on its own examples, (inputs, targets) of one shape for all."""
        data = _Shared([tuple(x.to(self.device) for x in as_examples(*pair)) for pair in examples])
        everyone = torch.arange(len(data.inputs[0]), device=self.device).expand(len(self), -1)
        run = vmap(self._guess, randomness="different")

        def predict(begin: int, end: int) -> tuple[Tensor, Tensor]:
            x, y = data.at(everyone[:, begin:end])
            predicted, losses = run(self._parameters, self._buffers, x, y)
            return predicted, losses

        self._base.eval()
        predicted, losses = in_batches(predict, everyone.shape[1], self.settings.batch, dim=1)
        self._base.train()
        return [self._summary(i, predicted[i], losses[i], data.of(i)[1]) for i in range(len(self))]

    def unstack(self) -> list[ExampleTrainer]:
        """The trainers, with weights, moments, step and curve of now; the stack may go on after it.

        The stack's time is shared out equally.
        """
        share, self.seconds = self.seconds / len(self), 0.0
        with torch.no_grad():
            for index, one in enumerate(self.trainers):
                self._give_back(index, one)
                one.seconds += share
                one.step = self.step
        return self.trainers

    def _give_back(self, index: int, one: ExampleTrainer) -> None:
        for name, buffer in one.model.named_buffers():
            buffer.copy_(self._buffers[name][index])
        for name, parameter in one.model.named_parameters():
            parameter.copy_(self._parameters[name][index])
            if name in self._moments and name not in self._unused and self.step > 0:
                mean, square = self._moments[name]
                one.optimizer.state[parameter] = {
                    "step": torch.tensor(float(self.step), device=self.device),
                    "exp_avg": mean[index].clone(),
                    "exp_avg_sq": square[index].clone(),
                }

    def _moments_of(self, name: str) -> tuple[Tensor, Tensor]:
        """Both moments of one parameter, stacked; zero where a member has not trained yet."""
        means, squares = [], []
        for one in self.trainers:
            parameter = one.model.get_parameter(name)
            state = one.optimizer.state.get(parameter, {})
            means.append(state.get("exp_avg", torch.zeros_like(parameter)).detach())
            squares.append(state.get("exp_avg_sq", torch.zeros_like(parameter)).detach())
        return torch.stack(means).clone(), torch.stack(squares).clone()

    def _loss(self, parameters: Any, buffers: Any, inputs: Tensor, targets: Tensor) -> Tensor:
        """One member's loss on its batch."""
        with autocast(self.device, self.settings.precision):
            logits = functional_call(self._base, (parameters, buffers), (inputs,))
        return probed_loss(logits, targets)

    def _guess(self, parameters: Any, buffers: Any, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(self.device, self.settings.precision):
            logits = functional_call(self._base, (parameters, buffers), (inputs,))
        return guesses(logits, targets)

    def _summary(self, index: int, predicted: Tensor, losses: Tensor, targets: Tensor) -> Scored:
        try:
            if index in self.diverged:
                return self.diverged[index]
            return summarise(predicted, losses, targets, self.settings.batch)
        except DivergedError as error:
            return error

    def _one_step(self, total: int) -> None:
        self._set_rates(total)
        seed = self.trainers[0].seed
        torch.manual_seed(step_seed(seed, self.step))
        x, y = self._data.at(self._chosen())
        if self._captured and x.shape[1] == min(self.settings.batch, len(self._data.inputs[0])):
            if self._graph is None:
                self._graph = _Captured(self._update, self._kept(), x, y)
            losses = self._graph(x, y)
        else:
            losses = self._update(x, y)
        self._unread.append(losses)

    def _chosen(self) -> Tensor:
        """Each member's examples of this step."""
        examples, batch = len(self._data.inputs[0]), self.settings.batch
        epoch, index = divmod(self.step, -(-examples // batch))
        if epoch != self._epoch:
            orders = [one.order.of_epoch(epoch) for one in self.trainers]
            self._epoch, self._order = epoch, torch.stack(orders).to(self.device)
        return self._order[:, index * batch : (index + 1) * batch]

    def _set_rates(self, total: int) -> None:
        """What a step needs beside gradients, in memory that a captured graph reads.

        Per member: the rate over the first moment's bias correction, the factor of weight decay, and the
        root of the second moment's correction.
        """
        first, second = self.settings.betas
        share = self.settings.rate_at(self.step, total)
        count = self.step + 1
        rows: list[list[float]] = [[], [], []]
        for one in self.trainers:
            rate = one.settings.learning_rate * share
            rows[0].append(rate / (1 - first**count))
            rows[1].append(1 - rate * one.settings.weight_decay)
            rows[2].append(math.sqrt(1 - second**count))
        self._rates.copy_(torch.tensor(rows))

    def _update(self, x: Tensor, y: Tensor) -> Tensor:
        """One step of all members, in place; their losses."""
        losses = self._losses(self._parameters, self._buffers, x, y)
        leaves = [self._parameters[name] for name in self._trained]
        gradients = torch.autograd.grad(losses.sum(), leaves, allow_unused=True)
        found = {n: g for n, g in zip(self._trained, gradients, strict=True) if g is not None}
        self._unused = set(self._trained) - set(found)
        with torch.no_grad():
            if self.settings.clip is not None:
                scale = _clip_factor(list(found.values()), self.settings.clip)
                found = {name: g * _along(scale, g) for name, g in found.items()}
            for name, gradient in found.items():
                self._adamw(name, gradient)
        return losses.detach()

    def _adamw(self, name: str, gradient: Tensor) -> None:
        """AdamW with decoupled decay (Loshchilov and Hutter, arXiv 1711.05101), as torch.optim.AdamW."""
        parameter, (mean, square) = self._parameters[name], self._moments[name]
        first, second = self.settings.betas
        rate, decay, correction = (_along(row, parameter) for row in self._rates)
        if decays(parameter.ndim - 1, self.settings):
            parameter.mul_(decay)
        mean.lerp_(gradient, 1 - first)
        square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        parameter.sub_(rate * mean / (square.sqrt() / correction + self.settings.epsilon))

    def _kept(self) -> list[Tensor]:
        """All that a step changes."""
        moments = [value for pair in self._moments.values() for value in pair]
        return [*(p.detach() for p in self._parameters.values()), *self._buffers.values(), *moments]

    def _try(self) -> None:
        """Map one small batch forward and back, on copies of the buffers; check the output's shape too."""
        x, y = self._data.at(self._chosen()[:, :2])
        buffers = {name: value.clone() for name, value in self._buffers.items()}
        devices = [self.device] if self.device.type == "cuda" else []

        def checked(parameters: Any, buffers: Any, inputs: Tensor, targets: Tensor) -> Tensor:
            with autocast(self.device, self.settings.precision):
                logits = functional_call(self._base, (parameters, buffers), (inputs,))
            check_logits(logits, targets)
            self._classes = logits.shape[-1]
            return probed_loss(logits, targets)

        try:
            with torch.random.fork_rng(devices):
                losses = vmap(checked, randomness="different")(self._parameters, buffers, x, y)
                leaves = [self._parameters[name] for name in self._trained]
                torch.autograd.grad(losses.sum(), leaves, allow_unused=True)
        except (torch.OutOfMemoryError, LayerError):
            raise
        except Exception as error:
            reason = (str(error).strip().splitlines() or ["no reason given"])[0]
            raise NotStackableError(
                f"a layer cannot be mapped over members ({type(error).__name__}: {reason}): "
                "train them one by one"
            ) from error

    def _read(self) -> None:
        """Read the losses not yet read into the members' curves; note who has come apart."""
        if not self._unread:
            return
        rows = torch.stack(self._unread).tolist()
        first = self.step - len(rows)
        self._unread.clear()
        for place, one in enumerate(self.trainers):
            one.classes = self._classes
            for index, row in enumerate(rows):
                if place in self.diverged:
                    break
                try:
                    one.losses.add(first + index, row[place], self._classes)
                except DivergedError as error:
                    self.diverged[place] = error


class _Shared:
    """The members' examples, each set kept once, those of one shape gathered by a single index."""

    def __init__(self, pairs: Sequence[tuple[Tensor, ...]]) -> None:
        places: dict[tuple[int, int], int] = {}
        kept: list[tuple[Tensor, ...]] = []
        source = []
        for inputs, targets in pairs:
            key = (inputs.data_ptr(), targets.data_ptr())
            if key not in places:
                places[key] = len(kept)
                kept.append((inputs, targets))
            source.append(places[key])
        if len({(x.shape, y.shape) for x, y in kept}) > 1:
            raise ConfigurationError("members of a stack need examples of one shape: group them by shape")
        self.inputs = torch.stack([x for x, _ in kept]) if len(kept) > 1 else kept[0][0][None]
        self.targets = torch.stack([y for _, y in kept]) if len(kept) > 1 else kept[0][1][None]
        self.source = torch.tensor(source, device=self.inputs.device)[:, None]

    def at(self, chosen: Tensor) -> Examples:
        """Each member's examples of these numbers, (members, batch)."""
        return self.inputs[self.source, chosen], self.targets[self.source, chosen]

    def of(self, member: int) -> Examples:
        """All examples of one member."""
        return self.inputs[self.source[member, 0]], self.targets[self.source[member, 0]]


class _Captured:
    """One step as a CUDA graph, replayed on new batches copied to where the graph reads."""

    def __init__(
        self, update: Callable[[Tensor, Tensor], Tensor], state: list[Tensor], x: Tensor, y: Tensor
    ) -> None:
        self._x, self._y = x.clone(), y.clone()
        before = [value.clone() for value in state]
        with torch.cuda.device(x.device):
            # What runs for the first time allocates and tunes itself, which cannot be captured.
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    update(self._x, self._y)
            torch.cuda.current_stream().wait_stream(side)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._losses = update(self._x, self._y)
        for value, old in zip(state, before, strict=True):
            value.copy_(old)

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        self._x.copy_(x)
        self._y.copy_(y)
        self._graph.replay()
        return self._losses.clone()


def _stacked(models: list[nn.Module]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    try:
        return stack_module_state(models)
    except RuntimeError as error:
        raise NotStackableError(f"models that cannot be stacked: {error}") from error


def _clip_factor(gradients: Sequence[Tensor], limit: float) -> Tensor:
    """Per member, what its gradients are multiplied with so that their norm is at most `limit`."""
    squares = torch.stack([g.flatten(1).square().sum(1) for g in gradients]).sum(0)
    return (limit / (squares.sqrt() + 1e-6)).clamp(max=1.0)


def _along(row: Tensor, like: Tensor) -> Tensor:
    """One number per member, shaped to go with a stacked tensor."""
    return row.view(-1, *[1] * (like.ndim - 1))


def _check_alike(trainers: Sequence[ExampleTrainer]) -> None:
    if not trainers:
        raise ConfigurationError("a stack of no trainings: give one or more")
    facts = [_facts(one) for one in trainers]
    for fact, value in facts[0].items():
        if any(other[fact] != value for other in facts):
            raise ConfigurationError(f"members of a stack differ in their {fact}: group them by it")


def _facts(one: ExampleTrainer) -> dict[str, Any]:
    """All that members of one stack have in common."""
    return {
        "settings beside rate and decay": one.settings.model_dump(exclude=_VARY),
        "steps done": one.step,
        "device": one.device,
        "shape of examples": (one.inputs.shape, one.targets.shape),
        "modules": [(name, type(module)) for name, module in one.model.named_modules()],
        "parameters": [(name, p.shape, p.dtype) for name, p in one.model.named_parameters()],
    }
