"""Models of transformers from their type or configuration: on the meta device, without weights or network."""

from __future__ import annotations

import contextlib
import copy
import difflib
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from madstar.errors import GraphError
from madstar.zoo.defaults import COMPLETIONS, agree, complete
from madstar.zoo.made_values import MadeValues
from madstar.zoo.model import ZooModel
from madstar.zoo.packages import missing_package, transformers_package
from madstar.zoo.shrink import nested, shrink

_LARGEST_CONFIG = 16 * 2**20
"""Bytes: a configuration file is a page, not a data set."""


def model_types() -> tuple[str, ...]:
    """Return the types of the installed transformers that reach an AutoModel, sorted.

    Raises:
        GraphError: transformers is not installed.
    """
    transformers_package()
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    return tuple(sorted(name for name in CONFIG_MAPPING_NAMES if name in MODEL_MAPPING_NAMES))


def load_type(
    name: str,
    *,
    shrunk: bool = False,
    overrides: dict[str, Any] | None = None,
    dtype: str | None = None,
    weights: int | None = None,
    bare: bool = False,
) -> ZooModel:
    """Build a type's model from its default configuration.

    Args:
        name: A transformers model type, such as "llama".
        shrunk: Cut every stack to two layers (`madstar.zoo.shrink`).
        overrides: Settings of the configuration by name; of a nested one by path, "text_config.hidden_size".
        dtype: "float32" or "bfloat16"; None for float32.
        weights: Seed of random weights on the CPU; None for the meta device.
        bare: Leave the default configuration as it is, without what `madstar.zoo.defaults` fills in.

    Raises:
        GraphError: an unknown type, a setting it does not have, a missing package, an impossible
            configuration.
    """
    transformers_package()
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES

    if name not in CONFIG_MAPPING_NAMES:
        near = difflib.get_close_matches(name, CONFIG_MAPPING_NAMES, n=3, cutoff=0.5)
        raise GraphError(
            f"hf:{name}: transformers has no such model type"
            + (f"; nearest: {', '.join(near)}" if near else "; `madstar zoo list` shows all")
        )
    given = overrides or {}
    # What a constructor itself demands must be there from the start; the rest is set afterwards.
    completions = {} if bare else COMPLETIONS.get(name, {})
    first = {key: value for key, value in (completions | given).items() if "." not in key}

    cls = CONFIG_MAPPING[name]
    for key in given:
        if "." not in key and not hasattr(cls, key) and key not in cls.attribute_map:
            near = difflib.get_close_matches(key, [field for field in dir(cls) if field[0] != "_"], n=3)
            hint = f"; nearest: {', '.join(near)}" if near else ""
            raise GraphError(f"hf:{name}: its configuration has no {key!r}{hint}")

    def make() -> tuple[Any, list[str]]:
        with _told(f"hf:{name}", "its configuration"):
            config = CONFIG_MAPPING[name](**first)
            return config, [] if bare else [*complete(name, config), *agree(config)]

    return _load(f"hf:{name}", name, make, shrunk, given, dtype, weights)


def load_config(
    path: str | Path,
    *,
    shrunk: bool = False,
    overrides: dict[str, Any] | None = None,
    dtype: str | None = None,
    weights: int | None = None,
) -> ZooModel:
    """Build the model of a config.json (or a folder with one). Code that it refers to is never run.

    Raises:
        GraphError: no such file, not a configuration, or as for `load_type`.
    """
    transformers_package()
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES

    settings = read_config(path)
    kind = str(settings["model_type"])
    if kind not in CONFIG_MAPPING_NAMES:
        if "auto_map" in settings:
            raise GraphError(
                f"{path}: model type {kind!r} is code of its own, which is not run; "
                "trace it from your own file: my_model.py:Class"
            )
        near = difflib.get_close_matches(str(kind), CONFIG_MAPPING_NAMES, n=3, cutoff=0.5)
        raise GraphError(
            f"{path}: transformers has no model type {kind!r}"
            + (f"; nearest: {', '.join(near)}" if near else "")
        )
    settings.pop("auto_map", None)

    def make() -> tuple[Any, list[str]]:
        with _told(f"hf:{path}", "its configuration"):
            return CONFIG_MAPPING[kind].from_dict(copy.deepcopy(settings)), []

    return _load(f"hf:{path}", kind, make, shrunk, overrides or {}, dtype, weights)


