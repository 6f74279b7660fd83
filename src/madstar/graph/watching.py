"""Watching a module run: torch functions, the ATen operations beneath them, and the modules around them.

Three hooks work together. A torch-function mode sees the outermost function that the model's code calls and
makes one record of it. A dispatch mode sees the ATen operations that run until it returns. A replaced
`Module.__call__` sees which module is running, and what it was given and gave.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from madstar.graph.binding import describe
from madstar.graph.recorder import Recorder


class _Functions(TorchFunctionMode):
    def __init__(self, recorder: Recorder):
        super().__init__()
        self.recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        function = describe(func)
        if function.silent or self.recorder.frame is not None or _mapped():
            return func(*args, **(kwargs or {}))
        try:
            return self.recorder.call(function, func, args, kwargs or {})
        except Exception as error:
            self.recorder.blame(error)
            raise


def _mapped() -> bool:
    """Whether vmap (or grad, jvp) is at work: functions then see wrapped tensors, only ATen sees the real."""
    return torch._C._functorch.peek_interpreter_stack() is not None


class _Operations(TorchDispatchMode):
    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing here is compiled; the guard against it would import the compiler, a third of the time."""
        return False

    def __init__(self, recorder: Recorder):
        super().__init__()
        self.recorder = recorder

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        try:
            return self.recorder.dispatch(func, args, kwargs or {})
        except Exception as error:
            self.recorder.blame(error)
            raise


@contextmanager
def watching(recorder: Recorder) -> Iterator[None]:
    """Record all that runs inside, with no gradients."""
    plain = nn.Module.__call__

    def watched(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if recorder.frame is not None:
            return plain(module, *args, **kwargs)
        if type(module).__name__ == "OptimizedModule":
            module = module._orig_mod  # type: ignore[assignment]
        caller = recorder.running
        try:
            recorder.enter(module, args, kwargs)
        except Exception as error:
            recorder.blame(error)
            raise
        try:
            result = plain(module, *args, **kwargs)
        except Exception as error:
            recorder.failed(caller, error)
            raise
        try:
            recorder.leave(caller, result)
        except Exception as error:
            recorder.blame(error)
            raise
        return result

    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(_Operations(recorder))
        stack.enter_context(_Functions(recorder))
        nn.Module.__call__ = watched  # type: ignore[method-assign]
        try:
            yield
        finally:
            nn.Module.__call__ = plain  # type: ignore[method-assign]
