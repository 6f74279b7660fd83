"""The gene table: every gene, its level, its values and what they mean (STAR, arXiv 2411.17800, section 3-4).

This is the only place where a gene's range stands. Reading, checking, sampling and repair use it,
`madstar genes` prints it, and docs/genes.md is made from it. Where public sources of the paper
disagree or are silent, the choice is explained in docs/decisions/0002-open-questions-of-the-paper.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..liv.layers.catalogue import CATALOGUE

BACKBONE, OPERATOR, FEATURIZER = "backbone", "operator", "featurizer"
LEVELS = (BACKBONE, OPERATOR, FEATURIZER)

MAX_GROUP = 32


@dataclass(frozen=True)
class Gene:
    """One gene: the values it may take and what each means. `open_ended` genes may also name a

    class that the genome itself defines.
    """

    level: str
    name: str
    meaning: str
    values: dict[int, str]
    open_ended: bool = False

    @property
    def range(self) -> str:
        """The values in short, as error messages say them: "1-4" or "1, 2, 4, 8"."""
        values = sorted(self.values)
        if values == list(range(values[0], values[-1] + 1)):
            return f"{values[0]}-{values[-1]}" if len(values) > 1 else str(values[0])
        return ", ".join(map(str, values))


CLASS_NAMES = {
    1: "SA-1", 2: "SA-2", 3: "SA-3", 4: "SA-4", 5: "Rec-1", 6: "Rec-2",
    7: "GConv-1", 8: "GConv-2", 9: "GMemless",
    10: "DiffSA-1", 11: "DiffSA-2", 12: "DiffSA-3", 13: "DiffSA-4", 14: "DiffRec-1", 15: "DiffRec-2",
    16: "DiffGConv-1", 17: "DiffGConv-2",
}  # fmt: skip
CLASS_MEANINGS = {
    1: "attention: q, k, v by dense channel mixing",
    2: "attention, a short convolution over each of q, k, v",
    3: "grouped-query attention, 4 query heads per key head",
    4: "grouped-query attention, 2 query heads per key head",
    5: "gated recurrence, state expansion 16",
    6: "gated recurrence, state expansion 2",
    7: "gated short convolution, 3 tokens",
    8: "gated implicit long convolution (Hyena family)",
    9: "gated memoryless unit (SwiGLU)",
    **{9 + i: f"difference of two {name}" for i, name in list(CLASS_NAMES.items())[:8]},
}

# Layers of the catalogue that have a class number: name, and the token mixing that is nearest to theirs,
# under which reports and forecasts count them. Numbers are permanent: append, and never give one anew.
# Left out is what the table above has already (attention, hyena, mlp, swiglu), a layer with another
# setting of one that is here (single heads), and RWKV-5's channel mixer, which computes what RWKV-6's does.
# A genome may use those too, as it may another package's: /o101=@hyena.
GIVEN_LAYERS: dict[int, tuple[str, int]] = {
    18: ("mamba", 4),
    19: ("mamba2", 4),
    20: ("mh-gated-linear-attention", 4),
    21: ("retention", 4),
    22: ("gated-deltanet", 4),
    23: ("rwkv7-time-mixer", 4),
    24: ("rwkv6-time-mixer", 4),
    25: ("rwkv5-time-mixer", 4),
    26: ("mh-hyena", 3),
    27: ("differential-attention", 2),
    28: ("latent-attention", 2),
    29: ("moe-mlp", 1),
    30: ("multi-query-attention", 2),
    31: ("mh-sliding-attention", 2),
    32: ("mh-linear-attention", 2),
    33: ("hyena-experts", 3),
    34: ("rwkv6-channel-mixer", 1),
}
GIVEN_MEANINGS = {number: CATALOGUE[name].summary for number, (name, _) in GIVEN_LAYERS.items()}

# Token mixing of a layer by name: what it does inside, no gene says, and no digit asks for it.
GIVEN = 5
TOKEN_MIXING = {1: "diagonal", 2: "low-rank", 3: "toeplitz", 4: "semi-separable"}
SPARSITY = {1: "none", 2: "banded"}
NONLINEARITY = {1: "none", 2: "softmax", 3: "relu", 4: "swish"}
CHANNEL_MIXING = {1: "diagonal", 2: "dense", 3: "grouped"}

_GROUPS = {i: f"group {i}" for i in range(1, MAX_GROUP + 1)}

GENES: tuple[Gene, ...] = (
    Gene(
        BACKBONE,
        "class",
        "which LIV this layer is",
        {
            **{i: f"{CLASS_NAMES[i]}: {CLASS_MEANINGS[i]}" for i in CLASS_NAMES},
            **{i: f"{name}: {GIVEN_MEANINGS[i]}" for i, (name, _) in GIVEN_LAYERS.items()},
        },
        open_ended=True,
    ),
    Gene(BACKBONE, "featurizer group", "layers of one group may share featurizer weights", _GROUPS),
    Gene(
        BACKBONE,
        "featurizer strategy",
        "which featurizer weights are shared with the group",
        {1: "nothing", 2: "all weights of the featurizer"},
    ),
    Gene(BACKBONE, "feature group", "layers of one group may share computed features", _GROUPS),
    Gene(
        BACKBONE,
        "feature strategy",
        "which computed features are taken from the group's first layer",
        {
            1: "nothing",
            2: "all on the state side: k and v | b, a and v | b and v | value",
            3: "the keys: k | b and a | b",
            4: "the values: v",
        },
    ),
    Gene(
        OPERATOR,
        "featurizer class",
        "how the features that make up T are computed",
        {i: f"the featurizer of {CLASS_NAMES[i]}" for i in range(1, 10)},
        open_ended=True,
    ),
    Gene(
        OPERATOR,
        "token mixing",
        "the structure of T over tokens (a layer by name has none of these: it is written /o101=@name)",
        {
            1: "diagonal: sigma(C_i) if i = j, gated memoryless",
            2: "low rank: sigma(C_i B_j), attention",
            3: "scaled Toeplitz: C_i K_(i-j) B_j, gated convolution",
            4: "semi-separable: C_i A_(i-1) ... A_(j+1) B_j, recurrence",
        },
    ),
    Gene(
        OPERATOR,
        "sparsity",
        "which tokens T reaches",
        {1: "none: the whole past", 2: "banded: a window of the last tokens"},
    ),
    Gene(
        OPERATOR,
        "nonlinearity",
        "sigma: on C_i B_j in low-rank mixing, on C_i elsewhere",
        {1: "none", 2: "softmax (low-rank mixing only)", 3: "ReLU", 4: "swish"},
    ),
    Gene(
        OPERATOR,
        "channel mixing",
        "the structure of T over channels",
        {
            1: "diagonal: each channel its own T",
            2: "dense: one T for all channels (one head), dense output",
            3: "grouped: one T for each head",
        },
    ),
    Gene(
        FEATURIZER,
        "token mixing",
        "of one feature group",
        {1: "diagonal: each token by itself", 3: "Toeplitz: a convolution over tokens"},
    ),
    Gene(
        FEATURIZER,
        "sparsity",
        "of the group's convolution",
        {
            1: "none: no convolution, or an implicit kernel as long as the sequence",
            2: "banded: a short kernel",
        },
    ),
    Gene(FEATURIZER, "nonlinearity", "after the group's convolution", {1: "none", 3: "ReLU", 4: "swish"}),
    Gene(
        FEATURIZER,
        "channel mixing",
        "from the input to the feature",
        {1: "diagonal", 2: "dense", 3: "grouped: one block for each head"},
    ),
    Gene(
        FEATURIZER,
        "expansion",
        "recurrence: state numbers per channel; memoryless: inner width over width; kernel: length in tokens",
        {i: f"times {i}" for i in (1, 2, 3, 4, 7, 8, 15, 16)},
    ),
    Gene(
        FEATURIZER,
        "repeat",
        "query heads that share one head of keys and values",
        {i: f"{i} query heads" for i in (1, 2, 4, 8)},
    ),
)


def gene(level: str, name: str) -> Gene:
    """The gene of that level and name; KeyError where there is none."""
    for candidate in GENES:
        if (candidate.level, candidate.name) == (level, name):
            return candidate
    raise KeyError(f"{level} {name}")


def genes(level: str) -> tuple[Gene, ...]:
    """The genes of a level, in the order of its numeric string."""
    return tuple(candidate for candidate in GENES if candidate.level == level)
