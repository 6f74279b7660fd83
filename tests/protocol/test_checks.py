"""What is no model is refused before training, in one line that names it."""

from pathlib import Path

import pytest
import torch
from torch import nn

from madstar.errors import LayerError
from madstar.liv import AutoEncoder, LanguageModel
from madstar.liv.layers.catalogue import CATALOGUE
from madstar.liv.layers.choice import LayerChoice
from madstar.liv.stack import seeded
from madstar.protocol import GenomeStack, LayerStack, ModelFunction
from madstar.protocol.architecture import AUTO_ENCODER
from madstar.protocol.checks import check_architecture, check_layer

FILE = Path(__file__).with_name("own_layers.py")


def own(name: str) -> str:
    return f"{FILE}:{name}"


def check(architecture: object, task: str = "in-context-recall") -> None:
    backbone = AUTO_ENCODER if task == "compression" else "language-model"
    check_architecture(architecture, task, backbone, 16, 32)


@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.parametrize("iso", [False, True])
def test_every_layer_of_the_catalogue_passes(name: str, iso: bool) -> None:
    check_layer(LayerChoice.of(name, iso=iso), 128, 40)


@pytest.mark.parametrize("task", ["in-context-recall", "compression"])
@pytest.mark.parametrize(
    "architecture",
    [
        LayerStack.of([own("Mixer"), "mlp"], 16),
        GenomeStack("11111-91111", 32, 2),
        ModelFunction("mine", own("make_model_fn")),
    ],
)
def test_sound_architectures_pass(architecture: object, task: str) -> None:
    check(architecture, task)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("NoLength", "takes no max_length"),
        ("Narrow", r"the output has shape \(2, 32, 1\), but must have \(2, 32, 16\)"),
        ("NotANumber", "nan or infinity, first at position 5"),
        ("Future", "the output at position 0 changes with the token at position 1: it looks into the future"),
        ("NearFuture", "at position 0 changes with the token at position 1"),
        ("Broken", "the forward pass failed with ValueError: no such luck"),
        ("Tuple", "the output is a tuple"),
        ("Absent", "has no 'Absent'"),
    ],
)
def test_layers_that_are_none(name: str, complaint: str) -> None:
    with pytest.raises(LayerError, match=complaint) as raised:
        check(LayerStack.of([own(name)], 16))
    assert "own_layers.py" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("make_without_length", "takes no max_length"),
        ("make_text", "made a str, no module"),
        ("make_larger", r"the output has shape \(2, 32, 17\), but must have \(2, 32, 16\)"),
    ],
)
def test_functions_that_make_no_model(name: str, complaint: str) -> None:
    with pytest.raises(LayerError, match=complaint):
        check(ModelFunction("mine", own(name)))


def test_settings_that_a_layer_does_not_take() -> None:
    with pytest.raises(LayerError, match="takes no colour"):
        LayerChoice.of("mlp", colour=3).build(16, 32)


def test_an_auto_encoder_restores_every_length_from_one_vector() -> None:
    model = seeded(lambda: AutoEncoder(16, 64, ["mh-attention", "swiglu"], dim=32), 0).eval()
    for length in (1, 5, 64):
        tokens = torch.randint(0, 16, (3, length), generator=torch.Generator().manual_seed(length))
        logits = model(tokens)
        assert logits.shape == (3, length, 16)
        code = model.encode(tokens)
        # Nothing but the code and the position decides what is restored.
        assert torch.allclose(model.decoder(code, length), logits)
        assert torch.allclose(model.decoder(code[:1], length), logits[:1], atol=1e-6)


def test_models_are_a_function_of_the_seed_and_leave_the_global_generator_alone() -> None:
    def build() -> nn.Module:
        return LanguageModel(16, 32, [own("Mixer"), "mamba"], dim=16)

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second, other = seeded(build, 1), seeded(build, 1), seeded(build, 2)
    assert torch.equal(torch.rand(3), expected)
    same = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)
    assert any(
        not torch.equal(a, b)
        for a, b in zip(first.parameters(), other.parameters(), strict=True)
        if a.ndim > 1
    )
