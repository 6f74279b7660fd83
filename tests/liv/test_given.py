"""Layers by name as operators of a backbone, alone and beside the operators of the table."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from madstar.errors import GenomeError
from madstar.genome import CLASSES, Genome, Sizes, class_name, compile_genome
from madstar.genome.genes import GIVEN_LAYERS
from madstar.liv import Backbone, BackboneSpec, cost, generate, state_bytes
from madstar.liv.cost import skeleton
from madstar.liv.given import LAYERS, LONGEST, fitted
from madstar.liv.layers.catalogue import CATALOGUE
from madstar.liv.layers.choice import find_class

from . import own_package
from .cases import SMALL, build, stepped, tokens

NUMBERS = tuple(GIVEN_LAYERS)
MIXED = {
    class_name(CLASSES[number]): f"11112-{number}.1.1.1.1-71111-11112-{number}.1.1.1.1-51111"
    for number in NUMBERS
}
# Linear attention without a sign in its feature maps divides by numbers near zero.
LOOSE = {"mh-linear-attention": 2e-3}


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_package.install(tmp_path, monkeypatch)


# The table ------------------------------------------------------------------------------------


def test_the_table_has_the_catalogue_s_layers() -> None:
    assert set(LAYERS) == set(CATALOGUE)
    for name, made in LAYERS.items():
        assert made is find_class(name)


def test_at_width_128_settings_are_themselves() -> None:
    for name, entry in CATALOGUE.items():
        settings_at = fitted(name, entry.settings, 128)
        assert {key: settings_at[key] for key in entry.settings} == dict(entry.settings)


@pytest.mark.parametrize(
    ("layer", "width", "said"),
    [
        ("mh-attention", 64, {"heads": 8}),
        ("mh-attention", 256, {"heads": 32}),
        ("mh-attention", 40, {"heads": 5}),
        ("mh-attention", 8, {"heads": 1}),
        ("attention", 512, {"heads": 1}),
        ("multi-query-attention", 64, {"heads": 8, "kv_heads": 1}),
        ("latent-attention", 64, {"heads": 8, "kv_rank": 14, "rotary_dim": 4}),
        ("differential-attention", 64, {"heads": 2}),
        ("differential-attention", 16, {"heads": 1}),
        # 20 channels in heads of two maps with pairs of channels: five heads of 4 or one of 20.
        ("differential-attention", 20, {"heads": 1}),
        ("retention", 32, {"heads": 1}),
        ("rwkv7-time-mixer", 48, {"head": 24}),
        ("rwkv7-time-mixer", 256, {"head": 32}),
        ("mamba2", 24, {"head": 48, "state": 16, "expand": 2, "taps": 4}),
        ("mh-hyena", 64, {"heads": 16, "order": 2, "inner_factor": 1}),
        ("mh-hyena", 40, {"heads": 10, "order": 2, "inner_factor": 1}),
        ("moe-mlp", 64, {"experts": 8, "inner": 8, "active": 2}),
        ("rwkv6-channel-mixer", 32, {"inner": 128, "version": 6}),
        ("mamba", 64, {"state": 4, "taps": 4, "expand": 2}),
    ],
)
def test_settings_at_other_widths(layer: str, width: int, said: dict) -> None:
    assert fitted(layer, CATALOGUE[layer].settings, width) == said


@settings(max_examples=30)
@given(st.sampled_from(sorted(CATALOGUE)), st.integers(1, 16))
def test_every_layer_can_be_built_at_every_eighth_channel(layer: str, eighth: int) -> None:
    """Widths as a search may have: multiples of 8 with 4 heads of an even number of channels."""
    width = 8 * eighth
    found = cost(compile_genome(Genome.parse(f"101.1.1.1.1/o101=@{layer}"), Sizes(width=width)), 64)
    assert found.parameters > 2 * 256 * width


# The forms ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MIXED)
def test_stepping_says_what_the_whole_sequence_says(name: str) -> None:
    backbone = build(MIXED[name])
    text = tokens(2, 21)
    with torch.no_grad():
        whole = backbone(text)
        logits, states = stepped(backbone, text, backbone.initial_state(2))
        prompt, halfway = backbone.prefill(text[:, :13])
        rest, _ = stepped(backbone, text[:, 13:], halfway)
    close = {"rtol": 1e-4, "atol": LOOSE.get(name, 1e-4)}
    torch.testing.assert_close(logits, whole, **close)
    torch.testing.assert_close(prompt, whole[:, :13], **close)
    torch.testing.assert_close(rest, whole[:, 13:], **close)
    assert state_bytes(states) == 2 * cost(backbone.spec, 21, torch.float32).cache_bytes


@pytest.mark.parametrize("name", MIXED)
def test_nothing_leaks_from_the_future(name: str) -> None:
    backbone = build(MIXED[name])
    text = tokens(1, 24)
    other = text.clone()
    other[:, 15:] = (other[:, 15:] + 1) % 61
    with torch.no_grad():
        torch.testing.assert_close(backbone(text)[:, :15], backbone(other)[:, :15], rtol=1e-4, atol=1e-4)


def test_generation_is_the_whole_sequence_s_choice() -> None:
    backbone = build("18.1.1.1.1-11111-26.1.1.1.1-91111-22.1.1.1.1")
    longer = generate(backbone, tokens(2, 7), 9)
    with torch.no_grad():
        for place in range(7, 16):
            assert torch.equal(longer[:, place], backbone(longer[:, :place])[:, -1].argmax(-1))


@pytest.mark.parametrize("name", MIXED)
def test_what_it_costs_is_counted(name: str) -> None:
    backbone = build(MIXED[name])
    found = cost(backbone.spec, 30)
    assert found.parameters == sum(p.numel() for p in backbone.parameters())
    assert found.flops > cost(compile_genome(Genome.parse("11112-71111-11112-51111"), SMALL), 30).flops


def test_gradients_reach_every_weight() -> None:
    for number in NUMBERS:
        backbone = build(f"{number}.1.1.1.1-91111")
        backbone(tokens(2, 17)).square().mean().backward()
        unreached = [
            n for n, p in backbone.named_parameters() if p.grad is None or not p.grad.isfinite().all()
        ]
        assert not unreached, number


def test_as_json() -> None:
    spec = compile_genome(Genome.parse(MIXED["mamba"]), SMALL)
    again = BackboneSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert hash(again) == hash(spec)
    assert again.layers[1].operator.settings == (("expand", 2), ("state", 4), ("taps", 4))


# Initialisation -------------------------------------------------------------------------------


def test_one_seed_is_one_model_and_another_seed_another() -> None:
    for number in NUMBERS:
        one, same, other = (build(f"{number}.1.1.1.1", seed=seed).state_dict() for seed in (3, 3, 4))
        assert all(torch.equal(one[name], same[name]) for name in one)
        assert not all(torch.equal(one[name], other[name]) for name in one)


def test_two_layers_of_one_model_start_differently() -> None:
    backbone = build("18.1.1.1.1-18.1.1.1.1")
    first, second = (layer.operator.layer.input.weight for layer in backbone.depth())
    assert not torch.equal(first, second)


def test_other_layers_start_alike() -> None:
    first, second = build("11111-18.1.1.1.1-71111"), build("11111-22.1.1.1.1-71111")
    for place in (0, 2):
        theirs = second.layers[place].state_dict()
        assert all(torch.equal(w, theirs[name]) for name, w in first.layers[place].state_dict().items())
    plain = build("11111-91111-71111")
    theirs = plain.layers[2].state_dict()
    assert all(torch.equal(w, theirs[name]) for name, w in first.layers[2].state_dict().items())


def test_building_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    build("18.1.1.1.1-26.1.1.1.1")
    skeleton(compile_genome(Genome.parse("19.1.1.1.1-23.1.1.1.1"), SMALL))
    assert torch.equal(torch.rand(3), expected)


def test_weights_are_the_layer_s_own_but_for_the_output_s_scale() -> None:
    spec = compile_genome(Genome.parse("26.1.1.1.1"), SMALL)
    plain = Backbone(replace(spec, residual_scale=1.0), 5).layers[0].operator.layer
    scaled = Backbone(replace(spec, residual_scale=0.1), 5).layers[0].operator.layer
    for name, weight in plain.state_dict().items():
        factor = 0.1 if name.startswith("output.") else 1.0
        torch.testing.assert_close(scaled.state_dict()[name], factor * weight)
    # Torch's own rule for a map of 32 channels, not the backbone's.
    assert plain.input.weight.abs().max() <= 32**-0.5
    assert plain.input.weight.std().item() == pytest.approx(32**-0.5 / 3**0.5, rel=0.1)


def test_a_norm_within_a_layer_is_the_layer_s() -> None:
    backbone = build("28.1.1.1.1")
    assert (backbone.layers[0].operator.layer.norm.weight == 1).all()


def test_building_again_gives_the_same_weights_on_a_used_model() -> None:
    backbone = build("23.1.1.1.1-91111", seed=2)
    before = copy.deepcopy(backbone.state_dict())
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(1.0)
    backbone.initialise(2)
    assert all(torch.equal(before[name], weight) for name, weight in backbone.state_dict().items())


# Other packages' layers ------------------------------------------------------------------------


def test_a_layer_of_another_package(packages: None) -> None:
    genome = Genome.parse("101.1.1.1.1-11111/o101=@mean-mixer")
    assert str(genome) == "101.1.1.1.1-11111/o101=@mean-mixer"
    backbone = genome.build(SMALL, 1)
    text = tokens(2, 9)
    with torch.no_grad():
        logits, states = stepped(backbone, text, backbone.initial_state(2))
        torch.testing.assert_close(logits, backbone(text))
    assert state_bytes(states) == 2 * cost(backbone.spec, 9, torch.float32).cache_bytes
    assert class_name(genome.livs[0].operator) == "mean-mixer*"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("forward-only", "layer forward-only has no prefill, initial_state, step, state_elements, flops"),
        ("with-table", "layer with-table has weights that depend on max_length"),
        ("both-ways", "layer both-ways is not causal"),
    ],
)
def test_layers_that_no_genome_can_use(name: str, said: str, packages: None) -> None:
    genome = Genome.parse(f"101.1.1.1.1/o101=@{name}")
    with pytest.raises(GenomeError, match=said) as caught:
        genome.build(SMALL)
    assert "\n" not in str(caught.value)


def test_a_width_that_a_layer_does_not_have() -> None:
    # One head of 6 channels has two maps of 3, and rotary positions need pairs.
    with pytest.raises(
        GenomeError, match=r"layer differential-attention at width 6: .* pairs of channels"
    ) as caught:
        Genome.parse("27.1.1.1.1").build(Sizes(width=6, heads=1))
    assert "\n" not in str(caught.value)


def test_the_longest_sequence_is_longer_than_any_text() -> None:
    assert LONGEST == 2**20
    assert build("26.1.1.1.1").layers[0].operator.layer.taps == LONGEST
