"""Text from a backbone: greedy is the parallel form's argmax, sampling repeats with its generator."""

import pytest
import torch

from madstar.liv import generate

from .cases import CLASSES, SHARED_WIDELY, VOCABULARY, build, tokens


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


GENOMES = {**CLASSES, **SHARED_WIDELY}


@pytest.mark.parametrize("genome", GENOMES.values(), ids=GENOMES)
@torch.no_grad()
def test_greedy_text_is_the_argmax_of_the_growing_text(genome: str) -> None:
    backbone = build(genome)
    prompt = tokens(2, 18)
    text = generate(backbone, prompt, 5)
    expected = prompt
    for _ in range(5):
        following = backbone(expected)[:, -1].argmax(-1)
        expected = torch.cat([expected, following[:, None]], 1)
    assert torch.equal(text, expected)


def test_sampled_text_repeats_with_its_generator_and_differs_with_another() -> None:
    backbone, prompt = build("11111-51111"), tokens(2, 5)
    one, again, other = (
        generate(backbone, prompt, 20, temperature=1.0, generator=seeded(seed)) for seed in (1, 1, 2)
    )
    assert one.shape == (2, 25)
    assert torch.equal(one[:, :5], prompt)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert not torch.equal(one, generate(backbone, prompt, 20))


@pytest.mark.parametrize("top_k", [None, 5])
@torch.no_grad()
def test_every_sampled_token_is_drawn_from_the_growing_text(top_k: int | None) -> None:
    backbone, prompt = build("51111-71111"), tokens(3, 5)
    text = generate(backbone, prompt, 12, temperature=0.8, top_k=top_k, generator=seeded(4))
    expected, generator = prompt, seeded(4)
    for _ in range(12):
        logits = backbone(expected)[:, -1] / 0.8
        if top_k is not None:
            for row in logits:
                row[row.argsort(descending=True)[top_k:]] = -torch.inf
        following = torch.multinomial(logits.softmax(-1), 1, generator=generator)
        expected = torch.cat([expected, following], 1)
    assert torch.equal(text, expected)


def test_sampling_does_not_touch_the_global_generator() -> None:
    backbone = build("71111")
    before = torch.get_rng_state()
    generate(backbone, tokens(1, 5), 5, temperature=1.0, generator=seeded(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_one_candidate_is_greedy_and_so_is_a_temperature_near_zero() -> None:
    backbone, prompt = build("31111-91111"), tokens(2, 5)
    greedy = generate(backbone, prompt, 15)
    assert torch.equal(greedy, generate(backbone, prompt, 15, temperature=2.0, top_k=1, generator=seeded(0)))
    assert torch.equal(greedy, generate(backbone, prompt, 15, temperature=1e-4, generator=seeded(0)))


def test_only_the_top_k_are_drawn_and_all_of_them() -> None:
    backbone, prompt = build("91111"), tokens(1, 4)
    best = set(backbone(prompt)[0, -1].topk(3).indices.tolist())
    generator = seeded(0)
    drawn = {
        generate(backbone, prompt, 1, temperature=1.0, top_k=3, generator=generator)[0, -1].item()
        for _ in range(60)
    }
    assert drawn == best
    everything = generate(backbone, prompt, 9, temperature=1.0, top_k=10_000, generator=seeded(3))
    assert torch.equal(everything, generate(backbone, prompt, 9, temperature=1.0, generator=seeded(3)))


def test_draws_follow_the_distribution_at_their_temperature() -> None:
    backbone, draws = build("91111"), 4000
    prompt = tokens(1, 3).expand(draws, -1)
    text = generate(backbone, prompt, 1, temperature=0.7, generator=seeded(0))
    found = torch.bincount(text[:, -1], minlength=VOCABULARY) / draws
    expected = (backbone(prompt[:1])[0, -1] / 0.7).softmax(-1)
    # Total variation; at this many draws of 61 tokens, about 0.04.
    assert 0.5 * (found - expected).abs().sum() < 0.08


@pytest.mark.parametrize("count", [0, 1, 7])
def test_as_many_tokens_as_asked_for(count: int) -> None:
    text = generate(build("51111"), tokens(3, 4), count)
    assert text.shape == (3, 4 + count)
    assert torch.equal(text[:, :4], tokens(3, 4))


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="the prompt is empty"):
        generate(build("91111"), tokens(1, 0), 3)


def test_sampling_without_a_generator_is_refused() -> None:
    with pytest.raises(ValueError, match=r"needs a torch\.Generator"):
        generate(build("91111"), tokens(1, 3), 3, temperature=1.0)


@pytest.mark.parametrize("wrong", [{"temperature": -0.5}, {"temperature": 1.0, "top_k": 0}])
def test_impossible_sampling_is_refused(wrong: dict) -> None:
    model = build("91111")
    with pytest.raises(ValueError, match="at least"):
        generate(model, tokens(1, 3), 2, generator=torch.Generator(), **wrong)
