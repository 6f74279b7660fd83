"""Models as directories of plain PyTorch that run without madstar."""

from .export import export_model

__all__ = ["export_model"]
