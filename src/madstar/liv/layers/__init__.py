"""Layers known by name: those of MAD, and those that came since."""
