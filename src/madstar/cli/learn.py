"""`madstar learn`: what is learned from architecture graphs."""

from __future__ import annotations

from .app import group

learning = group("learn", "Datasets of architecture graphs, and what is learned from them.")
