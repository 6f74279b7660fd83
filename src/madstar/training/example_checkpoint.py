"""A paused training on examples, on disk: weights, buffers, moments and curve in one safetensors file.

The file appears whole or not at all, so a process that is killed at any moment loses no more than what it
trained since it last wrote. What cannot be read, or belongs to another training, is refused.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from .checkpoint import write_whole
from .examples import ExampleTrainer
from .racing import Evaluation

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
# Settings of what is measured on the way; and, at a constant rate, of where it ends.
_NOT_THE_WEIGHTS = {"stop_at", "accuracy", "evaluate_every", "evaluate_unit"}
_THE_END = {"epochs", "max_steps", "final_rate"}


class _Paused(NamedTuple):
    """What a checkpoint holds."""

    tensors: dict[str, Tensor]
    step: int
    seconds: float
    smoothed: float
    classes: int
    curve: list[tuple[float, float]]
    evaluations: list[Evaluation]


def save_example_trunk(trainer: ExampleTrainer, path: Path) -> None:
    """Write all that the trainer needs to go on. Raises OSError where it cannot be written."""
    tensors = {f"model.{name}": _copy(value) for name, value in _state(trainer.model).items()}
    for name, parameter in trainer.model.named_parameters():
        for key, value in trainer.optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{key}.{name}"] = _copy(torch.as_tensor(value))
    metadata = {
        "origin": origin(trainer),
        "step": str(trainer.step),
        "seconds": repr(trainer.seconds),
        "smoothed": repr(trainer.losses.smoothed),
        "classes": str(trainer.classes),
        "curve": json.dumps(trainer.losses.points),
        "evaluations": json.dumps(trainer.evaluations),
    }
    write_whole(path, tensors, metadata)


def load_example_trunk(trainer: ExampleTrainer, path: Path) -> bool:
    """Put a paused training into a fresh trainer; False where none fits, and then nothing is changed.

    A missing, torn or foreign file (other data, seed, settings, modules or `identity`) is not an error:
    the training then begins anew, to the same result.
    """
    paused = _read(path, origin(trainer))
    if paused is None or not _fits(paused, trainer.model):
        return False
    with torch.no_grad():
        for name, value in _state(trainer.model).items():
            value.copy_(paused.tensors[f"model.{name}"])
        for name, parameter in trainer.model.named_parameters():
            moments = {
                key: paused.tensors[f"optimizer.{key}.{name}"].to(parameter.device)
                for key in _MOMENTS
                if f"optimizer.{key}.{name}" in paused.tensors
            }
            if moments:
                trainer.optimizer.state[parameter] = moments
    trainer.step, trainer.seconds, trainer.classes = paused.step, paused.seconds, paused.classes
    trainer.losses.smoothed, trainer.losses.points = paused.smoothed, paused.curve
    trainer.evaluations = paused.evaluations
    return True


def origin(trainer: ExampleTrainer) -> str:
    """A hash of all that a training is a function of, beside its steps and what `identity` stands for."""
    left_out = _NOT_THE_WEIGHTS | (_THE_END if trainer.settings.schedule == "constant" else set())
    facts: list[Any] = [
        trainer.identity,
        trainer.seed,
        trainer.settings.model_dump(mode="json", exclude=left_out),
        [(name, type(module).__qualname__) for name, module in trainer.model.named_modules()],
        [(name, list(v.shape), str(v.dtype)) for name, v in _state(trainer.model).items()],
    ]
    digest = hashlib.sha256(json.dumps(facts).encode())
    for data in (trainer.inputs, trainer.targets):
        digest.update(repr(tuple(data.shape)).encode())
        digest.update(data.cpu().contiguous().numpy().data)
    return digest.hexdigest()


def _state(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers, those that modules share once."""
    kept = model.state_dict(keep_vars=True).keys()
    buffers = {name: buffer for name, buffer in model.named_buffers() if name in kept}
    return {**dict(model.named_parameters()), **buffers}


def _copy(value: Tensor) -> Tensor:
    # A copy, for safetensors refuses tensors that share memory.
    return value.detach().to("cpu", copy=True).contiguous()


def _read(path: Path, wanted: str) -> _Paused | None:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("origin") != wanted:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return _Paused(
            tensors,
            int(metadata["step"]),
            float(metadata["seconds"]),
            float(metadata["smoothed"]),
            int(metadata["classes"]),
            [(float(step), float(loss)) for step, loss in json.loads(metadata["curve"])],
            [Evaluation(int(s), float(a), float(e), float(x)) for s, a, e, x in _evaluations(metadata)],
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def _evaluations(metadata: dict[str, str]) -> list[list[float]]:
    found: list[list[float]] = json.loads(metadata["evaluations"])
    return found


def _fits(paused: _Paused, model: nn.Module) -> bool:
    """Whether a checkpoint has each tensor in its shape, and all moments of those that have any."""
    wanted = {f"model.{name}": value.shape for name, value in _state(model).items()}
    found = {name: value.shape for name, value in paused.tensors.items() if name.startswith("model.")}
    names = [name for name, _ in model.named_parameters()]
    moments = [sum(f"optimizer.{key}.{name}" in paused.tensors for key in _MOMENTS) for name in names]
    trained = set(moments) <= {0, len(_MOMENTS)} and any(moments) == (paused.step > 0)
    return paused.step >= 0 and found == wanted and trained
