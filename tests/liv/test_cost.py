"""What is claimed before anything is built is what is held, computed and stored."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from madstar.genome import Genome, Sizes, compile_genome
from madstar.liv import Backbone, cost, state_bytes
from madstar.liv.convolution import GatedConvolution
from madstar.liv.kernel import ImplicitKernel, long_convolution_flops

from .cases import ALL, CLASSES, CUSTOM, DISTINCT, SHARED_FEATURES, SMALL, build, spec, tokens
from .genomes import genomes

WIDTH, HEADS, VOCABULARY = 64, 4, 61
MEDIUM = Sizes(vocabulary_size=VOCABULARY, width=WIDTH, heads=HEADS, window=20)

# The cache, counted by hand -------------------------------------------------------------------


def test_the_cache_of_24_attention_layers() -> None:
    genome = "-".join(["11111"] * 24)
    claim = cost(spec(genome, Sizes(width=2048, heads=16)), 4096, torch.bfloat16)
    assert claim.cache_bytes == 24 * 2 * 4096 * 2048 * 2 == 805_306_368


@pytest.mark.parametrize(
    ("genome", "elements"),
    [
        (CLASSES["SA-1"], 2 * 100 * WIDTH),
        (CLASSES["SA-2"], 2 * 100 * WIDTH + 3 * 2 * WIDTH),
        (CLASSES["SA-3"], 2 * 100 * WIDTH // 4),
        (CLASSES["SA-4"], 2 * 100 * WIDTH // 2),
        (CLASSES["Rec-1"], 16 * WIDTH),
        (CLASSES["Rec-2"], 2 * WIDTH),
        (CLASSES["GConv-1"], 2 * WIDTH),
        (CLASSES["GConv-2"], 100 * WIDTH + 3 * 2 * WIDTH),
        (CLASSES["GMemless"], 0),
        (CLASSES["DiffSA-1"], 2 * 2 * 100 * WIDTH),
        (CLASSES["DiffRec-2"], 2 * 2 * WIDTH),
        (CUSTOM["banded softmax attention"], 2 * 20 * WIDTH),
        (CUSTOM["linear attention"], WIDTH * WIDTH // HEADS),
        (CUSTOM["single-head linear attention"], WIDTH * WIDTH),
        (CUSTOM["grouped-query linear attention"], WIDTH * WIDTH // HEADS // 4),
        (CUSTOM["banded long convolution"], 19 * WIDTH + 3 * 2 * WIDTH),
        (CUSTOM["short convolution of 15 tokens"], 14 * WIDTH),
    ],
)
def test_the_cache_of_an_operator(genome: str, elements: int) -> None:
    claim = cost(spec(genome, MEDIUM), 100, torch.bfloat16)
    assert claim.cache_elements == elements
    assert claim.cache_bytes == 2 * elements
    assert cost(spec(genome, MEDIUM), 100, torch.float32).cache_bytes == 4 * elements


@pytest.mark.parametrize("genome", DISTINCT.values(), ids=DISTINCT)
@torch.no_grad()
def test_the_cache_in_bfloat16_is_held_as_claimed(genome: str) -> None:
    backbone, batch, text = build(genome).bfloat16(), 3, tokens(3, 23)

    def claimed(length: int) -> int:
        return batch * cost(backbone.spec, length, torch.bfloat16).cache_bytes

    for prompt, steps in ((1, 1), (19, 2)):
        _, states = backbone.prefill(text[:, :prompt])
        assert state_bytes(states) == claimed(prompt)
        for length in range(prompt, prompt + steps):
            _, states = backbone.step(text[:, length], states)
            assert state_bytes(states) == claimed(length + 1)
    # Before the first token, only the convolutions' and the recurrences' fixed parts are there.
    fixed = sum(layer.operator.state_elements(0) for layer in backbone.layers)
    assert state_bytes(backbone.initial_state(batch)) == batch * fixed * 2


@settings(max_examples=30)
@given(genome=genomes(), prompt=st.integers(1, 45), batch=st.integers(1, 3), wide=st.booleans())
@torch.no_grad()
def test_the_cache_of_any_architecture_is_held_as_claimed(
    genome: Genome, prompt: int, batch: int, wide: bool
) -> None:
    dtype = torch.float32 if wide else torch.bfloat16
    backbone, text = genome.build(SMALL).to(dtype), tokens(batch, prompt + 1)
    claims = [batch * cost(backbone.spec, n, dtype).cache_bytes for n in (prompt, prompt + 1)]
    _, states = backbone.prefill(text[:, :-1])
    assert state_bytes(states) == claims[0]
    _, states = backbone.step(text[:, -1], states)
    assert state_bytes(states) == claims[1]


def test_a_view_counts_with_all_the_storage_it_keeps_alive() -> None:
    whole = torch.zeros(8, 10)
    assert state_bytes((whole[:, :1], {"again": whole[0]})) == 8 * 10 * 4
    assert state_bytes((whole, whole.clone(), None, 3)) == 2 * 8 * 10 * 4


# Parameters and operations ----------------------------------------------------------------


def counted(backbone: Backbone, length: int) -> int:
    """Matrix products and convolutions that PyTorch really runs, attention not fused so that it is seen."""
    with (
        torch.no_grad(),
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        backbone(tokens(1, length))
    return counter.get_total_flops()


def transforms(backbone: Backbone, length: int) -> int:
    """Claimed operations of long convolutions, which PyTorch's counter does not see."""
    total = 0
    for part in backbone.modules():
        if isinstance(part, GatedConvolution) and isinstance(part.groups["kernel"], ImplicitKernel):
            taps = length if part.taps is None else min(length, part.taps)
            total += long_convolution_flops(length, taps, backbone.spec.width)
    return total


