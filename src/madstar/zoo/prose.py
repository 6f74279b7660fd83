"""What a package itself says about a model: docstrings of its class, its configuration, its module."""

from __future__ import annotations

import inspect
import sys

from madstar.zoo.model import ZooModel

_SHORTEST = 3
"""Words: docstrings of fewer say nothing."""


def prose(model: ZooModel) -> str:
    """Return the words that the installed package carries about a model, each under its source.

    Returns:
        Text: for each piece a line "# SOURCE (package VERSION)" and the docstring below; empty if the
        package says nothing.
    """
    cls, config = type(model.module), type(model.config)
    package = "timm" if "timm" in model.facts else "transformers"
    version = f"{package} {model.facts.get(package, '')}".strip()
    pieces: dict[str, str | None] = {f"{cls.__module__}.{cls.__qualname__}": cls.__doc__}
    home = sys.modules.get(cls.__module__)
    if home is not None:
        pieces[cls.__module__] = home.__doc__
    if config is not dict:
        pieces[f"{config.__module__}.{config.__qualname__}"] = config.__doc__
    forward = getattr(cls, "forward", None)
    pieces[f"{cls.__module__}.{cls.__qualname__}.forward"] = getattr(forward, "__doc__", None)
    entry = getattr(home, model.type, None) if package == "timm" else None
    if callable(entry):
        pieces[f"{cls.__module__}.{model.type}"] = entry.__doc__
    told = []
    for source, text in pieces.items():
        cleaned = inspect.cleandoc(text) if isinstance(text, str) else ""
        if len(cleaned.split()) >= _SHORTEST:
            told.append(f"# {source} ({version})\n\n{cleaned}\n")
    return "\n".join(told)
