"""Sharing is real: what is shared is held, computed and trained once, counted by hand."""

import pytest
import torch

from madstar.genome import Sizes
from madstar.liv import cost

from .cases import CLASSES, CUSTOM, build, spec, tokens

W, H, N = 64, 4, 100
SIZES = Sizes(vocabulary_size=61, width=W, heads=H, window=20)

_KERNEL_NETWORK = 17 * 16 + 16 + 16 * W + W + W
# Weights of the whole featurizer, and of the part that strategies 2, 3 and 4 take from another layer.
PARAMETERS = {
    "SA-1": (3 * W * W, 2 * W * W, W * W, W * W),
    "SA-2": (3 * (W * W + 3 * W), 2 * (W * W + 3 * W), W * W + 3 * W, W * W + 3 * W),
    "SA-3": (W * W + 2 * W * W // 4, 2 * W * W // 4, W * W // 4, W * W // 4),
    "SA-4": (W * W + 2 * W * W // 2, 2 * W * W // 2, W * W // 2, W * W // 2),
    "Rec-1": (
        2 * 16 * W + (W * W // H + W) + W * W,
        16 * W + (W * W // H + W) + W * W,
        16 * W + (W * W // H + W),
        W * W,
    ),
    "Rec-2": (
        2 * 2 * W + (W * W // H + W) + W * W,
        2 * W + (W * W // H + W) + W * W,
        2 * W + (W * W // H + W),
        W * W,
    ),
    "GConv-1": (3 * W * W + 3 * W, 2 * W * W, W * W, W * W),
    "GConv-2": (
        3 * (W * W + 3 * W) + _KERNEL_NETWORK,
        2 * (W * W + 3 * W),
        W * W + 3 * W,
        W * W + 3 * W,
    ),
    "GMemless": (2 * 3 * W * W, 3 * W * W),
}
# Numbers of the decoding state that a reader by strategy 2, 3 or 4 does not hold.
CACHE = {
    "SA-1": (2 * N * W, N * W, N * W),
    "SA-2": (2 * N * W + 2 * 2 * W, N * W + 2 * W, N * W + 2 * W),
    "SA-3": (2 * N * W // 4, N * W // 4, N * W // 4),
    "SA-4": (2 * N * W // 2, N * W // 2, N * W // 2),
    "Rec-1": (16 * W, 0, 0),
    "Rec-2": (2 * W, 0, 0),
    "GConv-1": (2 * W, 0, 0),
    "GConv-2": (N * W + 2 * 2 * W, 2 * W, 2 * W),
    "GMemless": (0,),
}
# A chunk of the scan writes 16 tokens into a state of `expansion` numbers a channel.
_CHUNKS = -(-N // 16)
# Operations beside those of the featurizer that a reader by strategy 2 does not repeat.
WRITING = {"Rec-1": 2 * _CHUNKS * 16 * 16 * W, "Rec-2": 2 * _CHUNKS * 16 * 2 * W}

PLAIN = list(PARAMETERS)
STRATEGIES = [(name, strategy) for name in PLAIN for strategy in range(2, 2 + len(CACHE[name]))]


def layers(name: str, count: int, weights: int = 1, features: int = 1) -> str:
    return "-".join([f"{CLASSES[name].split('.')[0]}.1.{weights}.1.{features}"] * count)


def halves(name: str) -> int:
    return 2 if name.startswith("Diff") else 1


def everyone(name: str) -> list[str]:
    """A class and its differential twin, where it has one."""
    return [name, *(["Diff" + name] if "Diff" + name in CLASSES else [])]


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("name", CLASSES)
def test_shared_weights_are_counted_once(name: str, count: int) -> None:
    apart = cost(spec(layers(name, count), SIZES), N)
    together = cost(spec(layers(name, count, weights=2), SIZES), N)
    featurizer = halves(name) * PARAMETERS[name.removeprefix("Diff")][0]
    assert apart.parameters - together.parameters == (count - 1) * featurizer
    # Sharing weights saves no computation and no cache.
    assert (apart.flops, apart.cache_elements) == (together.flops, together.cache_elements)


@pytest.mark.parametrize(("name", "strategy"), STRATEGIES)
def test_shared_features_save_exactly_the_readers_part(name: str, strategy: int) -> None:
    for kind in everyone(name):
        apart = cost(spec(layers(kind, 2), SIZES), N)
        together = cost(spec(layers(kind, 2, features=strategy), SIZES), N)
        assert apart.parameters - together.parameters == halves(kind) * PARAMETERS[name][strategy - 1]
        assert apart.cache_elements - together.cache_elements == halves(kind) * CACHE[name][strategy - 2]
        # Every weight of a featurizer but biases is used once a token, in a multiply-add.
        biases = W if name.startswith("Rec") and strategy in (2, 3) else 0
        computed = 2 * N * (PARAMETERS[name][strategy - 1] - biases)
        if strategy == 2:
            computed += WRITING.get(name, 0)
        assert apart.flops - together.flops == halves(kind) * computed


def test_a_second_reader_saves_as_much_as_the_first() -> None:
    parameters, flops, cache = zip(
        *(
            (found.parameters, found.flops, found.cache_elements)
            for found in (cost(spec(layers("SA-3", count, features=2), SIZES), N) for count in (1, 2, 3))
        ),
        strict=True,
    )
    for series in (parameters, flops):
        assert series[2] - series[1] == series[1] - series[0]
    assert cache[0] == cache[1] == cache[2]


def test_both_kinds_of_sharing_add_up() -> None:
    one = cost(spec(layers("SA-1", 1), SIZES), N)
    two = cost(spec(layers("SA-1", 2, weights=2, features=2), SIZES), N)
    # The second layer has an output and a norm of its own, and q by shared weights.
    assert two.parameters - one.parameters == W * W + W
    assert two.cache_elements == one.cache_elements


@pytest.mark.parametrize("name", CLASSES)
def test_shared_weights_are_the_same_tensors_and_the_rest_is_not(name: str) -> None:
    first, second = build(layers(name, 2, weights=2), SIZES).layers
    ours, theirs = dict(first.named_parameters()), dict(second.named_parameters())
    assert ours.keys() == theirs.keys()
    for place, weight in ours.items():
        assert (weight is theirs[place]) == (".groups." in place), place


def test_differential_halves_share_with_their_counterparts_only() -> None:
    first, second = build(layers("DiffSA-1", 2, weights=2), SIZES).layers
    mine, other = first.operator, second.operator
    assert mine.first.groups["q"] is other.first.groups["q"]
    assert mine.second.groups["q"] is other.second.groups["q"]
    assert mine.first.groups["q"] is not mine.second.groups["q"]


def test_layers_of_other_groups_do_not_share() -> None:
    a, b, c = build("11211-12211-11211", SIZES).layers
    assert a.operator.groups["q"] is c.operator.groups["q"]
    assert a.operator.groups["q"] is not b.operator.groups["q"]


@pytest.mark.parametrize("name", [*CLASSES, "linear attention", "scalar-decay recurrence"])
def test_gradients_of_shared_weights_come_from_every_layer(name: str) -> None:
    genome = layers(name, 2, weights=2) if name in CLASSES else CUSTOM[name].replace("101.1.1", "101.1.2")
    if name in CUSTOM:
        genome = genome.replace("/", "-101.1.2.1.1/", 1)
    backbone = build(genome, SIZES)
    shared = [p for place, p in backbone.layers[0].named_parameters() if ".groups." in place]
    text = tokens(2, 30)

    def gradients() -> list[torch.Tensor]:
        return list(torch.autograd.grad(backbone(text).square().mean(), shared))

    both = gradients()
    with torch.no_grad():  # nothing flows through a layer whose output is zero
        for place, weight in backbone.layers[1].named_parameters():
            if place.endswith("output.weight"):
                weight.zero_()
    alone = gradients()
    assert len(shared) > 0
    for one, other in zip(both, alone, strict=True):
        assert not torch.allclose(one, other)


@torch.no_grad()
def test_a_reader_follows_its_owner() -> None:
    backbone = build("11112-91111-11112", SIZES)
    text = tokens(1, 12)
    _, seen = backbone.layers[0](backbone.embedding(text), None)
    before = backbone(text)
    owner, reader = backbone.layers[0].operator, backbone.layers[2].operator
    assert set(reader.groups) == {"q"}
    assert set(owner.groups) == {"q", "k", "v"}
    # The reader's output is that of its own q on the owner's keys and values.
    x = torch.randn(1, 12, W, generator=torch.Generator().manual_seed(0))
    own = reader(x, seen)[0]
    other = reader(x, {**seen, "k": seen["k"].flip(2)})[0]
    assert not torch.allclose(own, other)
    owner.groups["v"].mixing.weight.zero_()
    assert not torch.allclose(backbone(text), before)
    changed = reader(x, backbone.layers[0](backbone.embedding(text), None)[1])[0]
    assert changed.abs().max() == 0
