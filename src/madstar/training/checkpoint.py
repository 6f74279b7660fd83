"""A paused trunk on disk: weights, optimizer moments, step and curve in one safetensors file."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .trainer import Trainer

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
# Settings of what is done with a copy of the trunk.
_NOT_THE_TRUNKS = {"decay_fraction", "validation_windows", "evaluation_batch"}


class _Trunk(NamedTuple):
    """What a checkpoint holds."""

    tensors: dict[str, Tensor]
    step: int
    smoothed: float
    seconds: float
    curve: list[tuple[float, float]]


def save_trunk(trainer: Trainer, path: Path) -> None:
    """Write the trunk; the file appears whole or not at all. Raises OSError where it cannot be written."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in _parameters(trainer.model).items():
        tensors[f"model.{name}"] = parameter.detach().contiguous()
        for key, value in trainer.optimizer.state[parameter].items():
            tensors[f"optimizer.{key}.{name}"] = torch.as_tensor(value).contiguous()
    metadata = {
        "origin": _origin(trainer),
        "step": str(trainer.step),
        "smoothed": repr(trainer._smoothed),
        "seconds": repr(trainer.seconds),
        "curve": json.dumps(trainer.curve),
    }
    write_whole(path, tensors, metadata)


def load_trunk(trainer: Trainer, path: Path) -> bool:
    """Put a trunk's state into a fresh trainer; False where there is none that fits, and nothing is changed.

    A missing, torn or foreign checkpoint (another architecture, text, seed or other settings) is not
    an error: the candidate is then trained from the start, to the same result.
    """
    trunk = _read_trunk(path, _origin(trainer))
    parameters = _parameters(trainer.model)
    if trunk is None or not _fits(trunk, parameters):
        return False
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(trunk.tensors[f"model.{name}"])
            moments = {
                key: trunk.tensors[f"optimizer.{key}.{name}"].clone()
                for key in _MOMENTS
                if f"optimizer.{key}.{name}" in trunk.tensors
            }
            if moments:
                trainer.optimizer.state[parameter] = moments
    trainer.step, trainer.seconds = trunk.step, trunk.seconds
    trainer._smoothed, trainer.curve = trunk.smoothed, trunk.curve
    return True


def _origin(trainer: Trainer) -> str:
    """A hash of all that a trunk is a function of, beside its steps."""
    data = [
        trainer.task.fingerprint,
        trainer.seed,
        repr(getattr(trainer.model, "spec", None)),
        trainer.settings.model_dump(mode="json", exclude=_NOT_THE_TRUNKS),
    ]
    return hashlib.sha256(json.dumps(data).encode()).hexdigest()


def _read_trunk(path: Path, origin: str) -> _Trunk | None:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("origin") != origin:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        curve = [(float(step), float(value)) for step, value in json.loads(metadata["curve"])]
        smoothed, seconds = float(metadata["smoothed"]), float(metadata["seconds"])
        return _Trunk(tensors, int(metadata["step"]), smoothed, seconds, curve)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def _fits(trunk: _Trunk, parameters: dict[str, nn.Parameter]) -> bool:
    """Whether a checkpoint has each weight in its shape, and all moments of those that have any."""
    wanted = {f"model.{name}": parameter.shape for name, parameter in parameters.items()}
    found = {name: value.shape for name, value in trunk.tensors.items() if name.startswith("model.")}
    moments = [sum(f"optimizer.{key}.{name}" in trunk.tensors for key in _MOMENTS) for name in parameters]
    trained = set(moments) <= {0, len(_MOMENTS)} and any(moments) == (trunk.step > 0)
    return trunk.step >= 0 and found == wanted and trained


def save_weights(model: nn.Module, path: Path) -> None:
    """Write a model's weights, shared ones once, under the first of their names."""
    write_whole(path, {name: p.detach().contiguous() for name, p in _parameters(model).items()}, {})


def load_weights(model: nn.Module, path: Path) -> None:
    """Read what `save_weights` wrote into a model of the same architecture.

    Raises OSError or SafetensorError for a file that cannot be read or does not fit.
    """
    parameters = _parameters(model)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in parameters}
    for name, parameter in parameters.items():
        if tensors[name].shape != parameter.shape:
            there, here = tuple(tensors[name].shape), tuple(parameter.shape)
            raise SafetensorError(f"{path}: {name} is of shape {there}, but {here} in this model")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])


def write_whole(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file under another name, then rename it: readers never see half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(tensors, partial, metadata)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Every parameter once, whatever shares it."""
    return dict(model.named_parameters())
