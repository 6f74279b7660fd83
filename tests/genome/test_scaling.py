"""Deeper and wider: layers repeat in order, sharing stays within a copy, heads keep their size."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madstar.errors import ConfigurationError, GenomeError
from madstar.genome import Genome, Sizes, baselines, compile_genome
from madstar.genome.scaling import HOW, deepen, widen
from madstar.genome.validity import problems
from madstar.liv import cost
from madstar.liv.spec import BackboneSpec

from .genomes import genomes

SIZES = Sizes(vocabulary_size=32, width=32, heads=4, window=4)
ways = st.sampled_from(HOW)
copies = st.integers(1, 4)


def places(depth: int, times: int, how: str) -> list[tuple[int, int]]:
    """The slow reference: (layer, copy) at each place of the deeper genome."""
    order = []
    if how == "stack":
        for copy in range(times):
            for layer in range(depth):
                order.append((layer, copy))
    else:
        for layer in range(depth):
            for copy in range(times):
                order.append((layer, copy))
    return order


def pools(spec: BackboneSpec) -> list[set[int]]:
    """For each layer the layers that use its weights, itself included."""
    return [
        {
            other
            for other, mate in enumerate(spec.layers)
            if other == place
            or (layer.featurizer_pool is not None and mate.featurizer_pool == layer.featurizer_pool)
        }
        for place, layer in enumerate(spec.layers)
    ]


@settings(max_examples=80)
@given(genomes(), copies, ways)
def test_each_copy_shares_as_the_original_does(genome: Genome, times: int, how: str) -> None:
    deeper = deepen(genome, times * genome.depth, how)
    before, after = compile_genome(genome, SIZES), compile_genome(deeper, SIZES)
    order = places(genome.depth, times, how)
    at = {which: place for place, which in enumerate(order)}
    assert len(after.layers) == len(order)
    partners, deeper_partners = pools(before), pools(after)
    for place, (layer, copy) in enumerate(order):
        old, new = before.layers[layer], after.layers[place]
        assert new.operator == old.operator
        assert new.shared == old.shared
        assert new.features_from == (None if old.features_from is None else at[old.features_from, copy])
        assert deeper_partners[place] == {at[mate, copy] for mate in partners[layer]}


@settings(max_examples=80)
@given(genomes(), copies, ways, st.booleans())
def test_a_deeper_genome_is_valid(genome: Genome, times: int, how: str, across: bool) -> None:
    deeper = deepen(genome, times * genome.depth, how, across=across)
    assert deeper.depth == times * genome.depth
    assert not list(problems(deeper))
    assert Genome.parse(str(deeper)) == deeper
    if times == 1:
        assert deeper == genome
    order = places(genome.depth, times, how)
    assert [liv.operator for liv in deeper.livs] == [genome.livs[layer].operator for layer, _ in order]


@settings(max_examples=60)
@given(genomes(), st.integers(2, 3), ways)
def test_copies_that_share_across_are_one_group(genome: Genome, times: int, how: str) -> None:
    before = compile_genome(genome, SIZES)
    after = compile_genome(deepen(genome, times * genome.depth, how, across=True), SIZES)
    order = places(genome.depth, times, how)
    at = {which: place for place, which in enumerate(order)}
    partners, deeper_partners = pools(before), pools(after)
    owners = {layer.features_from for layer in before.layers} - {None}
    for place, (layer, copy) in enumerate(order):
        old, new = before.layers[layer], after.layers[place]
        if old.features_from is not None:
            assert new.features_from == at[old.features_from, 0]
        elif layer in owners and copy > 0:
            assert new.features_from == at[layer, 0]
        else:
            assert new.features_from is None
        alone = partners[layer] == {layer}
        expected = {place} if alone else {at[m, c] for m in partners[layer] for c in range(times)}
        assert deeper_partners[place] == expected


@settings(max_examples=30)
@given(genomes(), st.integers(2, 4), ways)
def test_without_sharing_k_copies_have_k_times_the_parameters(genome: Genome, times: int, how: str) -> None:
    alone = Genome(tuple(replace(liv, featurizer_strategy=1, feature_strategy=1) for liv in genome.livs))
    own, deeper = (
        cost(compile_genome(g, SIZES), 16).parameters
        for g in (alone, deepen(alone, times * alone.depth, how))
    )
    # What belongs to no layer: a backbone without its last layer says how much that is, taken all off.
    single = Genome(alone.livs[:1])
    one, two = (
        cost(compile_genome(g, SIZES), 16).parameters for g in (single, Genome((*single.livs, *single.livs)))
    )
    outside = 2 * one - two
    assert deeper - outside == times * (own - outside)


@pytest.mark.parametrize(
    ("text", "how", "expected"),
    [
        ("11111-91111", "stack", "11111-91111-11111-91111"),
        ("11111-91111", "stretch", "11111-11111-91111-91111"),
        ("71211-91111-71211", "stack", "71211-91111-71211-72211-91111-72211"),
        ("71211-91111-71211", "stretch", "71211-72211-91111-91111-71211-72211"),
        # Numbers that are in use are not given away, and what shares with no one stops asking to.
        ("12211-12211-71211-71211", "stack", "12211-12211-71211-71211-13211-13211-74211-74211"),
        ("11232-91111", "stack", "11131-91111-11131-91111"),
    ],
)
def test_by_hand(text: str, how: str, expected: str) -> None:
    genome = Genome.parse(text)
    assert str(deepen(genome, 2 * genome.depth, how)) == expected


def test_baselines_stack_to_themselves() -> None:
    for name, genome in baselines(8).items():
        assert deepen(genome, 24) == baselines(24)[name]


@pytest.mark.parametrize(
    ("depth", "near"), [(12, "give 8 or 16"), (23, "give 16 or 24"), (5, "give 8"), (0, "give 8")]
)
def test_a_depth_that_is_no_multiple(depth: int, near: str) -> None:
    with pytest.raises(GenomeError, match=f"depth {depth} is no multiple of the genome's 8 layers: {near}$"):
        deepen(baselines(8)["Transformer++"], depth)


def test_another_way_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"how='widen'.*choose stack or stretch"):
        deepen(baselines(2)["Transformer++"], 4, "widen")


def test_more_groups_than_there_are() -> None:
    genome = Genome.parse("1.1.2.1.1-1.1.2.1.1-1.2.2.1.1-1.2.2.1.1-1.3.2.1.1-1.3.2.1.1")
    assert deepen(genome, 60).depth == 60
    with pytest.raises(
        GenomeError, match=r"11 copies of 3 groups that share weights need 33 .* at most depth 60"
    ):
        deepen(genome, 66)
    assert deepen(genome, 66, across=True).depth == 66


@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 32))
def test_heads_keep_their_channels(heads: int, channels: int, more: int) -> None:
    sizes = Sizes(width=heads * channels, heads=heads)
    wider = widen(sizes, more * channels)
    assert (wider.width, wider.heads) == (more * channels, more)
    assert replace(wider, width=sizes.width, heads=sizes.heads) == sizes


@given(st.integers(1, 8), st.integers(2, 16), st.integers(1, 300))
def test_the_nearest_widths_that_do(heads: int, channels: int, width: int) -> None:
    sizes = Sizes(width=heads * channels, heads=heads)
    if width % channels == 0:
        return
    possible = [w for w in range(1, width + 2 * channels) if w % channels == 0]
    below, above = [w for w in possible if w < width], [w for w in possible if w > width]
    near = " or ".join(map(str, [*below[-1:], above[0]]))
    with pytest.raises(ConfigurationError, match=f"width {width} does not divide.*: give {near}$"):
        widen(sizes, width)


def test_widths_must_suit_the_genes() -> None:
    grouped = baselines(4)["Transformer++ GQA"]
    sizes = Sizes(width=64, heads=4)
    assert widen(sizes, 96, [grouped]).heads == 6
    with pytest.raises(ConfigurationError, match=r"width 80 has 5 heads .*: give 64 or 96$"):
        widen(sizes, 80, [grouped])
    with pytest.raises(ConfigurationError, match=r"width 90 .*: give 64 or 96$"):
        widen(sizes, 90, [grouped])
