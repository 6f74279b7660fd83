"""Loading an exported model and continuing a text with it.

This file is written into every exported `modeling.py`, where it must do without madstar; so its
errors are Python's own.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..liv import Backbone, BackboneSpec, generate

FORMAT = "madstar-export-1"
BYTES = 256


def load(directory: str | Path) -> Backbone:
    """The model of an exported directory, on the CPU, ready to run.

    Raises OSError where a file is missing, ValueError where one is not what an export writes.
    """
    directory = Path(directory)
    path = directory / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise ValueError(f"{path} is not of the format {FORMAT}: export the model again")
    try:
        spec = BackboneSpec.from_dict({field.name: config[field.name] for field in fields(BackboneSpec)})
        backbone = Backbone(spec).to(getattr(torch, config["dtype"]))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} does not describe the model of this file ({error})") from error
    path = directory / "model.safetensors"
    try:
        weights = load_file(path)
        # Weights that layers share are one parameter under its first name, here and in the file.
        names = {name for name, _ in backbone.named_parameters()}
        if names != weights.keys():
            raise ValueError(f"{path} does not fit config.json, see the weight {min(names ^ weights.keys())}")
        backbone.load_state_dict(weights, strict=False)
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{path} is not the model's: {' '.join(str(error).split())}") from error
    return backbone.eval()


def text_codec(
    directory: Path, vocabulary_size: int
) -> tuple[Callable[[str], list[int]], Callable[[list[int]], str]]:
    """From text to tokens and back: `tokenizer.json` where the directory has one, else bytes.

    Raises ValueError for a model that is neither.
    """
    path = directory / "tokenizer.json"
    if path.exists():
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(path))
        return (lambda text: tokenizer.encode(text).ids), tokenizer.decode
    if vocabulary_size != BYTES:
        raise ValueError(
            f"{vocabulary_size} tokens are no bytes and there is no tokenizer.json: "
            "call generate() with token numbers instead"
        )
    return (
        lambda text: list(text.encode("utf-8", "surrogateescape")),
        lambda tokens: bytes(tokens).decode("utf-8", "replace"),
    )


def continued(
    directory: Path, prompt: str, tokens: int, temperature: float, top_k: int | None, seed: int
) -> str:
    """The prompt and the model's continuation. Raises ValueError for settings that make no sense."""
    if tokens < 1:
        raise ValueError(f"{tokens} tokens: ask for at least one")
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"a temperature of {temperature}: choose 0 for the likeliest text, or more")
    if top_k is not None and top_k < 1:
        raise ValueError(f"a top-k of {top_k}: choose at least one")
    backbone = load(directory)
    encode, decode = text_codec(directory, backbone.spec.vocabulary_size)
    start = torch.tensor([encode(prompt)], dtype=torch.long)
    generator = torch.Generator().manual_seed(seed)
    longer = generate(backbone, start, tokens, temperature=temperature, top_k=top_k, generator=generator)
    return decode(longer[0].tolist())


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns its exit status."""
    parser = argparse.ArgumentParser(description="Continue a text with this model.")
    parser.add_argument("--prompt", required=True, help="the text to continue")
    parser.add_argument("--tokens", type=int, default=200, help="how many tokens to add (200)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 is greedy, 1 the model's own (0)")
    parser.add_argument("--top-k", type=int, help="sample from the k likeliest tokens only")
    parser.add_argument("--seed", type=int, default=0, help="of the sampling (0)")
    chosen = parser.parse_args(arguments)
    try:
        text = continued(
            Path(__file__).resolve().parent,
            chosen.prompt,
            chosen.tokens,
            chosen.temperature,
            chosen.top_k,
            chosen.seed,
        )
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(text)
    return 0
