"""How a module or a weight is reached from another: `self.layers[3].mlp`, or by its name as a text."""

from __future__ import annotations

from collections.abc import Mapping

from .names import is_attribute, quoted


def reach(expression: str, path: str, lists: Mapping[str, int] | None = None) -> str:
    """A module below another; `lists` are the paths of those that are lists."""
    at = ""
    for step in path.split(".") if path else ():
        if lists is not None and at in lists and at:
            expression = f"{expression}[{step}]"
        elif is_attribute(step):
            expression = f"{expression}.{step}"
        else:
            expression = f"{expression}._modules[{quoted(step)}]"
        at = f"{at}.{step}" if at else step
    return expression


def weight(owner: str, name: str, trained: bool) -> str:
    """A weight of a module."""
    if is_attribute(name):
        return f"{owner}.{name}"
    return f"{owner}._{'parameters' if trained else 'buffers'}[{quoted(name)}]"


def placed(owner: str, name: str, made: str) -> str:
    """The statement that gives a module another under a name."""
    if is_attribute(name):
        return f"{owner}.{name} = {made}"
    return f"{owner}._modules[{quoted(name)}] = {made}"
