"""A training shared among processes: each works out a part of every step's gradients.

The other processes are forks of the one that trains. Weights and gradients lie in memory that all of them
see; what goes through pipes is the number of a step, and what its losses were. Each draws the whole step and
takes its share (`steps.shared_out`), so that the sum of all gradients is that of one process up to rounding.
The optimizer is the first one's alone.
"""

from __future__ import annotations

import json
import mmap
import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess

import torch
from torch import Tensor

from ...errors import ConfigurationError, WorkerError
from .training import Losses, Trainer


@contextmanager
def sharing(trainer: Trainer, processes: int) -> Iterator[Trainer]:
    """The trainer, its steps shared among so many processes, itself among them, while the context lasts.

    Raises:
        ConfigurationError: fewer than one process, a GPU shared, or a system that does not fork.
    """
    if processes < 1:
        raise ConfigurationError(f"{processes} processes: give at least 1")
    if processes == 1:
        yield trainer
        return
    if trainer.device.type != "cpu":
        raise ConfigurationError(f"{processes} processes on {trainer.device}: a GPU is not shared, give 1")
    if "fork" not in multiprocessing.get_all_start_methods():
        raise ConfigurationError(f"{processes} processes: this system cannot fork, give 1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a core is a process's; and what forks has no threads of its own
    others = _Others(trainer, processes)
    trainer.others = others
    try:
        yield trainer
    finally:
        trainer.others = None
        others.close()
        torch.set_num_threads(threads)


class _Others:
    def __init__(self, trainer: Trainer, of: int) -> None:
        self.of = of
        self._parameters = list(trainer.model.parameters())
        _move(self._parameters)
        self._gradients = [_alike(self._parameters) for _ in range(of - 1)]
        self._pipes: list[Connection] = []
        self._processes: list[ForkProcess] = []
        context = multiprocessing.get_context("fork")
        for share, gradients in enumerate(self._gradients, start=1):
            here, there = context.Pipe()
            arguments = (trainer, share, of, gradients, there, [*self._pipes, here])
            process = context.Process(target=_other, args=arguments, daemon=True)
            process.start()
            there.close()
            self._pipes.append(here)
            self._processes.append(process)

    def begin(self, step: int) -> None:
        """Let them begin."""
        for pipe in self._pipes:
            try:
                pipe.send_bytes(str(step).encode())
            except OSError:
                raise self._gone() from None

    def added(self) -> list[Losses]:
        """Wait for them and add their gradients to the model's."""
        found: list[Losses] = []
        for pipe, gradients in zip(self._pipes, self._gradients, strict=True):
            try:
                answer = json.loads(pipe.recv_bytes())
            except (OSError, EOFError):
                raise self._gone() from None
            for number in answer["gradients"]:
                parameter, other = self._parameters[number], gradients[number]
                parameter.grad = other.clone() if parameter.grad is None else parameter.grad.add_(other)
            found.append({task: (loss, count) for task, (loss, count) in answer["losses"].items()})
        return found

    def close(self) -> None:
        """End them."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()

    def _gone(self) -> WorkerError:
        for process in self._processes:
            process.join(1)
        codes = ", ".join(str(p.exitcode) for p in self._processes if p.exitcode is not None)
        return WorkerError(
            f"a process that shares the training has ended (exit code {codes}): out of memory? "
            "go on with --resume"
        )


def _other(
    trainer: Trainer,
    share: int,
    of: int,
    gradients: list[Tensor],
    pipe: Connection,
    inherited: list[Connection],
) -> None:
    """A process that works out one share of every step that it is told of, until there is nobody to tell."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who trains says when to stop
    for each in inherited:
        each.close()  # or the other end of its own would never be seen to close
    parameters = list(trainer.model.parameters())
    while True:
        try:
            step = int(pipe.recv_bytes())
            losses = trainer.learn(step, trainer.draws.pieces(step), share, of)
            there = []
            for number, (parameter, shown) in enumerate(zip(parameters, gradients, strict=True)):
                if parameter.grad is not None:
                    shown.copy_(parameter.grad)
                    there.append(number)
            pipe.send_bytes(json.dumps({"losses": losses, "gradients": there}).encode())
        except (OSError, EOFError):
            return


def _move(parameters: list[torch.nn.Parameter]) -> None:
    """Put the parameters into memory that forks share."""
    for parameter, shared in zip(parameters, _alike(parameters), strict=True):
        shared.copy_(parameter.detach())
        parameter.data = shared


def _alike(parameters: list[torch.nn.Parameter]) -> list[Tensor]:
    """Tensors of the parameters' shapes, each in memory that forks share."""
    found = []
    for parameter in parameters:
        memory = mmap.mmap(-1, max(1, parameter.numel() * parameter.element_size()))
        found.append(
            torch.frombuffer(memory, dtype=parameter.dtype, count=parameter.numel()).view_as(parameter)
        )
    return found
