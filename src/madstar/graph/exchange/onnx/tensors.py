"""The tensors of an ONNX file: types first, values when asked for, never from beyond its folder."""

from __future__ import annotations

import math
import stat
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from ....errors import GraphError, in_one_line
from .extras import need
from .opening import Limits

DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128",
    16: "bfloat16",
}  # fmt: skip
"""ONNX's numbers for the dtypes that graphs have."""

_BYTES = {
    "float32": 4, "uint8": 1, "int8": 1, "uint16": 2, "int16": 2, "int32": 4, "int64": 8, "bool": 1,
    "float16": 2, "float64": 8, "uint32": 4, "uint64": 8, "complex64": 8, "complex128": 16, "bfloat16": 2,
}  # fmt: skip
_FIELDS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")


class Stored:
    """A tensor of the file: its name, shape and dtype, checked; `array` and `tensor` read its values."""

    def __init__(self, file: Path, tensor: Any, limits: Limits):
        self.file, self.proto, self.name = file, tensor, tensor.name
        self.place = f"{file}: tensor {tensor.name!r:.100}"
        dtype = DTYPES.get(tensor.data_type)
        if dtype is None:
            raise GraphError(f"{self.place}: its data type {tensor.data_type} is none that graphs have")
        self.dtype = dtype
        self.shape = tuple(int(size) for size in tensor.dims)
        if any(size < 0 for size in self.shape) or len(self.shape) > 64:
            raise GraphError(f"{self.place}: no shape: {list(self.shape)!s:.80}")
        self.elements = math.prod(self.shape)
        if self.elements > limits.elements:
            raise GraphError(f"{self.place}: {self.elements:,} elements, the limit is {limits.elements:,}")
        if tensor.HasField("segment"):
            raise GraphError(f"{self.place}: it is cut into segments; write it whole")
        self.external: tuple[Path, int] | None = None
        if tensor.data_location == 1:
            self.external = self._external()
        else:
            self._check_inside()

    def _check_inside(self) -> None:
        wanted = self.elements * _BYTES[self.dtype]
        proto = self.proto
        if proto.HasField("raw_data"):
            if len(proto.raw_data) != wanted:
                found = len(proto.raw_data)
                raise GraphError(f"{self.place}: {found:,} bytes for {list(self.shape)} of {self.dtype}")
            return
        held = sum(len(getattr(proto, field)) for field in _FIELDS)
        if held != self.elements * (2 if self.dtype.startswith("complex") else 1):
            raise GraphError(f"{self.place}: {held:,} values for {list(self.shape)!s:.80}")

    def _external(self) -> tuple[Path, int]:
        said = {entry.key: entry.value for entry in self.proto.external_data}
        location = said.get("location", "")
        folder = self.file.parent.resolve()
        if not location or "\0" in location or Path(location).is_absolute() or ".." in Path(location).parts:
            raise GraphError(f"{self.place}: its data lies outside of the file's folder ({location!r:.80})")
        try:
            target = (folder / location).resolve()
            inside = target.is_relative_to(folder)
            found = target.stat() if inside else None
            begin = int(said.get("offset") or 0)
            wanted = self.elements * _BYTES[self.dtype]
            length = int(said.get("length") or wanted)
        except (OSError, ValueError, RuntimeError) as error:
            raise GraphError(f"{self.place}: its data cannot be read: {in_one_line(error, 120)}") from None
        if found is None:
            raise GraphError(f"{self.place}: its data lies outside of the file's folder ({location!r:.80})")
        if not stat.S_ISREG(found.st_mode):
            raise GraphError(f"{self.place}: {location!r:.80} is no file")
        if begin < 0 or length != wanted or begin + wanted > found.st_size:
            raise GraphError(
                f"{self.place}: {location!r:.80} lacks {wanted:,} bytes of {list(self.shape)} at {begin:,}"
            )
        return target, begin

    def array(self) -> Any:
        """The values as numpy has them; bfloat16 as its bits, uint16."""
        if self.external is not None:
            target, begin = self.external
            kind = numpy.dtype("uint16" if self.dtype == "bfloat16" else self.dtype)
            return numpy.fromfile(target, kind, self.elements, offset=begin).reshape(self.shape)
        try:
            if self.dtype == "bfloat16":
                return need("onnx").numpy_helper.to_array(self.proto).view(numpy.uint16)
            return need("onnx").numpy_helper.to_array(self.proto)
        except Exception as error:
            raise GraphError(f"{self.place}: cannot be read: {in_one_line(error, 120)}") from None

    def tensor(self) -> Tensor:
        """The values as a tensor of its own."""
        array = numpy.array(self.array())
        if self.dtype == "bfloat16":
            return torch.from_numpy(array.view(numpy.int16)).view(torch.bfloat16)
        return torch.from_numpy(array)
