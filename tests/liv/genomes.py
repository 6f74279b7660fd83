"""Any legal architecture: strategies that draw genomes from the rules of validity themselves."""

from dataclasses import replace

from hypothesis import strategies as st

from madstar.genome import OPERATORS, FeatureGenes, Genome, LIVGenes, OperatorGenes
from madstar.genome.genes import GIVEN
from madstar.genome.genome import ROLES, SHARED_ROLES
from madstar.genome.validity import legal_feature, legal_structure, require_compatible

# b decides c, k decides v, the gate decides the value: these come first.
_DECIDING = ("b", "k", "gate")
_FIELDS = ("token_mixing", "sparsity", "nonlinearity", "expansion", "repeat", "channel_mixing")


@st.composite
def operators(draw: st.DrawFn, largest_repeat: int = 4) -> OperatorGenes:
    """Any operator that has a meaning, in the table or not."""
    mixing = draw(st.sampled_from([mixing for mixing in ROLES if mixing != GIVEN]))
    roles = ROLES[mixing]
    kernel = FeatureGenes(token_mixing=3, channel_mixing=1, sparsity=draw(st.sampled_from([1, 2])))
    features = tuple(kernel if role == "kernel" else FeatureGenes() for role in roles)
    operator = OperatorGenes(features, mixing, 1, 1, 2 if mixing < 3 else 1, draw(st.booleans()))
    for field in ("channel_mixing", "sparsity", "nonlinearity"):
        operator = replace(operator, **{field: draw(st.sampled_from(legal_structure(operator, field)))})
    for role in sorted(roles, key=lambda role: role not in _DECIDING):
        place = roles.index(role)
        for field in _FIELDS:
            genes = operator.features[place]
            legal = [
                value
                for value in legal_feature(operator, role, genes, field)
                if field != "repeat" or value <= largest_repeat
            ]
            if (role, field) == ("kernel", "sparsity"):
                continue
            genes = replace(genes, **{field: draw(st.sampled_from(legal))})
            operator = replace(
                operator, features=(*operator.features[:place], genes, *operator.features[place + 1 :])
            )
    return operator


@st.composite
def genomes(draw: st.DrawFn, largest_repeat: int = 4) -> Genome:
    """Up to four layers of up to two operators, sharing weights and features as they like."""
    palette = draw(
        st.lists(
            st.one_of(operators(largest_repeat), st.sampled_from(list(OPERATORS.values()))),
            min_size=1,
            max_size=2,
        )
    )
    strategies = [draw(st.sampled_from(sorted(SHARED_ROLES[operator.token_mixing]))) for operator in palette]
    livs = []
    for _ in range(draw(st.integers(1, 4))):
        which = draw(st.integers(0, len(palette) - 1))
        livs.append(
            LIVGenes(
                palette[which],
                featurizer_group=which + 1,
                featurizer_strategy=draw(st.sampled_from([1, 2])),
                feature_group=which + 1,
                feature_strategy=draw(st.sampled_from(sorted({1, strategies[which]}))),
            )
        )
    genome = Genome(tuple(livs))
    require_compatible(genome)
    return genome
