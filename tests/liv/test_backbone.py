"""Sizes that do not fit, gradients that reach every weight, bfloat16, and specs as JSON."""

import json

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings

from madstar.errors import GenomeError
from madstar.genome import Genome, Sizes, compile_genome
from madstar.liv import Backbone, BackboneSpec, cost

from .cases import (
    ALL,
    CLASSES,
    CUSTOM,
    DISTINCT,
    SHARED_WIDELY,
    SINGLE,
    SMALL,
    VOCABULARY,
    alone,
    build,
    spec,
    tokens,
)
from .genomes import genomes

# Sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("genome", "sizes", "message"),
    [
        ("91111", Sizes(width=66, heads=4), "width 66 is not divisible by 4 heads"),
        ("11111", Sizes(width=36, heads=4), "heads of 9 channels"),
        ("31111", Sizes(width=64, heads=2), "2 heads cannot be grouped by a repeat factor of 4"),
        ("12.1.1.1.1", Sizes(width=60, heads=6), "6 heads cannot be grouped by a repeat factor of 4"),
        ("41111", Sizes(width=60, heads=3), "heads cannot be grouped by a repeat factor of 2"),
        ("91111-31111", Sizes(width=8, heads=1), "repeat factor of 4"),
        # 24 channels in 4 heads: a key as wide as one head has no 4 equal blocks.
        (
            alone("101.2.1.2.3", "111211+111314+111314"),
            Sizes(width=24, heads=4),
            "repeat factor of 4",
        ),
    ],
)
def test_sizes_that_do_not_fit_are_refused_in_one_line(genome: str, sizes: Sizes, message: str) -> None:
    backbone_spec = spec(genome, sizes)
    for attempt in (lambda: Backbone(backbone_spec, 0), lambda: cost(backbone_spec, 16)):
        with pytest.raises(GenomeError, match=message) as refused:
            attempt()
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("width", "heads"), [(4, 2), (24, 4), (48, 8)])
@torch.no_grad()
def test_any_fitting_width_works(width: int, heads: int) -> None:
    sizes = Sizes(vocabulary_size=VOCABULARY, width=width, heads=heads, window=5)
    for genome in SINGLE.values():
        try:
            backbone = build(genome, sizes)
        except GenomeError:
            assert width % (heads * 4) or heads % 4
            continue
        logits, states = backbone.prefill(tokens(1, 7))
        assert logits.shape == (1, 7, VOCABULARY)
        assert backbone.step(torch.tensor([3]), states)[0].isfinite().all()


@pytest.mark.parametrize("window", [1, 2, 100])
@torch.no_grad()
def test_any_window_works(window: int) -> None:
    sizes = Sizes(vocabulary_size=VOCABULARY, width=32, heads=4, window=window)
    text = tokens(1, 9)
    for name, genome in CUSTOM.items():
        if "banded" not in name:
            continue
        backbone = build(genome, sizes)
        _, states = backbone.prefill(text[:, :6])
        for place in range(6, 9):
            logits, states = backbone.step(text[:, place], states)
            torch.testing.assert_close(logits, backbone(text)[:, place], rtol=1e-4, atol=1e-4)


# Gradients ------------------------------------------------------------------------------------


def gradients(backbone: Backbone) -> dict[str, torch.Tensor]:
    """Of a next-token loss on a text with every token of the vocabulary in it."""
    everyone = torch.cat(
        [torch.randperm(VOCABULARY, generator=torch.Generator().manual_seed(0)), tokens(1, 67)[0]]
    )
    text = everyone.reshape(2, -1)
    logits = backbone(text[:, :-1])
    loss = F.cross_entropy(logits.float().flatten(0, 1), text[:, 1:].flatten())
    loss.backward()
    return {name: weight.grad for name, weight in backbone.named_parameters()}