@pytest.mark.parametrize("genome", ALL.values(), ids=ALL)
def test_claimed_parameters_and_operations_are_those_of_the_module(genome: str) -> None:
    backbone, length = build(genome), 37
    claim = cost(backbone.spec, length)
    assert claim.parameters == sum(p.numel() for p in backbone.parameters())
    assert claim.flops == counted(backbone, length) + transforms(backbone, length)


@settings(max_examples=30)
@given(genome=genomes(), length=st.integers(1, 100))
def test_claimed_costs_of_any_architecture_are_those_of_what_runs(genome: Genome, length: int) -> None:
    backbone = genome.build(SMALL, 0)
    claim = cost(backbone.spec, length)
    assert claim.flops == counted(backbone, length) + transforms(backbone, length)
    assert claim.parameters == sum(p.numel() for p in backbone.parameters())
    assert claim.cache_elements == sum(layer.operator.state_elements(length) for layer in backbone.layers)


def test_operations_of_attention_and_memoryless_by_hand() -> None:
    length, output = 256, 2 * 256 * WIDTH * VOCABULARY
    attention = 4 * 2 * length * WIDTH * WIDTH + 2 * 2 * length * length * WIDTH
    assert cost(spec(CLASSES["SA-1"], MEDIUM), length).flops == attention + output
    memoryless = 3 * 3 * 2 * length * WIDTH * WIDTH
    assert cost(spec(CLASSES["GMemless"], MEDIUM), length).flops == memoryless + output


def test_operations_of_a_long_convolution_by_hand() -> None:
    # 100 tokens and 100 taps are transformed at 256 points: 3 transforms of 2.5 n log2 n, 129 products.
    assert long_convolution_flops(100, 100, 7) == 7 * (3 * 2.5 * 256 * 8 + 6 * 129)
    assert long_convolution_flops(128, 128, 1) == long_convolution_flops(100, 100, 1)
    assert long_convolution_flops(129, 128, 1) > 2 * long_convolution_flops(128, 128, 1)


def test_cost_makes_no_weights() -> None:
    # A thousand billion parameters would not fit in any memory.
    claim = cost(spec("11111", Sizes(width=2**19, heads=2**10)), 4)
    assert claim.parameters > 10**12


def test_sharing_features_never_costs_more() -> None:
    for genome in SHARED_FEATURES.values():
        backbone, _, rest = genome.partition("/")
        apart = "-".join(liv[:-1] + "1" for liv in backbone.split("-")) + (f"/{rest}" if rest else "")
        shared, unshared = (cost(compile_genome(Genome.parse(g), MEDIUM), 50) for g in (genome, apart))
        assert shared.parameters < unshared.parameters
        assert shared.flops < unshared.flops
        assert shared.cache_elements <= unshared.cache_elements
