"""A backbone is its spec and its seed, bit for bit, and starts at the scales that it promises."""

import math
from dataclasses import replace

import pytest
import torch

from madstar.genome import Sizes
from madstar.liv.featurizer import Decay
from madstar.liv.kernel import ImplicitKernel
from madstar.liv.operator import LIV

from .cases import CLASSES, DISTINCT, SMALL, build, tokens

WIDE = Sizes(width=64, heads=4)


@pytest.mark.parametrize("genome", DISTINCT.values(), ids=DISTINCT)
@torch.no_grad()
def test_the_same_seed_gives_the_same_weights_and_logits(genome: str) -> None:
    one, again, other = build(genome, seed=3), build(genome, seed=3), build(genome, seed=4)
    text = tokens(2, 9)
    torch.rand(3)  # nothing depends on the global generator
    assert one.state_dict().keys() == again.state_dict().keys()
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name
    assert torch.equal(one(text), again(text))
    assert not torch.allclose(one(text), other(text))


def test_drawing_weights_leaves_the_global_generator_as_it_was() -> None:
    backbone = build("11111-51111-81111")
    before = torch.get_rng_state()
    backbone.initialise(2)
    assert torch.equal(torch.get_rng_state(), before)


def test_every_weight_that_is_drawn_differs_between_seeds() -> None:
    genome = "-".join(CLASSES.values())
    one, other = build(genome, seed=0), build(genome, seed=1)
    fixed = ("norm.weight", "a.bias", "hidden_bias", "delta", "log_rate")
    for (name, weight), theirs in zip(one.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(weight, theirs) == name.endswith(fixed), name


def test_initialising_again_is_building_anew() -> None:
    genome = "-".join(CLASSES.values())
    backbone = build(genome, seed=0)
    with torch.no_grad():
        for weight in backbone.parameters():
            weight.fill_(torch.nan)
    backbone.initialise(5)
    for weight, expected in zip(backbone.parameters(), build(genome, seed=5).parameters(), strict=True):
        assert torch.equal(weight, expected)


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        ("11111-51111-91111", "11111-81111-91111", {1}),
        ("11111-51111-91111", "11111-51111-91111-91111", {3}),
        ("11111-51111-21111", "91111-51111-21111", {0}),
        ("11111-31112-31112", "11111-31112-91111", {2}),
        # Shared weights are those of the first layer of their group, whoever joins it later.
        ("11211-51111-11211", "11211-51111-91111", {2}),
        ("11211-51111-11211", "11211-51111-11111", {2}),
        ("12.1.2.1.1-12.1.2.1.1", "12.1.2.1.1-71111", {1}),
    ],
)
def test_architectures_that_differ_in_one_layer_start_alike_in_the_others(
    one: str, other: str, differ: set[int]
) -> None:
    one, other = build(one, seed=7), build(other, seed=7)
    assert torch.equal(one.embedding.weight, other.embedding.weight)
    assert torch.equal(one.head.weight, other.head.weight)
    for place, (layer, theirs) in enumerate(zip(one.layers, other.layers, strict=False)):
        ours, theirs = layer.state_dict(), theirs.state_dict()
        if place in differ:
            continue
        assert ours.keys() == theirs.keys()
        for name, weight in ours.items():
            assert torch.equal(weight, theirs[name]), (place, name)


def test_layers_of_one_class_start_apart() -> None:
    first, second = build("11111-11111").layers
    assert not torch.equal(
        first.operator.groups["q"].mixing.weight, second.operator.groups["q"].mixing.weight
    )


@pytest.mark.parametrize("genome", ["51111", "101.1.1.1.1/o101=54113", "14.1.1.1.1", "51211-51211"])
def test_decays_are_spread_over_time_scales(genome: str) -> None:
    decays = [part for part in build(genome, WIDE).modules() if isinstance(part, Decay)]
    assert decays
    for decay in decays:
        at_zero = -decay(torch.zeros(1, 1, 64))[0, 0]
        assert at_zero[0].item() == pytest.approx(0.5, rel=1e-3)
        assert at_zero[-1].item() == pytest.approx(0.001, rel=1e-3)
        steps = at_zero.log().diff()
        torch.testing.assert_close(steps, steps[:1].expand_as(steps), rtol=1e-2, atol=1e-3)


def test_kernels_keep_their_windows_and_let_the_token_pass() -> None:
    (kernel,) = (part for part in build("81111", WIDE).modules() if isinstance(part, ImplicitKernel))
    assert (kernel.delta == 1).all()
    assert kernel.log_rate.exp().min().item() == pytest.approx(1 / 512)
    assert kernel.log_rate.exp().max().item() == pytest.approx(1 / 2)
    assert (kernel.hidden_bias == 0).all()


@pytest.mark.parametrize("std", [0.02, 0.5, 1.0])
def test_the_embedding_has_the_spread_of_the_spec(std: float) -> None:
    embedding = build("91111", Sizes(embedding_std=std)).embedding.weight
    assert embedding.std().item() == pytest.approx(std, rel=0.03)
    assert abs(embedding.mean().item()) < 0.03 * std


@pytest.mark.parametrize("genome", ["11111-91111", "12.1.1.1.1"])
def test_the_residual_scale_scales_every_output_and_nothing_else(genome: str) -> None:
    plain, scaled = (build(genome, replace(WIDE, residual_scale=scale)) for scale in (1.0, 0.25))
    outputs = {part.output.weight for part in scaled.modules() if isinstance(part, LIV)}
    assert outputs
    for ours, theirs in zip(plain.parameters(), scaled.parameters(), strict=True):
        factor = 0.25 if any(theirs is output for output in outputs) else 1.0
        torch.testing.assert_close(theirs, factor * ours)


@pytest.mark.parametrize("std", [0.02, 0.5])
@torch.no_grad()
def test_a_tied_head_has_no_weights_and_starts_at_the_scale_of_an_untied_one(std: float) -> None:
    untied = build("21111-91111", Sizes(embedding_std=std))
    tied = build("21111-91111", Sizes(embedding_std=std, tied=True))
    assert tied.head is None
    names = {name for name, _ in untied.named_parameters()}
    assert names - {name for name, _ in tied.named_parameters()} == {"head.weight"}
    text = tokens(2, 100, vocabulary=256)
    ratio = (tied(text).std() / untied(text).std()).item()
    assert 1 / 1.5 < ratio < 1.5


@pytest.mark.parametrize("genome", CLASSES.values(), ids=CLASSES)
@torch.no_grad()
def test_logits_start_near_unit_scale_and_the_loss_near_that_of_chance(genome: str) -> None:
    backbone = build(genome, WIDE)
    text = tokens(4, 64, vocabulary=256)
    logits = backbone(text)
    assert logits.std().item() == pytest.approx(1.0, rel=0.1)
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), text[:, 1:].flatten()).item()
    assert math.log(256) - 0.2 < loss < math.log(256) + 1.0


@pytest.mark.parametrize("genome", CLASSES.values(), ids=CLASSES)
def test_operators_start_at_a_sane_scale(genome: str) -> None:
    backbone = build(genome, replace(SMALL, residual_scale=1.0))
    x = torch.randn(4, 60, SMALL.width, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        y, _ = backbone.layers[0].operator(x)
    assert 0.1 < y.std() < 6.0
