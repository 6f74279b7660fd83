"""Lets timm be imported where torchvision is absent or does not load.

timm's architectures do not use torchvision; its data pipeline and feature extraction import names from it
on the way. The stand-in gives any module below `torchvision` and any name in it as an empty class, which is
enough to import and of no use beyond, but for a few operations that models compute with
(`madstar.zoo.regions`). It lives in this process alone and is never put in the place of a
torchvision that works. (A torchvision from PyPI does not load beside a CPU build of torch: it is installed,
and yet importing it fails.)
"""

from __future__ import annotations

import enum
import importlib
import importlib.abc
import importlib.machinery
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from torch import nn

from madstar.zoo.regions import roi_align

_NAME = "torchvision"


class _InterpolationMode(enum.Enum):
    """Ways to resize an image, which timm's configuration names."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


_OPERATIONS = {"roi_align": roi_align}
"""Operations that models of transformers compute with, in `torchvision.ops`."""


class _Empty(ModuleType):
    """A module in which every name is an empty class, but for a few operations."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "InterpolationMode":
            found: Any = _InterpolationMode
        elif self.__name__ == f"{_NAME}.ops" and name in _OPERATIONS:
            found = _OPERATIONS[name]
        else:
            found = type(name, (nn.Module,), {"__module__": self.__name__})
        setattr(self, name, found)
        return found


class _StandIn(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds and loads `torchvision` and everything below it, as empty modules."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] != _NAME:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__version__"] = "0.0.0"


def stand_in_for_torchvision() -> bool:
    """Make `import torchvision` succeed if it does not by itself; returns whether the stand-in is used."""
    if isinstance(sys.modules.get(_NAME), _Empty):
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(_NAME)
        return False
    except Exception:  # absent, or its compiled part does not fit this torch: OSError, RuntimeError
        for name in [name for name in sys.modules if name.partition(".")[0] == _NAME]:
            del sys.modules[name]
        sys.meta_path.insert(0, _StandIn())
        importlib.import_module(_NAME)
        return True
