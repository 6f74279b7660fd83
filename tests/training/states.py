"""All that a trainer is, to compare bit for bit."""

from typing import Any

import torch
from torch import nn

from madstar.training import Trainer


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def state(trainer: Trainer) -> dict[str, Any]:
    """Weights, optimizer moments, step, curve and the smoothed loss (as text, for nan is not itself)."""
    moments = {
        f"{index} {key}": torch.as_tensor(value).clone()
        for index, found in trainer.optimizer.state_dict()["state"].items()
        for key, value in found.items()
    }
    return {
        **{f"model {name}": value for name, value in weights(trainer.model).items()},
        **{f"optimizer {name}": value for name, value in moments.items()},
        "step": trainer.step,
        "curve": list(trainer.curve),
        "smoothed": repr(trainer._smoothed),
    }


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Equal to the last bit."""
    if first.keys() != second.keys():
        return False
    return all(
        torch.equal(value, second[name]) if isinstance(value, torch.Tensor) else value == second[name]
        for name, value in first.items()
    )