@pytest.mark.parametrize("genome", ALL.values(), ids=ALL)
def test_every_weight_learns(genome: str) -> None:
    backbone = build(genome)
    for name, gradient in gradients(backbone).items():
        assert gradient is not None, name
        assert gradient.isfinite().all(), name
        # A row or a channel without a gradient would be as dead as a whole tensor. Channels behind a
        # ReLU may sleep by chance, others may not.
        alive = (gradient != 0).float().mean().item()
        assert alive > (0.5 if "relu" in genome_words(genome) else 0.99), (name, alive)


def genome_words(genome: str) -> set[str]:
    operators = [layer.operator for layer in spec(genome).layers]
    return {
        word
        for operator in operators
        for word in (operator.nonlinearity, *(group.nonlinearity for group in operator.groups))
    }


@pytest.mark.parametrize("bias", [-200.0, -20.0, 200.0])
@pytest.mark.parametrize("genome", [CLASSES["Rec-1"], CUSTOM["scalar-decay recurrence"]])
def test_recurrences_that_forget_nothing_or_everything_still_learn(genome: str, bias: float) -> None:
    backbone = build(genome)
    with torch.no_grad():
        backbone.layers[0].operator.groups["a"].bias.fill_(bias)
    for name, gradient in gradients(backbone).items():
        assert gradient.isfinite().all(), name


@pytest.mark.parametrize("genome", CLASSES.values(), ids=CLASSES)
def test_a_few_steps_of_training_learn_a_repeating_text(genome: str) -> None:
    backbone = build(genome)
    text = torch.arange(7).repeat(5)[None]
    optimiser = torch.optim.Adam(backbone.parameters(), 1e-2)
    losses = []
    for _ in range(12):
        loss = F.cross_entropy(backbone(text[:, :-1]).flatten(0, 1), text[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


# Number formats -------------------------------------------------------------------------------


@pytest.mark.parametrize("genome", DISTINCT.values(), ids=DISTINCT)
@torch.no_grad()
def test_bfloat16_is_close_to_float32(genome: str) -> None:
    backbone, text = build(genome), tokens(2, 40)
    exact = backbone(text)
    rounded = backbone.bfloat16()(text)
    assert rounded.dtype == torch.bfloat16
    error = (rounded.float() - exact).square().mean().sqrt() / exact.std()
    assert error < 0.1


@pytest.mark.parametrize("genome", CLASSES.values(), ids=CLASSES)
def test_bfloat16_gradients_are_finite(genome: str) -> None:
    for name, gradient in gradients(build(genome).bfloat16()).items():
        assert gradient.isfinite().all(), name


@pytest.mark.parametrize("genome", [*CLASSES.values(), *SHARED_WIDELY.values()])
@torch.no_grad()
def test_a_batch_is_its_rows(genome: str) -> None:
    backbone, text = build(genome), tokens(3, 18)
    rows = torch.cat([backbone(row[None]) for row in text])
    torch.testing.assert_close(backbone(text), rows, rtol=1e-5, atol=1e-5)


# Specs ----------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(genome=genomes())
def test_a_spec_survives_json(genome: Genome) -> None:
    before = compile_genome(genome, SMALL)
    after = BackboneSpec.from_dict(json.loads(json.dumps(before.to_dict())))
    assert after == before
    assert hash(after) == hash(before)


def test_every_field_of_a_spec_survives_json() -> None:
    sizes = Sizes(11, 24, 2, 9, True, 0.1, 0.3)
    before = compile_genome(Genome.parse("21212-71111-21212"), sizes)
    data = json.loads(json.dumps(before.to_dict()))
    assert (data["vocabulary_size"], data["width"], data["heads"], data["window"]) == (11, 24, 2, 9)
    assert (data["tied"], data["embedding_std"], data["residual_scale"]) == (True, 0.1, 0.3)
    after = BackboneSpec.from_dict(data)
    assert after == before
    weights = Backbone(after, 0).state_dict()
    for name, weight in Backbone(before, 0).state_dict().items():
        assert torch.equal(weight, weights[name])


def test_an_unknown_role_is_no_group() -> None:
    with pytest.raises(KeyError, match="kernel"):
        spec("11111").layers[0].operator.group("kernel")
