"""An architecture and its weights as a directory that runs without madstar."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from ..errors import ConfigurationError
from ..genome import Genome, Sizes, compile_genome
from ..liv import Backbone, BackboneSpec
from ..liv.given import LAYERS
from ..version import __version__
from .bundle import bundle
from .figures import read_figures
from .layers import LayerWords, describe
from .placing import place
from .readme import readme
from .running import FORMAT

FILES = ("README.md", "config.json", "model.safetensors", "modeling.py", "tokenizer.json")
_FAMILY = FORMAT.rpartition("-")[0]  # exports of all format versions


def export_model(
    backbone: Backbone,
    directory: Path,
    *,
    genome: str,
    figures: Mapping[str, Any],
    tokenizer: Path | None = None,
    title: str | None = None,
) -> Path:
    """Write modeling.py, config.json, model.safetensors and README.md; return the directory.

    `figures` are numbers by name, each alone, as (value, standard error), or as a mapping of value,
    error and unit. `tokenizer` is a tokenizer.json to go with the model. An earlier export in the
    directory is replaced. The directory appears whole or not at all.

    Raises GenomeError where the genome cannot be read; ConfigurationError where it is not this
    backbone's or has a layer of another package, or where the weights, a figure or the tokenizer are of
    no use; OutputError where
    the directory cannot be written or holds something else.
    """
    spec = backbone.spec
    read = Genome.parse(genome)
    code = str(read)
    _require_same_layers(read, spec)
    _require_own_layers(spec)
    layers = describe(read, spec)
    weights, names = _weights(backbone)
    config = {
        "format": FORMAT,
        "madstar_version": __version__,
        "genome": code,
        "dtype": str(backbone.embedding.weight.dtype).removeprefix("torch."),
        **spec.to_dict(),
    }
    text = readme(
        title or f"Model {read.architecture}",
        code,
        spec,
        layers,
        read_figures(figures),
        parameters=sum(weight.numel() for weight in weights.values()),
        has_tokenizer=tokenizer is not None,
    )
    contents = {
        "README.md": text.encode(),
        "config.json": (json.dumps(config, indent=2) + "\n").encode(),
        "modeling.py": bundle(spec, _introduction(code, layers)).encode(),
        "model.safetensors": save(weights, {"shared": json.dumps(names)}),
    }
    if tokenizer is not None:
        contents["tokenizer.json"] = _tokenizer(tokenizer, spec)
    return place(Path(directory), contents, FILES, _FAMILY)


def _require_same_layers(genome: Genome, spec: BackboneSpec) -> None:
    if compile_genome(genome, Sizes()).layers != spec.layers:
        raise ConfigurationError(
            f"the genome {genome} does not describe this backbone's layers: give the one it was built from"
        )


def _require_own_layers(spec: BackboneSpec) -> None:
    """Raise ConfigurationError for a layer whose code is another package's."""
    for layer in spec.layers:
        name = layer.operator.layer
        if name and name not in LAYERS:
            raise ConfigurationError(
                f"layer {name} is another package's, and an export carries madstar's own code only: "
                "use the model with that package installed, or search without the layer"
            )


def _weights(backbone: Backbone) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Every parameter once under its first name, and the other names of shared ones."""
    stored = dict(backbone.named_parameters())
    if any(parameter.is_meta for parameter in stored.values()):
        raise ConfigurationError("the backbone has no weights, only shapes: build it before exporting it")
    dtypes = {parameter.dtype for parameter in stored.values()}
    if len(dtypes) > 1:
        raise ConfigurationError(
            f"the weights are {' and '.join(sorted(map(str, dtypes)))}: convert the backbone to one of them"
        )
    first = {id(parameter): name for name, parameter in stored.items()}
    names = {
        name: first[id(parameter)]
        for name, parameter in backbone.named_parameters(remove_duplicate=False)
        if name not in stored
    }
    tensors = {name: parameter.detach().cpu().contiguous() for name, parameter in stored.items()}
    return tensors, names


def _tokenizer(path: Path, spec: BackboneSpec) -> bytes:
    from tokenizers import Tokenizer

    try:
        content = Path(path).read_bytes()
        size = Tokenizer.from_str(content.decode()).get_vocab_size()
    except OSError as error:
        raise ConfigurationError(f"cannot read the tokenizer {path}: {error.strerror}") from error
    except Exception as error:  # the library raises nothing narrower
        reason = " ".join(str(error).split())
        raise ConfigurationError(
            f"{path} is no tokenizer.json ({reason}): give one, or leave it out"
        ) from error
    if size > spec.vocabulary_size:
        raise ConfigurationError(
            f"{path} has {size} tokens but the model a vocabulary of {spec.vocabulary_size}: "
            "give the tokenizer that it was trained with"
        )
    return content


def _introduction(genome: str, layers: tuple[LayerWords, ...]) -> str:
    """The docstring of modeling.py: the architecture at a glance."""
    lines = [f"  {row.number:2}  {row.name:<12}  {row.operator}; {row.sharing}" for row in layers]
    return "\n".join(
        [
            "A causal sequence model, designed with madstar and written out for this architecture alone.",
            "",
            f"Genome: {genome}",
            "",
            *(line.removesuffix("; nothing") for line in lines),
            "",
            'Shapes stand beside the tensors: Float[Tensor, "batch length"] is a Tensor of that shape.',
            "What stands under docs/ is in madstar's repository.",
            "Licence: Apache License 2.0, as madstar, of whose sources this file is made.",
        ]
    )
