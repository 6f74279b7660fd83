"""Editing graphs: small typed edits, found by patterns, composed to programs, checked, undone."""

from __future__ import annotations

from .applying import Edited, edit, undone
from .reading import SCHEMA, load_program, read_program
from .select import Places, Site, select_parameters

__all__ = [
    "SCHEMA",
    "Edited",
    "Places",
    "Site",
    "edit",
    "load_program",
    "read_program",
    "select_parameters",
    "undone",
]
