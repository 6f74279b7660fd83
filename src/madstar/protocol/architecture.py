"""What is benchmarked, as a value: a list of layers, a genome, or a user's function that makes models.

A value's `key` is a hash of everything its scores depend on, the source of a user's own code included,
so that a score is found again for the same architecture and never returned for another.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import ConfigurationError, LayerError, in_one_line
from ..genome import Genome, Sizes, compile_genome
from ..liv import AutoEncoder, Backbone, LanguageModel
from ..liv.compressed import CompressedBackbone
from ..liv.layers.choice import LayerChoice, choices, short
from ..liv.stack import EMBEDDING_STD, seeded
from ..plugins import load_attribute, of_scheme

AUTO_ENCODER = "auto-encoder"
MakeModel = Callable[..., nn.Module]


@dataclass(frozen=True)
class Architecture:
    """The base of the three kinds."""

    @property
    def label(self) -> str:
        """For people, and for names of runs."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """JSON data, from which `from_dict` makes it again."""
        raise NotImplementedError

    def make(self, task: str, backbone: str, vocabulary_size: int, length: int) -> nn.Module:
        """A model for a task, its weights drawn from torch's global generator."""
        raise NotImplementedError

    def build(self, task: str, backbone: str, vocabulary_size: int, length: int, seed: int) -> nn.Module:
        """A model for a task: a function of the seed. Raises LayerError where it cannot be built."""
        return seeded(lambda: self.make(task, backbone, vocabulary_size, length), seed)

    @cached_property
    def key(self) -> str:
        """A hash of all that the scores depend on."""
        data = json.dumps([self.to_dict(), self._sources()], sort_keys=True)
        return hashlib.sha256(data.encode()).hexdigest()[:16]

    def _sources(self) -> list[str]:
        return []


