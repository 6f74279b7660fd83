"""A graph transformer on disk: its weights (safetensors), and what they are weights of (JSON).

A folder holds `model.json` and `model.safetensors`, what has been learned best; and, until the training is
done, `training.safetensors`, from which it goes on: weights, the optimizer's moments, the step. Every file
appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ...errors import ConfigurationError, DataError, GraphError
from ...graph.json_format import from_json, to_json
from ...graph.model import Graph
from ...whole_files import whole, write_whole
from ..features import COLUMNS, OperationTable
from ..transformer.config import TransformerConfig
from ..transformer.model import GraphTransformer
from ..transformer.relations import CODES
from .settings import TrainingSettings
from .training import Trainer

SCHEMA = "madstar.graph-transformer/4"
MODEL, WEIGHTS, TRAINING = "model.json", "model.safetensors", "training.safetensors"

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def arrays_read() -> str:
    """A hash of what the model takes for granted of its arrays: columns, their ranges, codes of pairs."""
    return hashlib.sha256(json.dumps([COLUMNS, CODES]).encode()).hexdigest()[:12]


def save_model(model: GraphTransformer, folder: Path, facts: dict[str, Any]) -> None:
    """Write a model; `facts` is JSON data that is kept beside it (dataset, step, scores)."""
    write_tensors(folder / WEIGHTS, {name: p.detach() for name, p in model.named_parameters()}, {})
    document = {
        "schema": SCHEMA,
        "arrays": arrays_read(),
        "config": model.config.to_dict(),
        "encoder": _encoder_text(model),
        "operations": list(model.table.names),
        "labels": list(model.labels),
        "facts": facts,
    }
    write_whole(folder / MODEL, (json.dumps(document, indent=1) + "\n").encode())


def load_model(folder: Path) -> tuple[GraphTransformer, dict[str, Any]]:
    """The model in a folder, and the facts beside it.

    Raises:
        DataError: there is none, it is of another version, or weights and description do not fit together.
    """
    document = _document(folder)
    try:
        config = TransformerConfig.from_dict(document["config"])
        table = OperationTable(tuple(map(str, document["operations"])))
        encoder = _encoder(document.get("encoder"), folder / MODEL)
        model = GraphTransformer(config, table, tuple(map(str, document["labels"])), encoder)
        facts = dict(document["facts"])
    except (KeyError, TypeError, ValueError, ConfigurationError) as error:
        raise DataError(f"{folder / MODEL} cannot be read: {error}; train anew") from None
    tensors, _ = _read(folder / WEIGHTS)
    _put(model, tensors, folder / WEIGHTS, "")
    return model.eval(), facts


def save_training(trainer: Trainer, folder: Path) -> None:
    """Write where a training is."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in trainer.model.named_parameters():
        tensors[f"model.{name}"] = parameter.detach()
        for key, value in trainer.optimizer.state[parameter].items():
            tensors[f"optimizer.{key}.{name}"] = torch.as_tensor(value)
    state = {
        "schema": SCHEMA,
        "arrays": arrays_read(),
        "data": trainer.data.hash,
        "config": trainer.model.config.to_dict(),
        "encoder": _encoder_text(trainer.model),
        "settings": trainer.settings.to_dict(),
        "step": trainer.step,
        "seconds": trainer.seconds,
        "nodes": trainer.nodes,
        "losses": trainer.losses,
        "best": trainer.best,
    }
    write_tensors(folder / TRAINING, tensors, {"state": json.dumps(state)})


def saved_settings(folder: Path) -> tuple[TransformerConfig, TrainingSettings, Graph | None]:
    """What the training in a folder is of; the last is the graph that stands for the encoder, if any.

    Raises DataError where there is none.
    """
    state = _state(folder)
    try:
        config = TransformerConfig.from_dict(state["config"])
        settings = TrainingSettings.from_dict(state["settings"])
        return config, settings, _encoder(state.get("encoder"), folder / TRAINING)
    except (KeyError, TypeError, ConfigurationError) as error:
        raise DataError(f"{folder / TRAINING} cannot be read: {error}; train anew") from None


def load_training(trainer: Trainer, folder: Path) -> None:
    """Put a training's state into a fresh trainer of the same data and settings.

    Raises:
        DataError: it is of another dataset or of other settings, or cannot be read.
    """
    state = _state(folder)
    for name, here in (
        ("data", trainer.data.hash),
        ("config", trainer.model.config.to_dict()),
        ("encoder", _encoder_text(trainer.model)),
        ("settings", trainer.settings.to_dict()),
    ):
        if state.get(name) != here:
            words = {"data": "another dataset", "config": "another size", "encoder": "another encoder"}
            word = words.get(name, "other settings")
            raise DataError(f"{folder / TRAINING} is a training with {word}: take another folder for --out")
    tensors, _ = _read(folder / TRAINING)
    _put(trainer.model, tensors, folder / TRAINING, "model.")
    for name, parameter in trainer.model.named_parameters():
        moments = {key: tensors.get(f"optimizer.{key}.{name}") for key in _MOMENTS}
        if all(value is not None for value in moments.values()):
            trainer.optimizer.state[parameter] = {
                key: value if key == "step" else value.to(trainer.device)
                for key, value in moments.items()
                if value is not None
            }
    trainer.step, trainer.seconds, trainer.nodes = state["step"], state["seconds"], state["nodes"]
    trainer.losses = dict(state["losses"])
    trainer.best = None if state["best"] is None else (state["best"][0], state["best"][1])


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file that is whole or absent."""
    with whole(path) as partial:
        save_file({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, partial, metadata)


def _encoder_text(model: GraphTransformer) -> str | None:
    """The graph that stands for the encoder, as JSON; None where it is the package's own."""
    return None if model.encoder_graph is None else to_json(model.encoder_graph)


def _encoder(text: object, path: Path) -> Graph | None:
    if text is None:
        return None
    try:
        return from_json(str(text), "encoder")
    except GraphError as error:
        raise DataError(f"{path} cannot be read: {error}; train anew") from None


def _document(folder: Path) -> dict[str, Any]:
    path = folder / MODEL
    if not path.is_file():
        raise DataError(f"{folder} holds no graph transformer; train one with madstar learn train")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}; train anew") from None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else type(document).__name__
        raise DataError(f"{path} is of schema {found}, this version reads {SCHEMA}: train anew")
    if document.get("arrays") != arrays_read():
        raise DataError(f"{path} was trained on arrays of another version: train anew")
    return document


def _state(folder: Path) -> dict[str, Any]:
    path = folder / TRAINING
    if not path.is_file():
        raise DataError(f"{folder} holds no training to resume; start one without --resume")
    _, metadata = _read(path)
    try:
        state = json.loads(metadata.get("state", ""))
    except ValueError:
        state = None
    if not isinstance(state, dict) or state.get("schema") != SCHEMA or state.get("arrays") != arrays_read():
        raise DataError(f"{path} is no training of this version: train anew")
    return state


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} cannot be read: {error}; train anew") from None


def _put(model: GraphTransformer, tensors: dict[str, Tensor], path: Path, start: str) -> None:
    for name, parameter in model.named_parameters():
        found = tensors.get(start + name)
        if found is None or found.shape != parameter.shape:
            there = "missing" if found is None else f"of shape {tuple(found.shape)}"
            raise DataError(f"{path} does not fit its model: {name} is {there}, not {tuple(parameter.shape)}")
        with torch.no_grad():
            parameter.copy_(found)
