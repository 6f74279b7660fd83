"""The optional packages of the museum, imported when first needed, kept away from the network."""

from __future__ import annotations

import importlib
import logging
import os
import re
import warnings
from types import ModuleType

from madstar.errors import GraphError
from madstar.zoo.torchvision_shim import stand_in_for_torchvision


def transformers_package() -> ModuleType:
    """Import transformers, offline and quiet.

    Raises:
        GraphError: it is not installed.
    """
    # Read once, at import: set before. A user who has set it otherwise still gets no download, since
    # nothing here asks for one.
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TRANSFORMERS_OFFLINE"] = "1"
    stand_in_for_torchvision()  # some types wrap a timm model
    package = _import("transformers")
    package.logging.set_verbosity_error()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    return package


def timm_package() -> ModuleType:
    """Import timm, with or without torchvision.

    Raises:
        GraphError: it is not installed.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    stand_in_for_torchvision()
    return _import("timm")


def _import(name: str) -> ModuleType:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        raise GraphError(
            f"{name} needs the package {missing}, which is not installed: pip install 'madstar[zoo]'"
        ) from None


def missing_package(error: BaseException) -> str | None:
    """Return the package that an error of transformers or Python asks for, None if it asks for none."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return error.name.partition(".")[0]
    if isinstance(error, ImportError):
        found = re.search(r"requires the (\S+) library", str(error))
        return found.group(1) if found else None
    return None
