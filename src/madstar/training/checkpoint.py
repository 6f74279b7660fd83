"""A paused trunk on disk: weights, optimizer moments, step and curve in one safetensors file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .trainer import Trainer


def save_trunk(trainer: Trainer, path: Path) -> None:
    """Write the trunk; the file appears whole or not at all. Raises OSError where it cannot be written."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in _parameters(trainer.model).items():
        tensors[f"model.{name}"] = parameter.detach().contiguous()
        for key, value in trainer.optimizer.state[parameter].items():
            tensors[f"optimizer.{key}.{name}"] = torch.as_tensor(value).contiguous()
    metadata = {
        "step": str(trainer.step),
        "seed": str(trainer.seed),
        "smoothed": repr(trainer._smoothed),
        "curve": json.dumps(trainer.curve),
        "task": trainer.task.fingerprint,
    }
    write_whole(path, tensors, metadata)


def load_trunk(trainer: Trainer, path: Path) -> bool:
    """Put a trunk's state into a fresh trainer; False where there is none that fits, and nothing is changed.

    A missing, torn or foreign checkpoint is not an error: the candidate is then trained from the
    start, to the same result.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            fits = metadata.get("task") == trainer.task.fingerprint
            if not fits or metadata.get("seed") != str(trainer.seed):
                return False
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return False
    parameters = _parameters(trainer.model)
    if {f"model.{name}" for name in parameters} != {n for n in tensors if n.startswith("model.")}:
        return False
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[f"model.{name}"])
            trainer.optimizer.state[parameter] = {
                key: tensors[f"optimizer.{key}.{name}"].clone()
                for key in ("step", "exp_avg", "exp_avg_sq")
                if f"optimizer.{key}.{name}" in tensors
            }
    trainer.step = int(metadata["step"])
    trainer._smoothed = float(metadata["smoothed"])
    trainer.curve = [(step, value) for step, value in json.loads(metadata["curve"])]
    return True


def save_weights(model: nn.Module, path: Path) -> None:
    """Write a model's weights, shared ones once, under the first of their names."""
    write_whole(path, {name: p.detach().contiguous() for name, p in _parameters(model).items()}, {})


def load_weights(model: nn.Module, path: Path) -> None:
    """Read what `save_weights` wrote into a model of the same architecture.

    Raises OSError or SafetensorError for a file that cannot be read or does not fit.
    """
    with safe_open(path, framework="pt") as file, torch.no_grad():
        for name, parameter in _parameters(model).items():
            parameter.copy_(file.get_tensor(name))


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
