"""The museum: models of transformers and timm from their configurations, what to feed them, their graphs.

Nothing here downloads: models are built on the meta device, without weights. The packages are optional (the
extra `zoo`) and are imported only when first needed.
"""

from madstar.zoo.model import ZooModel
from madstar.zoo.source import load

__all__ = ["ZooModel", "load"]
