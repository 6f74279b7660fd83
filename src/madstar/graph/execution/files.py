"""A tensor from a file: .npy or .safetensors. Nothing in a file is executed."""

from __future__ import annotations

from pathlib import Path

import numpy
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ...errors import GraphError, in_one_line


def read_tensor(file: Path, name: str) -> Tensor:
    """The tensor in a .npy file, or of this name (or the only one) in a .safetensors file.

    Raises GraphError for a file that is missing, is none of these, or has no such tensor.
    """
    if not file.is_file():
        raise GraphError(f"input {name!r}: {file} is no file")
    if file.suffix == ".npy":
        try:
            return torch.from_numpy(numpy.load(file, allow_pickle=False))
        except (ValueError, OSError, TypeError, EOFError) as error:
            raise GraphError(f"input {name!r}: {file} cannot be read: {in_one_line(error, 160)}") from None
    if file.suffix != ".safetensors":
        raise GraphError(f"input {name!r}: {file}: give a .npy or .safetensors file")
    try:
        with safe_open(file, framework="pt") as opened:
            held = list(opened.keys())
            chosen = name if name in held else held[0] if len(held) == 1 else None
            if chosen is None:
                raise GraphError(
                    f"input {name!r}: {file} has {', '.join(held[:5]) or 'nothing'}; name it {name!r}"
                )
            found: Tensor = opened.get_tensor(chosen)
            return found
    except (SafetensorError, OSError) as error:
        raise GraphError(f"input {name!r}: {file} cannot be read: {in_one_line(error, 160)}") from None
