"""A graph as Python: one file with a class for each block, which needs torch and nothing else."""

from .writing import to_source

__all__ = ["to_source"]
