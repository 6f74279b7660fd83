"""Search guided by what was learned from measured genomes: the strategy `guided` of `madstar search`."""

from .strategy import Guidance, Guided

__all__ = ["Guidance", "Guided"]