@dataclass(frozen=True)
class LayerStack(Architecture):
    """Layers by name, in the backbones of MAD."""

    layers: tuple[LayerChoice, ...]
    dim: int = 128
    embedding_std: float = EMBEDDING_STD

    @classmethod
    def of(
        cls,
        layers: Sequence[str | LayerChoice],
        dim: int = 128,
        *,
        iso: bool = False,
        compatible: bool = False,
        embedding_std: float = EMBEDDING_STD,
    ) -> LayerStack:
        """Layers by name with MAD's settings; see `LayerChoice.of`. Raises LayerError, ConfigurationError."""
        if not layers:
            raise ConfigurationError("no layers: name them, such as --layers mh-attention swiglu")
        if dim < 1:
            raise ConfigurationError(f"width {dim}: give at least 1")
        return cls(choices(layers, iso=iso, compatible=compatible), dim, embedding_std)

    @property
    def label(self) -> str:
        """The layers' names, repeated ones counted: 2 x (mh-attention swiglu)."""
        names = [str(layer) for layer in self.layers]
        for size in range(1, len(names) // 2 + 1):
            times, rest = divmod(len(names), size)
            if not rest and names == names[:size] * times:
                unit = " ".join(names[:size])
                return f"{times} x {unit}" if size == 1 else f"{times} x ({unit})"
        return " ".join(names)

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        layers = [[layer.name, dict(layer.settings)] for layer in self.layers]
        return {"kind": "layers", "layers": layers, "dim": self.dim, "embedding_std": self.embedding_std}

    def make(self, task: str, backbone: str, vocabulary_size: int, length: int) -> nn.Module:
        """A `LanguageModel` or an `AutoEncoder` of these layers."""
        del task
        kind = AutoEncoder if backbone == AUTO_ENCODER else LanguageModel
        return kind(vocabulary_size, length, self.layers, dim=self.dim, embedding_std=self.embedding_std)

    def _sources(self) -> list[str]:
        return [source_hash(layer.name) for layer in self.layers if ":" in layer.name]


@dataclass(frozen=True)
class GenomeStack(Architecture):
    """A genome, in its own backbone."""

    genome: str
    width: int = 128
    heads: int = 8

    @classmethod
    def of(cls, genome: str, width: int = 128) -> GenomeStack:
        """A genome at a width, its heads of 16 channels. Raises GenomeError for one that cannot be built."""
        heads = max(1, width // 16)
        compile_genome(Genome.parse(genome), Sizes(vocabulary_size=16, width=width, heads=heads))
        return cls(genome, width, heads)

    @property
    def label(self) -> str:
        """The genome's text."""
        return self.genome

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        return {"kind": "genome", "genome": self.genome, "width": self.width, "heads": self.heads}

    def make(self, task: str, backbone: str, vocabulary_size: int, length: int) -> nn.Module:
        """The genome's backbone, or for the auto-encoder its layers before MAD's decoder."""
        del task
        sizes = Sizes(vocabulary_size=vocabulary_size, width=self.width, heads=self.heads)
        # The weights are a function of torch's generator, here as everywhere in a benchmark.
        seed = int(torch.randint(2**31, (1,)).item())
        model = Backbone(compile_genome(Genome.parse(self.genome), sizes), seed)
        return CompressedBackbone(model, length) if backbone == AUTO_ENCODER else model


@dataclass(frozen=True)
class ModelFunction(Architecture):
    """A user's function (task, vocab_size, max_length) -> torch.nn.Module, found again by its reference.

    `reference` is `file.py:name` or `package.module:name`; a function that has none (a closure, one typed
    into a notebook) is given as it is and can be used in this process only.
    """

    model_id: str
    reference: str = ""
    function: MakeModel | None = None

    @property
    def label(self) -> str:
        """The user's name for it."""
        return self.model_id

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        return {"kind": "function", "model_id": self.model_id, "reference": self.reference}

    def make(self, task: str, backbone: str, vocabulary_size: int, length: int) -> nn.Module:
        """What the user's function makes."""
        del backbone
        function = self.function or _loaded(self.reference)
        arguments = {"task": task, "vocab_size": vocabulary_size, "max_length": length}
        _check_takes(function, self.model_id, arguments)
        try:
            model = function(**arguments)
        except LayerError:
            raise
        except Exception as error:
            raise LayerError(
                f"model {self.model_id}: making it for {task} (vocabulary {vocabulary_size}, "
                f"length {length}) failed with {in_one_line(error)}"
            ) from error
        if not isinstance(model, nn.Module):
            raise LayerError(f"model {self.model_id}: the function made a {type(model).__name__}, no module")
        return model

    def _sources(self) -> list[str]:
        if self.function is None:
            return [source_hash(self.reference)]
        try:
            return [_digest(inspect.getsource(self.function).encode())]
        except (OSError, TypeError):
            return []


def from_dict(data: Mapping[str, Any]) -> Architecture:
    """The architecture that `to_dict` wrote."""
    if data["kind"] == "layers":
        layers = tuple(LayerChoice(name, tuple(sorted(own.items()))) for name, own in data["layers"])
        return LayerStack(layers, data["dim"], data["embedding_std"])
    if data["kind"] == "genome":
        return GenomeStack(data["genome"], data["width"], data["heads"])
    return ModelFunction(data["model_id"], data["reference"])


def source_hash(reference: str) -> str:
    """A hash of the file that a user's own code stands in; empty where it cannot be found."""
    where = reference.rpartition(":")[0]
    if of_scheme(reference)[0]:
        path = of_scheme(reference)[1]
    elif where.endswith(".py"):
        path = Path(where)
    else:
        try:
            spec = importlib.util.find_spec(where)
        except (ImportError, ValueError):
            return ""
        if spec is None or spec.origin is None:
            return ""
        path = Path(spec.origin)
    try:
        return _digest(path.read_bytes())
    except OSError:
        return ""


def short_label(architecture: Architecture) -> str:
    """The label with characters that file names and run names may have, at most 60 of them."""
    text = (
        architecture.label
        if not isinstance(architecture, LayerStack)
        else "-".join(short(layer.name).rpartition(":")[2] for layer in architecture.layers)
    )
    clean = "".join(c if c.isalnum() or c in "-." else "-" for c in text)
    return clean.strip("-")[:60].strip("-") or "model"


def _check_takes(function: MakeModel, model_id: str, arguments: Mapping[str, Any]) -> None:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    if missing := [name for name in arguments if name not in parameters]:
        raise LayerError(
            f"model {model_id}: the function takes no {missing[0]}; it is called as "
            "make_model_fn(task=..., vocab_size=..., max_length=...)"
        )


def _loaded(reference: str) -> MakeModel:
    found = load_attribute(reference, "model function", LayerError)
    if not callable(found):
        raise LayerError(f"model function {reference}: this is no function")
    return found


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