def read_config(path: str | Path) -> dict[str, Any]:
    """Read a config.json, or the one in a folder.

    Raises:
        GraphError: no such file, too large, not JSON, or not an object with a model_type.
    """
    place = Path(path)
    if place.is_dir():
        place = place / "config.json"
    try:
        if place.stat().st_size > _LARGEST_CONFIG:
            raise GraphError(f"{place}: larger than {_LARGEST_CONFIG} bytes; this is no configuration")
        settings = json.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GraphError(f"{place}: no such file; give a config.json or a folder that has one") from None
    except OSError as error:
        raise GraphError(f"{place}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise GraphError(f"{place}: not JSON: {error}") from None
    if not isinstance(settings, dict):
        raise GraphError(f"{place}: a {type(settings).__name__}, not an object; give a model's config.json")
    if not isinstance(settings.get("model_type"), str):
        raise GraphError(f'{place}: has no "model_type"; give a config.json of transformers')
    return settings


def _load(
    name: str,
    kind: str,
    make: Callable[[], tuple[Any, list[str]]],
    shrunk: bool,
    overrides: dict[str, Any],
    dtype: str | None,
    weights: int | None,
) -> ZooModel:
    for depth in ("two", "kinds twice", "full") if shrunk else ("full",):
        config, changes = make()
        for key, value in overrides.items():
            _override(name, config, key, value)
            changes.append(f"{key} set to {value!r}")
        if depth != "full":
            changes += shrink(config, generous=depth != "two")
        for part in nested(config):
            if hasattr(part, "use_cache"):
                with contextlib.suppress(Exception):
                    part.use_cache = False
        try:
            module = _build(name, config, getattr(torch, dtype or "float32"), weights)
            break
        except GraphError:
            if depth == "full":
                raise
    facts = {"class": type(module).__name__, "module": type(module).__module__} | _versions()
    return ZooModel(name, kind, module, config, "shrunk" if shrunk else "full", tuple(changes), facts)


def _override(name: str, config: Any, key: str, value: Any) -> None:
    *path, last = key.split(".")
    part = config
    for step in path:
        part = getattr(part, step, None)
    if part is None or not hasattr(part, last):
        known = [field for field in vars(part if part is not None else config) if not field.startswith("_")]
        near = difflib.get_close_matches(last, known, n=3)
        raise GraphError(
            f"{name}: its configuration has no {key!r}" + (f"; nearest: {', '.join(near)}" if near else "")
        )
    setattr(part, last, value)


def _build(name: str, config: Any, dtype: torch.dtype, weights: int | None) -> torch.nn.Module:
    from transformers import AutoModel

    with _told(name, "the model"):
        if weights is not None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(weights)
                return AutoModel.from_config(config, dtype=dtype, trust_remote_code=False).eval()
        with torch.device("meta"), MadeValues() as made:
            model: torch.nn.Module = AutoModel.from_config(config, dtype=dtype, trust_remote_code=False)
        made.label(model)
        return model.eval()


@contextlib.contextmanager
def _told(name: str, what: str) -> Iterator[None]:
    """Turn whatever transformers raises into one line that names the model and what was being made."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except GraphError:
        raise
    except Exception as error:
        package = missing_package(error)
        if package is not None:
            raise GraphError(f"{name}: needs the package {package}, which is not installed") from None
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise GraphError(
            f"{name}: {what} cannot be built: {type(error).__name__}: {' '.join(lines)[:240]}"
        ) from error


def _versions() -> dict[str, str]:
    return {"transformers": transformers_package().__version__, "torch": torch.__version__}
