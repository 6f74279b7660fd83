"""Genomes: architectures as numbers on three levels, their table of genes, repair and variation."""

from .classes import OPERATORS, class_name, class_number
from .compile import Sizes, architecture_hash, compile_genome
from .genes import GENES, LEVELS, Gene
from .genome import FeatureGenes, Genome, LIVGenes, OperatorGenes

__all__ = [
    "GENES",
    "LEVELS",
    "OPERATORS",
    "FeatureGenes",
    "Gene",
    "Genome",
    "LIVGenes",
    "OperatorGenes",
    "Sizes",
    "architecture_hash",
    "class_name",
    "class_number",
    "compile_genome",
]
