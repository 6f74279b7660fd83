"""Models with layers by name are exported like others: their code is cut from its file too."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from madstar.errors import ConfigurationError
from madstar.export import export_model
from madstar.export.bundle import bundle
from madstar.genome import Genome, Sizes, compile_genome
from madstar.genome.genes import GIVEN_LAYERS
from madstar.liv import generate

from ..liv import own_package

SIZES = Sizes(vocabulary_size=61, width=32, heads=4)
ALL = "-".join(f"{number}.1.1.1.1" for number in GIVEN_LAYERS)
CASES = [
    *(f"{number}.1.1.1.1" for number in GIVEN_LAYERS),
    "32.1.1.1.1-51111",
    "24.1.1.1.1-11112-23.1.1.1.1-11112",
    "101.1.1.1.1-81111/o101=@hyena",
    # Modules that use one name for different things: they get their module's name.
    "19.1.1.1.1-27.1.1.1.1-12111",
    ALL + "-11111-51111-71111-81111-91111-17.1.1.1.1",
]
ALONE = """
import sys
sys.modules["madstar"] = sys.modules["jaxtyping"] = None
sys.path.insert(0, sys.argv[1])
import torch
from modeling import generate, load
print(generate(load(sys.argv[1]), torch.arange(5)[None], 6).tolist())
"""


@pytest.mark.parametrize("genome", CASES, ids=lambda text: text[:40])
def test_the_exported_model_is_the_model(genome: str, tmp_path: Path) -> None:
    backbone = Genome.parse(genome).build(SIZES, 3).eval()
    export_model(backbone, tmp_path / "model", genome=genome, figures={})
    modeling = loaded(tmp_path / "model", tmp_path.name)
    model, tokens = modeling.load(tmp_path / "model"), torch.arange(21)[None] % 61
    with torch.no_grad():
        assert torch.equal(model(tokens), backbone(tokens))
        (logits, states), (theirs, expected) = model.prefill(tokens), backbone.prefill(tokens)
        assert torch.equal(logits, theirs)
        assert torch.equal(model.step(tokens[:, 0], states)[0], backbone.step(tokens[:, 0], expected)[0])
    check = ["-m", "ruff", "check", "--no-cache", "--isolated", "--select", "F,E9,I", "--ignore", "F722"]
    command = [sys.executable, *check, str(tmp_path / "model" / "modeling.py")]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def loaded(directory: Path, name: str) -> Any:
    found = importlib.util.spec_from_file_location(f"modeling_{name}", directory / "modeling.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module
    found.loader.exec_module(module)
    return module


def test_it_runs_without_madstar(tmp_path: Path) -> None:
    genome = "18.1.1.1.1-91111-22.1.1.1.1"
    backbone = Genome.parse(genome).build(SIZES, 3).eval()
    export_model(backbone, tmp_path / "model", genome=genome, figures={})
    run = subprocess.run(
        [sys.executable, "-c", ALONE, str(tmp_path / "model")], capture_output=True, text=True, cwd=tmp_path
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == generate(backbone, torch.arange(5)[None], 6).tolist()
    assert "mamba (expand 2, state 4, taps 4)" in (tmp_path / "model" / "README.md").read_text()


def test_other_models_carry_nothing_of_it() -> None:
    text = bundle(compile_genome(Genome.parse("21211-51112-51112"), SIZES), "A model.")
    for word in ("Given", "LAYERS", "SequenceLayer", "LayerChoice"):
        assert word not in text


def test_only_the_layers_that_it_has() -> None:
    text = bundle(compile_genome(Genome.parse("18.1.1.1.1"), SIZES), "A model.")
    assert "class Mamba(" in text
    for word in ("class Mamba2(", "class SelfAttention(", "class LayerChoice", "importlib", "CATALOGUE"):
        assert word not in text


def test_another_package_s_layer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_package.install(tmp_path, monkeypatch)
    genome = "101.1.1.1.1/o101=@mean-mixer"
    backbone = Genome.parse(genome).build(SIZES, 0)
    with pytest.raises(ConfigurationError, match="layer mean-mixer is another package's") as caught:
        export_model(backbone, tmp_path / "model", genome=genome, figures={})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model").exists()
