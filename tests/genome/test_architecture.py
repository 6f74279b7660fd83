"""What a genome expresses: its hash, the spec it compiles to, the baselines."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings

from madstar.errors import GenomeError
from madstar.genome import OPERATORS, Genome, LIVGenes, Sizes, architecture_hash, baselines, compile_genome
from madstar.genome.genes import CHANNEL_MIXING, NONLINEARITY, TOKEN_MIXING
from madstar.genome.genome import SHARED_ROLES
from madstar.genome.validity import require_compatible
from madstar.liv import BackboneSpec

from .genomes import genomes

SIZES = Sizes(vocabulary_size=32, width=32, heads=4, window=4)


def hashed(text: str) -> str:
    return Genome.parse(text).architecture


def test_the_hash_is_stable() -> None:
    # Archives hold these: a change here makes old runs' candidates look new.
    assert hashed("21211-31112-21221-32112") == "843dd7a75cf5d483"
    assert hashed("101.1.1.1.1-91111/o101=d101.2.1.1.3/f101=111211+324212+111212") == "d897633fbd54172d"


ONE_ARCHITECTURE = [
    # Groups that nothing is shared in.
    ("11111-91111", "12111-93111", "11121-91191", "1.32.1.32.1-91111"),
    # The only member of a group.
    ("11111-91111", "11211-91111", "11114-91111", "11111-91212"),
    # The numbers of groups, and the order in which they appear.
    ("21211-31211-21211-31211".replace("31211", "32211"), "25211-31211-25211-31211"),
    ("11112-91111-11112", "11172-91111-11172"),
    # A layer alone in its group beside a group of two.
    ("11112-11112-11112", "11192-11192-11192"),
    ("11211-11211-12211", "11211-11211-11111"),
]
DISTINCT = [
    "11111-91111",
    "91111-11111",
    "21111-91111",
    "11111-91111-91111",
    "11111-11111",
    "11211-11211",
    "11112-11112",
    "11113-11113",
    "11114-11114",
    "11212-11212",
    "10.1.1.1.1-91111",
    "101.1.1.1.1-91111/o101=12223",
    "101.1.1.1.1-91111/o101=12133",
    "101.1.1.1.1-91111/o101=12122",
    "101.1.1.1.1-91111/o101=101.2.1.2.3/f101=111211+111211+113211",
    "101.1.1.1.1-91111/o101=101.2.1.2.3/f101=111211+111211+111311",
    "101.1.1.1.1-91111/o101=101.2.1.2.3/f101=111211+111211+321211",
    "101.1.1.1.1-91111/o101=101.2.1.2.3/f101=111211+111218+111218",
    "51111-91111",
    "61111-91111",
]


@pytest.mark.parametrize("texts", ONE_ARCHITECTURE, ids=lambda texts: texts[0])
def test_unused_genes_do_not_change_the_hash(texts: tuple[str, ...]) -> None:
    assert len({str(Genome.parse(text)) for text in texts}) == len(texts)
    assert len({hashed(text) for text in texts}) == 1


def test_expressed_genes_change_the_hash() -> None:
    assert len({hashed(text) for text in DISTINCT}) == len(DISTINCT)


@settings(max_examples=60)
@given(genomes())
def test_the_hash_is_of_what_is_compiled(genome: Genome) -> None:
    spec = compile_genome(genome, SIZES)
    found = architecture_hash(genome)
    assert len(found) == 16
    assert int(found, 16) >= 0
    assert BackboneSpec.from_dict(spec.to_dict()) == spec
    # With all groups renumbered the same is compiled; the last layer's class is always expressed.
    shifted = [
        replace(liv, featurizer_group=liv.featurizer_group % 32 + 1, feature_group=33 - liv.feature_group)
        for liv in genome.livs
    ]
    assert compile_genome(Genome(tuple(shifted)), SIZES) == spec
    assert architecture_hash(Genome(tuple(shifted))) == found
    deeper = Genome((*genome.livs, LIVGenes(OPERATORS[9])))
    assert architecture_hash(deeper) != found


@settings(max_examples=60)
@given(genomes())
def test_a_spec_says_what_the_genes_say(genome: Genome) -> None:
    spec = compile_genome(genome, SIZES)
    assert len(spec.layers) == genome.depth
    for place, (layer, liv) in enumerate(zip(spec.layers, genome.livs, strict=True)):
        operator = liv.operator
        assert layer.operator.token_mixing == TOKEN_MIXING.get(operator.token_mixing, "given")
        assert layer.operator.nonlinearity == NONLINEARITY[operator.nonlinearity]
        assert layer.operator.channel_mixing == CHANNEL_MIXING[operator.channel_mixing]
        assert layer.operator.banded == (operator.sparsity == 2)
        assert layer.operator.differential == operator.differential
        for group, genes in zip(layer.operator.groups, operator.features, strict=True):
            assert (group.expansion, group.repeat) == (genes.expansion, genes.repeat)
            assert group.banded == (genes.sparsity == 2)
            assert group.channel_mixing == CHANNEL_MIXING[genes.channel_mixing]
            assert group.nonlinearity == NONLINEARITY[genes.nonlinearity]
            assert group.token_mixing == TOKEN_MIXING[genes.token_mixing]
        # Sharing by brute force over the layers before.
        before = [
            other
            for other in range(place)
            if genome.livs[other].feature_strategy > 1
            and genome.livs[other].feature_group == liv.feature_group
        ]
        shares = liv.feature_strategy > 1 and bool(before)
        assert layer.features_from == (before[0] if shares else None)
        taken = SHARED_ROLES[operator.token_mixing][liv.feature_strategy] if shares else ()
        assert layer.shared == taken
        partners = {
            other
            for other, mate in enumerate(genome.livs)
            if mate.featurizer_strategy == liv.featurizer_strategy == 2
            and mate.featurizer_group == liv.featurizer_group
        } - {place}
        assert partners == {
            other
            for other, mate in enumerate(spec.layers)
            if mate.featurizer_pool == layer.featurizer_pool is not None
        } - {place}


def test_sizes_reach_the_spec_and_not_the_hash() -> None:
    sizes = Sizes(
        vocabulary_size=99, width=48, heads=2, window=7, tied=True, embedding_std=0.1, residual_scale=0.3
    )
    genome = Genome.parse("11111")
    spec = compile_genome(genome, sizes)
    assert {name: getattr(spec, name) for name in vars(sizes)} == vars(sizes)
    assert genome.build(sizes, seed=3).spec == spec


def test_builds_are_functions_of_the_seed() -> None:
    genome = Genome.parse("11111-91111")
    one, same, other = (genome.build(SIZES, seed).state_dict() for seed in (4, 4, 5))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_a_genome_without_layers_is_none() -> None:
    with pytest.raises(GenomeError, match="give at least one"):
        compile_genome(Genome(()), SIZES)


NAMES = ["Transformer++", "Transformer++ GQA", "recurrence-attention hybrid", "convolution-attention hybrid"]


@pytest.mark.parametrize("depth", range(1, 13))
def test_baselines_at_every_depth(depth: int) -> None:
    found = baselines(depth)
    assert list(found) == NAMES
    tokens = torch.arange(8)[None]
    for genome in found.values():
        assert genome.depth == depth
        require_compatible(genome)
        assert Genome.parse(str(genome)) == genome
        assert torch.isfinite(genome.build(SIZES)(tokens)).all()
        # Mixers and SwiGLU in turn, nothing shared.
        assert [liv.operator == OPERATORS[9] for liv in genome.livs] == [bool(i % 2) for i in range(depth)]
        assert all(liv.featurizer_strategy == liv.feature_strategy == 1 for liv in genome.livs)
    # A single mixer leaves no room for a hybrid's second kind, but the four still differ.
    assert len({genome.architecture for genome in found.values()}) == 4


def test_hybrids_have_attention_as_the_third_of_four_mixers() -> None:
    found = {name: str(genome) for name, genome in baselines(16).items()}
    swiglu = "-91111"
    assert found["Transformer++"] == "-".join(["11111" + swiglu] * 8)
    assert found["Transformer++ GQA"] == "-".join(["41111" + swiglu] * 8)
    for name, mixer in (("recurrence-attention hybrid", "51111"), ("convolution-attention hybrid", "71111")):
        stripe = [mixer, mixer, "11111", mixer]
        assert found[name] == "-".join(one + swiglu for one in stripe * 2)
