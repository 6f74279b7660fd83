"""Linear input-varying operators, and the backbones that compose and share them."""

from .assembly import STATE_ROLES
from .auto_encoder import AutoEncoder
from .backbone import Backbone
from .cost import Cost, cost, state_bytes
from .generation import generate
from .language_model import LanguageModel
from .spec import BackboneSpec, GroupSpec, LayerSpec, OperatorSpec

__all__ = [
    "STATE_ROLES",
    "AutoEncoder",
    "Backbone",
    "BackboneSpec",
    "Cost",
    "GroupSpec",
    "LanguageModel",
    "LayerSpec",
    "OperatorSpec",
    "cost",
    "generate",
    "state_bytes",
]
