"""The parallel form, the prefilled and the stepped one are one function, and none sees the future."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from madstar.genome import Genome
from madstar.liv import Backbone, cost, state_bytes
from madstar.liv.kernel import ImplicitKernel

from .cases import (
    ALL,
    CLASSES,
    CUSTOM,
    DISTINCT,
    SINGLE,
    SMALL,
    VOCABULARY,
    build,
    stepped,
    tensors,
    tokens,
)
from .genomes import genomes

CLOSE = {"rtol": 1e-4, "atol": 1e-4}
# Multiples of neither the window of 20 nor a chunk of 16, and beyond both: by two chunks where an
# operator stands alone, by one where layers share.
SINGLE_LENGTH, SHARED_LENGTH = 35, 23
SINGLE_PROMPTS, SHARED_PROMPTS = (1, 16, 21, 33), (1, 21)
# Scans without decay have chunks of 64.
LONG = 75
LINEAR = {name: genome for name, genome in ALL.items() if "linear" in name and "banded" not in name}
TOGETHER = {name: genome for name, genome in ALL.items() if name not in SINGLE}


@pytest.mark.parametrize("genome", SINGLE.values(), ids=SINGLE)
@torch.no_grad()
def test_forms_of_an_operator_agree_and_hold_what_is_claimed(genome: str) -> None:
    _check_forms(build(genome), tokens(2, SINGLE_LENGTH), SINGLE_PROMPTS)


@pytest.mark.parametrize("genome", TOGETHER.values(), ids=TOGETHER)
@torch.no_grad()
def test_forms_of_sharing_layers_agree_and_hold_what_is_claimed(genome: str) -> None:
    _check_forms(build(genome), tokens(2, SHARED_LENGTH), SHARED_PROMPTS)


@pytest.mark.parametrize("prompt", [63, 64, 65])
@pytest.mark.parametrize("genome", LINEAR.values(), ids=LINEAR)
@torch.no_grad()
def test_forms_of_scans_without_decay_agree_beyond_a_chunk(genome: str, prompt: int) -> None:
    backbone, text = build(genome), tokens(2, prompt + 3)
    logits = backbone(text)
    prefilled, states = backbone.prefill(text[:, :prompt])
    torch.testing.assert_close(prefilled, logits[:, :prompt], **CLOSE)
    continued, _ = stepped(backbone, text[:, prompt:], states)
    torch.testing.assert_close(continued, logits[:, prompt:], **CLOSE)


def _check_forms(backbone: Backbone, text: Tensor, prompts: Sequence[int]) -> None:
    logits = backbone(text)
    states = backbone.initial_state(2)
    done = 0

    def claimed(length: int) -> int:
        return cost(backbone.spec, length, torch.float32).cache_bytes

    for prompt in prompts:
        alone, states = stepped(backbone, text[:, done:prompt], states)
        torch.testing.assert_close(alone, logits[:, done:prompt], **CLOSE)
        prefilled, after = backbone.prefill(text[:, :prompt])
        torch.testing.assert_close(prefilled, logits[:, :prompt], **CLOSE)
        for held, expected in zip(tensors(after), tensors(states), strict=True):
            torch.testing.assert_close(held, expected, **CLOSE)
        assert state_bytes(after) == state_bytes(states) == 2 * claimed(prompt)
        continued, after = stepped(backbone, text[:, prompt : prompt + 1], after)
        torch.testing.assert_close(continued, logits[:, prompt : prompt + 1], **CLOSE)
        assert state_bytes(after) == 2 * claimed(prompt + 1)
        done = prompt
    rest, _ = stepped(backbone, text[:, done:], states)
    torch.testing.assert_close(rest, logits[:, done:], **CLOSE)


@settings(max_examples=30)
@given(
    genome=genomes(),
    prompt=st.integers(1, 30),
    more=st.integers(1, 5),
    batch=st.integers(1, 3),
    seed=st.integers(0, 999),
)
@torch.no_grad()
def test_forms_agree_for_any_architecture(
    genome: Genome, prompt: int, more: int, batch: int, seed: int
) -> None:
    backbone = genome.build(SMALL, seed)
    text = tokens(batch, prompt + more, seed)
    logits = backbone(text)
    _, states = backbone.prefill(text[:, :prompt])
    continued, _ = stepped(backbone, text[:, prompt:], states)
    torch.testing.assert_close(continued, logits[:, prompt:], **CLOSE)
    alone, _ = stepped(backbone, text, backbone.initial_state(batch))
    torch.testing.assert_close(alone, logits, **CLOSE)


@pytest.mark.parametrize("genome", SINGLE.values(), ids=SINGLE)
@torch.no_grad()
def test_a_step_leaves_the_states_it_was_given_unchanged(genome: str) -> None:
    backbone = build(genome)
    text = tokens(2, 24)
    _, states = backbone.prefill(text[:, :-1])
    before = [held.clone() for held in tensors(states)]
    first, _ = backbone.step(text[:, -1], states)
    again, _ = backbone.step(text[:, -1], states)
    assert torch.equal(first, again)
    for held, copy in zip(tensors(states), before, strict=True):
        assert torch.equal(held, copy)


@pytest.mark.parametrize("genome", DISTINCT.values(), ids=DISTINCT)
@torch.no_grad()
def test_a_later_token_moves_no_earlier_logits(genome: str) -> None:
    backbone = build(genome)
    text = tokens(4, LONG)
    changed_at = torch.tensor([1, 20, 64, LONG - 1])
    changed = text.clone()
    rows = torch.arange(4)
    changed[rows, changed_at] = (text[rows, changed_at] + 1) % VOCABULARY
    moved = (backbone(changed) - backbone(text)).abs().amax(-1)
    earlier = torch.arange(LONG) < changed_at[:, None]
    # A Fourier transform spreads its rounding over all positions, a chunk of a scan over its tokens.
    transformed = any(isinstance(part, ImplicitKernel) for part in backbone.modules())
    assert moved[earlier].max() <= (1e-4 if transformed else 1e-5)
    assert (moved[rows, changed_at] > 1e-3).all()


@pytest.mark.parametrize("genome", ALL.values(), ids=ALL)
def test_no_logit_depends_on_a_later_embedding(genome: str) -> None:
    backbone = build(genome).double()
    read_at = torch.tensor([0, 15, 16, 33, 63, 64, 73])
    gradient = _embedding_gradient(backbone, tokens(len(read_at), LONG), read_at)
    later = torch.arange(LONG) > read_at[:, None]
    assert gradient[later].max() <= 1e-12
    # The probe itself works: the present token always matters.
    assert (gradient[torch.arange(len(read_at)), read_at] > 1e-3).all()


@settings(max_examples=40)
@given(genome=genomes(), seed=st.integers(0, 999))
def test_no_logit_depends_on_a_later_embedding_in_any_architecture(genome: Genome, seed: int) -> None:
    backbone = genome.build(SMALL, seed).double()
    read_at = torch.randint(39, (4,), generator=torch.Generator().manual_seed(seed))
    gradient = _embedding_gradient(backbone, tokens(4, 40, seed), read_at)
    assert gradient[torch.arange(40) > read_at[:, None]].max() <= 1e-12


@pytest.mark.parametrize(
    ("genome", "reach"),
    [
        (CUSTOM["banded softmax attention"], SMALL.window),
        (CUSTOM["banded swish attention"], SMALL.window),
        (CUSTOM["banded linear attention"], SMALL.window),
        # The convolved features of this class reach two tokens further.
        (CUSTOM["banded long convolution"], SMALL.window + 2),
        (CUSTOM["short convolution of 15 tokens"], 15),
        (CUSTOM["linear attention"], LONG),
        (CLASSES["SA-1"], LONG),
        (CLASSES["Rec-1"], LONG),
        (CLASSES["GConv-2"], LONG),
        (CLASSES["GConv-1"], 3),
        (CLASSES["GMemless"], 1),
    ],
)
def test_an_operator_reaches_as_far_back_as_it_claims(genome: str, reach: int) -> None:
    gradient = _embedding_gradient(build(genome).double(), tokens(1, LONG), torch.tensor([LONG - 1]))[0]
    assert (gradient[LONG - reach :] > 1e-9).all()
    assert (gradient[: LONG - reach] <= 1e-12).all()


def _embedding_gradient(backbone: Backbone, text: Tensor, read_at: Tensor) -> Tensor:
    """|d (a random sum of the logits at one place of each row) / d embeddings|, (batch, length)."""
    embedded: list[Tensor] = []

    def keep(module, inputs, output: Tensor) -> Tensor:
        embedded.append(output.detach().requires_grad_())
        return embedded[0]

    handle = backbone.embedding.register_forward_hook(keep)
    logits = backbone(text)[torch.arange(len(text)), read_at]
    handle.remove()
    direction = torch.randn(logits.shape, generator=torch.Generator().manual_seed(7), dtype=logits.dtype)
    (gradient,) = torch.autograd.grad((logits * direction).sum(), embedded[0])
    return gradient.abs().amax(-1)
