"""The command line: `madstar search`, `report`, `export`, `genes`, `show`, `runs`."""

from .app import main

__all__ = ["main"]
