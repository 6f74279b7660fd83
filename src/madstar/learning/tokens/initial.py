"""How fresh weights are drawn where only their place is known: by operation and slot."""

from __future__ import annotations

_CLASSES = {
    "linear": "Linear",
    "bilinear": "Bilinear",
    "embedding": "Embedding",
    "conv1d": "Conv1d",
    "conv2d": "Conv2d",
    "conv3d": "Conv3d",
    "conv_transpose1d": "ConvTranspose1d",
    "conv_transpose2d": "ConvTranspose2d",
    "conv_transpose3d": "ConvTranspose3d",
}
_ONES = frozenset({("mul", "input"), ("mul", "other"), ("div", "other"), ("batch_norm", "running_var")})


def initial(op: str, slot: str) -> str:
    """The initialisation of a weight: "torch.nn.Linear.weight", "ones"; "unknown" where none is usual."""
    if slot == "weight" and op in _CLASSES:
        return f"torch.nn.{_CLASSES[op]}.weight"
    if (op, slot) in _ONES or (slot == "weight" and op.endswith("_norm")):
        return "ones"
    return "zeros" if slot in ("bias", "running_mean") else "unknown"
