"""Linear input-varying operators, and the backbones that compose and share them."""

from .assembly import STATE_ROLES
from .backbone import Backbone
from .cost import Cost, cost, state_bytes
from .generation import generate
from .spec import BackboneSpec, GroupSpec, LayerSpec, OperatorSpec

__all__ = [
    "STATE_ROLES",
    "Backbone",
    "BackboneSpec",
    "Cost",
    "GroupSpec",
    "LayerSpec",
    "OperatorSpec",
    "cost",
    "generate",
    "state_bytes",
]
