"""The parts that operators are made of, against loops: scans, convolutions, kernels, rotary, features."""

import math

import pytest
import torch
from beartype.roar import BeartypeCallHintViolation
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from torch import Tensor

from madstar.liv.featurizer import ChannelMixing, Decay, FeatureGroup, ShortConvolution
from madstar.liv.kernel import ImplicitKernel, fft_size, long_convolution
from madstar.liv.rotary import rotate
from madstar.liv.scan import CHUNK, MAX_LOG_DECAY, read, write

EXACT = {"rtol": 1e-9, "atol": 1e-9}
seeds = st.integers(0, 2**31)


def random(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_annotated_shapes_are_checked_in_these_tests() -> None:
    with pytest.raises((TypeCheckError, BeartypeCallHintViolation)):
        rotate(torch.zeros(2, 3, 8), 0, 10_000.0)
    with pytest.raises((TypeCheckError, BeartypeCallHintViolation)):
        write(torch.zeros(1, 5, 2), torch.zeros(1, 6, 2), None)


# Scans ----------------------------------------------------------------------------------------


def scanned(c: Tensor, b: Tensor, v: Tensor, log_decay: Tensor | None) -> tuple[Tensor, Tensor]:
    """h_t = a_t h_(t-1) + b_t v_t and y_t = c_t h_t, one token after the other, in double precision."""
    c, b, v = c.double(), b.double(), v.double()
    h = torch.zeros(b.shape[0], b.shape[2], v.shape[2], dtype=torch.float64)
    y = []
    for t in range(b.shape[1]):
        if log_decay is not None:
            h = torch.exp(log_decay[:, t].double())[:, None] * h
        h = h + b[:, t, :, None] * v[:, t, None, :]
        y.append((c[:, t, :, None] * h).sum(1))
    return torch.stack(y, 1), h


@given(
    length=st.integers(1, 150),
    state=st.integers(1, 4),
    channels=st.integers(1, 3),
    decays=st.booleans(),
    seed=seeds,
)
def test_a_scan_is_the_loop(length: int, state: int, channels: int, decays: bool, seed: int) -> None:
    c, b = random(2, 2, length, state, seed=seed)
    v = random(2, length, channels, seed=seed + 1)
    log_decay = None
    if decays:
        uniform = torch.rand(
            2, length, channels, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
        )
        # From no decay at all to the fastest, most of them slow.
        log_decay = -MAX_LOG_DECAY * uniform**4
    memory = write(b, v, log_decay)
    expected, final = scanned(c, b, v, log_decay)
    torch.testing.assert_close(read(c, memory), expected, **EXACT)
    torch.testing.assert_close(memory.final, final, **EXACT)


@pytest.mark.parametrize(
    ("length", "log_decay"),
    [
        (1000, -MAX_LOG_DECAY),
        (1000, -1.0),
        (2000, -1e-3),
        (2000, -1e-7),
        (2000, 0.0),
        (CHUNK, -MAX_LOG_DECAY),
    ],
)
def test_a_scan_survives_extreme_decays(length: int, log_decay: float) -> None:
    c, b = random(2, 1, length, 3, seed=1, dtype=torch.float32)
    v = random(1, length, 4, seed=2, dtype=torch.float32)
    leaves = [c, b, v, torch.full((1, length, 4), log_decay)]
    for leaf in leaves:
        leaf.requires_grad_()
    c, b, v, a = leaves
    memory = write(b, v, a)
    y = read(c, memory)
    expected, final = scanned(c, b, v, a)
    torch.testing.assert_close(y, expected.float(), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(memory.final, final.float(), rtol=1e-4, atol=1e-3)
    direction = random(*y.shape, seed=3)
    found = torch.autograd.grad((y * direction).sum(), leaves)
    wanted = torch.autograd.grad((expected * direction).sum(), leaves)
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.isfinite().all()
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3 * float(theirs.abs().max()))


def test_a_scan_holds_large_values_at_the_fastest_decay() -> None:
    c, b = torch.ones(2, 1, 40, 1)
    v = torch.full((1, 40, 1), 1e6)
    log_decay = torch.full((1, 40, 1), -MAX_LOG_DECAY)
    y = read(c, write(b, v, log_decay))
    torch.testing.assert_close(y, scanned(c, b, v, log_decay)[0].float(), rtol=1e-4, atol=1.0)


def test_a_scan_survives_decays_that_change_from_one_extreme_to_the_other() -> None:
    length = 1000
    c, b = random(2, 1, length, 2, seed=1, dtype=torch.float32)
    v = random(1, length, 2, seed=2, dtype=torch.float32)
    often = torch.rand(1, length, 2, generator=torch.Generator().manual_seed(3)) < 0.5
    log_decay = torch.where(often, -MAX_LOG_DECAY, 0.0).requires_grad_()
    y = read(c, write(b, v, log_decay))
    torch.testing.assert_close(y, scanned(c, b, v, log_decay)[0].float(), rtol=1e-4, atol=1e-4)
    (gradient,) = torch.autograd.grad(y.square().sum(), log_decay)
    assert gradient.isfinite().all()


# Convolutions ---------------------------------------------------------------------------------


@given(length=st.integers(1, 40), taps=st.integers(1, 40), channels=st.integers(1, 3), seed=seeds)
def test_a_long_convolution_is_the_double_loop(length: int, taps: int, channels: int, seed: int) -> None:
    x, kernel = random(2, length, channels, seed=seed), random(channels, taps, seed=seed + 1)
    expected = torch.zeros_like(x)
    for i in range(length):
        for j in range(i + 1):
            if i - j < taps:
                expected[:, i] += kernel[:, i - j] * x[:, j]
    torch.testing.assert_close(long_convolution(x, kernel), expected, **EXACT)
    single = long_convolution(x.float(), kernel.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single, expected.float(), rtol=1e-4, atol=1e-4)


@given(length=st.integers(1, 5000))
def test_a_transform_is_long_enough_and_a_power_of_two(length: int) -> None:
    size = fft_size(length)
    assert length <= size < 2 * length or length == size == 1
    assert size & (size - 1) == 0


@given(length=st.integers(1, 20), taps=st.integers(1, 7), copies=st.sampled_from([1, 2, 3]), seed=seeds)
@torch.no_grad()
def test_a_short_convolution_is_the_double_loop(length: int, taps: int, copies: int, seed: int) -> None:
    convolution = ShortConvolution(6, taps, copies).double()
    convolution.reset_parameters(torch.Generator().manual_seed(seed))
    x = random(2, length, 6, seed=seed)
    expected = torch.zeros_like(x)
    for i in range(length):
        for back in range(min(taps, i + 1)):
            for channel in range(6):
                weight = convolution.weight[channel // copies, 0, taps - 1 - back]
                expected[:, i, channel] += weight * x[:, i - back, channel]
    torch.testing.assert_close(convolution(x), expected, **EXACT)
    split = seed % (length + 1)
    state = convolution.state(x[:, :split])
    assert state.shape == (2, taps - 1, 6)
    for i in range(split, length):
        y, state = convolution.step(x[:, i], state)
        torch.testing.assert_close(y, expected[:, i], **EXACT)


# Implicit kernels -----------------------------------------------------------------------------


def implicit(channels: int = 12, copies: int = 1, seed: int = 5) -> ImplicitKernel:
    kernel = ImplicitKernel(channels, copies)
    kernel.reset_parameters(torch.Generator().manual_seed(seed))
    return kernel


@given(shorter=st.integers(1, 400), longer=st.integers(1, 400))
@torch.no_grad()
def test_a_longer_kernel_begins_with_the_shorter_one(shorter: int, longer: int) -> None:
    shorter, longer = sorted((shorter, longer))
    kernel = implicit()
    torch.testing.assert_close(kernel(longer)[:, :shorter], kernel(shorter), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_a_kernel_is_window_times_network_plus_delta() -> None:
    kernel = implicit()
    kernel.hidden_bias.normal_(generator=torch.Generator().manual_seed(1))
    found = kernel(300)
    periods = [4.0 * 512.0 ** (i / 7) for i in range(8)]
    for t in (0, 1, 2, 17, 120, 299):
        angles = [2 * math.pi * t / period for period in periods]
        features = [math.cos(a) for a in angles] + [math.sin(a) for a in angles] + [math.log(1 + t) / 8]
        hidden = [
            sum(f * w for f, w in zip(features, kernel.hidden[:, unit].tolist(), strict=True))
            + kernel.hidden_bias[unit].item()
            for unit in range(16)
        ]
        hidden = [h / (1 + math.exp(-h)) for h in hidden]
        for channel in range(12):
            value = sum(h * w for h, w in zip(hidden, kernel.output[:, channel].tolist(), strict=True))
            value *= math.exp(-t * math.exp(kernel.log_rate[channel].item()))
            value += kernel.delta[channel].item() if t == 0 else 0.0
            assert found[channel, t].item() == pytest.approx(value, rel=1e-3, abs=1e-5)


@torch.no_grad()
def test_channels_of_a_group_share_a_kernel() -> None:
    found = implicit(copies=3)(50)
    assert found.shape == (12, 50)
    groups = found.unflatten(0, (4, 3))
    assert torch.equal(groups[:, 0], groups[:, 2])
    assert not torch.equal(groups[0], groups[1])


@torch.no_grad()
def test_kernels_fade_at_time_scales_of_their_own() -> None:
    found = implicit(64)(2048).abs()
    # The fastest forgets within 32 tokens, the slowest still holds something after 512.
    assert found[0, 32:].max() < 1e-4 * found[0].max()
    assert found[-1, 512:].max() > 1e-2 * found[-1, 1:].max()
    rates = implicit(64).log_rate.exp()
    assert rates[0] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(1 / 512)
    assert (rates.diff() < 0).all()


# Rotary positions -----------------------------------------------------------------------------


@given(
    half=st.integers(1, 8),
    first=st.integers(0, 300),
    second=st.integers(0, 300),
    shift=st.integers(0, 300),
    seed=seeds,
)
def test_rotary_products_depend_on_the_distance_alone(
    half: int, first: int, second: int, shift: int, seed: int
) -> None:
    q, k = random(2, 1, 1, 1, 2 * half, seed=seed)

    def product(place_of_q: int, place_of_k: int) -> Tensor:
        return (rotate(q, place_of_q, 10_000.0) * rotate(k, place_of_k, 10_000.0)).sum()

    here, there = product(first, second), product(first + shift, second + shift)
    torch.testing.assert_close(here, there, rtol=1e-3, atol=1e-3)


@given(length=st.integers(1, 20), start=st.integers(0, 50), seed=seeds)
def test_rotary_positions_count_from_the_start_and_keep_lengths(length: int, start: int, seed: int) -> None:
    x = random(2, 3, start + length, 8, seed=seed)
    turned = rotate(x, 0, 10_000.0)
    torch.testing.assert_close(rotate(x[:, :, start:], start, 10_000.0), turned[:, :, start:], **EXACT)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(turned[:, :, 0], x[:, :, 0], **EXACT)


def test_rotary_distances_are_told_apart() -> None:
    q = torch.ones(1, 1, 1, 8, dtype=torch.float64)
    products = {round((rotate(q, 0, 10_000.0) * rotate(q, d, 10_000.0)).sum().item(), 6) for d in range(200)}
    assert len(products) == 200


def test_rotary_angles_are_exact_in_bfloat16() -> None:
    # Position 1001 is not a bfloat16; an angle of a rounded position would be off by radians.
    x = torch.ones(1, 1, 1, 4)
    near = rotate(x.bfloat16(), 1001, 10_000.0).float()
    torch.testing.assert_close(near, rotate(x, 1001, 10_000.0), rtol=0.02, atol=0.02)


# Features -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("structure", "outputs"), [("dense", 20), ("grouped", 24), ("diagonal", 12)])
@torch.no_grad()
def test_channel_mixing_is_its_matrix(structure: str, outputs: int) -> None:
    mixing = ChannelMixing(12, outputs, structure, 4).double()
    mixing.reset_parameters(torch.Generator().manual_seed(0))
    x = random(2, 5, 12, seed=1)
    matrix = torch.zeros(12, outputs, dtype=torch.float64)
    for i in range(12):
        for o in range(outputs):
            if structure == "dense":
                matrix[i, o] = mixing.weight[o, i]
            elif structure == "grouped" and i // 3 == o // 6:
                matrix[i, o] = mixing.weight[i // 3, i % 3, o % 6]
            elif structure == "diagonal" and i == o:
                matrix[i, o] = mixing.weight[i]
    torch.testing.assert_close(mixing(x), x @ matrix, **EXACT)
    torch.testing.assert_close(mixing(x[:, 0]), x[:, 0] @ matrix, **EXACT)


@pytest.mark.parametrize("nonlinearity", ["none", "relu", "swish"])
@torch.no_grad()
def test_a_feature_is_mixed_then_convolved_then_bent(nonlinearity: str) -> None:
    group = FeatureGroup(
        8, 8, channel_mixing="grouped", convolution=True, nonlinearity=nonlinearity, groups=2
    )
    for part in (group.mixing, group.convolution):
        part.reset_parameters(torch.Generator().manual_seed(1))
    x = random(1, 6, 8, seed=2, dtype=torch.float32)
    bent = {"none": lambda y: y, "relu": torch.relu, "swish": lambda y: y * torch.sigmoid(y)}[nonlinearity]
    torch.testing.assert_close(group(x), bent(group.convolution(group.mixing(x))))


@given(scale=st.floats(0, 1e6), seed=seeds)
@torch.no_grad()
def test_decays_stay_in_the_range_that_scans_can_hold(scale: float, seed: int) -> None:
    decay = Decay(4, 4, channel_mixing="dense", convolution=False, nonlinearity="none", groups=1)
    decay.mixing.reset_parameters(torch.Generator().manual_seed(seed))
    decay.reset_parameters(torch.Generator())
    log_decay = decay(scale * random(1, 9, 4, seed=seed, dtype=torch.float32))
    assert (log_decay >= -MAX_LOG_DECAY).all()
    assert (log_decay <= 0).all()
    assert torch.equal(decay.step(torch.zeros(1, 4), None)[0], decay(torch.zeros(1, 1, 4))[:, 0])
