"""Genomes: architectures as numbers on three levels, their table of genes, repair and variation."""

from .classes import CLASSES, OPERATORS, class_name, class_number, class_numbers, named_layer
from .compile import architecture_hash, compile_genome
from .genes import GENES, LEVELS, Gene
from .genome import FeatureGenes, Genome, LIVGenes, OperatorGenes
from .named import baselines
from .repair import repair
from .sampling import sample
from .sizes import Sizes
from .space import SearchSpace
from .variation import Offspring, vary

__all__ = [
    "CLASSES",
    "GENES",
    "LEVELS",
    "OPERATORS",
    "FeatureGenes",
    "Gene",
    "Genome",
    "LIVGenes",
    "Offspring",
    "OperatorGenes",
    "SearchSpace",
    "Sizes",
    "architecture_hash",
    "baselines",
    "class_name",
    "class_number",
    "class_numbers",
    "compile_genome",
    "named_layer",
    "repair",
    "sample",
    "vary",
]
