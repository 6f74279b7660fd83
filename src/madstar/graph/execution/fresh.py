"""Fresh weights, drawn as each parameter's `initialisation` says.

| initialisation                                | drawn                                          |
|-----------------------------------------------|------------------------------------------------|
| `zeros`, `ones`, `constant(x)`                | that                                           |
| `normal(mean, std)`, `uniform(low, high)`     | that                                           |
| a class of torch.nn, `torch.nn.Linear.weight` | as that class does                             |
| another class, such as `my.RMSNorm.weight`    | as torch.nn's, if its name ends as one of them |
| `unknown`, and all else                       | see below                                      |

What nothing is known of: a bias is 0; a weight of one dimension that scales (`weight`, `gamma`, `scale`,
`g`) is 1; other parameters of one dimension are 0; all else is normal with a standard deviation of 0.02.
A buffer must be known (`madstar.graph.buffers`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ...errors import GraphError
from ..buffers import computed, not_saved
from ..frozen import frozen
from ..model import Graph, Parameter

_CALL = re.compile(r"(zeros|ones|constant|normal|uniform)(?:\(\s*([^()]*)\))?")
_UNIFORM = frozenset(
    "Linear Bilinear Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d "  # noqa: SIM905
    "NonDynamicallyQuantizableLinear".split()
)
_NORMS = ("Norm", "Norm1d", "Norm2d", "Norm3d")
_RECURRENT = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")
_SCALES = ("weight", "gamma", "scale", "g")


class Fresh:
    """Draws weights one after the other from one generator; the same graph and seed give the same weights."""

    def __init__(
        self,
        graph: Graph,
        wanted: Mapping[str, Parameter],
        generator: torch.Generator | None,
        device: torch.device,
        dtype: torch.dtype | None,
    ) -> None:
        self.graph, self.wanted, self.device, self.dtype = graph, wanted, device, dtype
        self.generator = generator or torch.Generator().manual_seed(0)
        self.unsaved, self.frozen = not_saved(graph), frozen(graph)
        self.missing: list[str] = []

    def take(self, path: str, parameter: Parameter) -> Tensor:
        """The weight, drawn where the generator is and moved."""
        dtype = getattr(torch, parameter.dtype)
        if self.dtype is not None and dtype.is_floating_point:
            dtype = self.dtype
        if self.device.type == "meta":
            return torch.empty(parameter.shape, dtype=dtype, device="meta")
        if not self.is_parameter(path, parameter) and not _is_said(parameter):
            made = computed(self.graph, path, parameter)
            if made is None:
                self.missing.append(path)
                made = torch.zeros(parameter.shape)
            return made.to(self.device, dtype)
        made = torch.empty(parameter.shape, dtype=torch.float32, device=self.generator.device)
        with torch.no_grad():
            self._draw(path, parameter, made)
        return made.to(self.device, dtype)

    def is_parameter(self, path: str, parameter: Parameter) -> bool:
        """What is not trained is taken for a buffer, if it is not known to be frozen."""
        return parameter.trained or path in self.frozen

    def is_kept(self, path: str) -> bool:
        """All buffers that are not known to be unsaved."""
        return path not in self.unsaved

    def finish(self) -> None:
        """Raises GraphError where buffers are not known."""
        if self.missing:
            more = f" and {len(self.missing) - 4} more" if len(self.missing) > 4 else ""
            raise GraphError(
                f"{self.graph.name}: nothing says what the buffers {', '.join(self.missing[:4])}{more} hold; "
                "give weights that have them"
            )

    def _draw(self, path: str, parameter: Parameter, made: Tensor) -> None:
        said = parameter.initialisation
        if form := _CALL.fullmatch(said.strip()):
            self._stated(path, form[1], form[2] or "", made)
            return
        where, _, name = said.rpartition(".")
        kind = where.rpartition(".")[2]
        if kind in _RECURRENT:
            hidden = parameter.shape[0] // {"L": 4, "G": 3}.get(kind[0], 1) if parameter.shape else 1
            self._uniform(made, 1 / math.sqrt(max(hidden, 1)))
        elif kind.endswith(_NORMS) and len(parameter.shape) <= 1:
            made.fill_(0.0 if "bias" in name or "beta" in name or "mean" in name else 1.0)
        elif kind in ("Embedding", "EmbeddingBag"):
            made.normal_(generator=self.generator)
        elif kind == "PReLU":
            made.fill_(0.25)
        elif kind == "MultiheadAttention" and name.endswith("weight"):
            nn.init.xavier_uniform_(made, generator=self.generator)
        elif kind in _UNIFORM or kind.endswith(("Linear", "Conv1d", "Conv2d", "Conv3d")):
            self._uniform(made, self._bound(path, parameter, name))
        elif "bias" in name or (len(parameter.shape) <= 1 and name not in _SCALES):
            made.zero_()
        elif len(parameter.shape) <= 1:
            made.fill_(1.0)
        else:
            made.normal_(0.0, 0.02, generator=self.generator)

    def _uniform(self, made: Tensor, bound: float) -> None:
        made.uniform_(-bound, bound, generator=self.generator)

    def _bound(self, path: str, parameter: Parameter, name: str) -> float:
        """1 / sqrt(fan in), that of the weight for its bias too."""
        shape = parameter.shape
        if name != "weight" or len(shape) < 2:
            owner = path.rpartition(".")[0]
            weight = self.wanted.get(f"{owner}.weight" if owner else "weight")
            shape = weight.shape if weight is not None and len(weight.shape) >= 2 else shape
        fan = math.prod(shape[1:]) if len(shape) >= 2 else math.prod(shape)
        return 1 / math.sqrt(fan) if fan else 0.0

    def _stated(self, path: str, kind: str, text: str, made: Tensor) -> None:
        try:
            numbers = [float(part) for part in text.split(",")] if text.strip() else []
        except ValueError:
            numbers = []
        wanted = {"zeros": (0,), "ones": (0,), "constant": (1,), "normal": (0, 2), "uniform": (0, 2)}[kind]
        if len(numbers) not in wanted:
            raise GraphError(f"{path}: no initialisation {kind}({text}); write such as normal(0, 0.02)")
        if kind == "normal":
            made.normal_(*(numbers or (0.0, 1.0)), generator=self.generator)
        elif kind == "uniform":
            made.uniform_(*(numbers or (0.0, 1.0)), generator=self.generator)
        else:
            made.fill_(numbers[0] if numbers else float(kind == "ones"))


def _is_said(parameter: Parameter) -> bool:
    """Whether the initialisation alone says what a buffer holds."""
    return _CALL.fullmatch(parameter.initialisation.strip()) is not None
