# ruff: noqa: E501
"""Watching a module run: torch functions, the ATen operations beneath them, and the modules around them.

Three hooks work together. A torch-function mode sees the outermost function that the model's code calls and
makes one record of it. A dispatch mode sees the ATen operations that run until it returns. A replaced
`Module.__call__` sees which module is running, and what it was given and gave.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from madstar.graph.aliasing import Aliases
from madstar.graph.binding import Function, bind, describe
from madstar.graph.guessing import ASKED
from madstar.graph.model import Guess
from madstar.graph.recording import Instance, Origin, Record, Recording, Step
from madstar.graph.remembered import Remembered

# A constant's values are kept up to here, so that a graph can be built again without them being in a file.
SMALL = 64
# Writes that change how a tensor is seen and not what it holds.
_RESHAPED = frozenset(
    "aten.detach_ aten.transpose_ aten.t_ aten.squeeze_ aten.unsqueeze_ aten.as_strided_ aten.resize_ aten.set_ "  # noqa: SIM905
    "aten.swapdims_ aten.swapaxes_".split()
)
_DTYPES: dict[torch.dtype, str] = {}


def dtype_name(dtype: torch.dtype) -> str:
    """ "float32" for torch.float32."""
    if dtype not in _DTYPES:
        _DTYPES[dtype] = str(dtype).removeprefix("torch.")
    return _DTYPES[dtype]


class _Primitive:
    """What is known of an ATen overload: its name, the positions it writes to, whether it asks for values."""

    __slots__ = ("ask", "base", "name", "pure", "written", "written_names")

    def __init__(self, overload: Any):
        self.name = str(overload)
        self.base = self.name.rpartition(".")[0]
        self.ask = ASKED.get(overload)
        schema = overload._schema
        self.pure = all(part.alias_info is None for part in (*schema.arguments, *schema.returns))
        self.written: tuple[int, ...] = ()
        self.written_names: tuple[str, ...] = ()
        if schema.is_mutable and self.base not in _RESHAPED:
            marked = [
                (i, argument)
                for i, argument in enumerate(schema.arguments)
                if argument.alias_info is not None and argument.alias_info.is_write
            ]
            self.written = tuple(i for i, _ in marked)
            self.written_names = tuple(argument.name for _, argument in marked)


_PRIMITIVES: dict[Any, _Primitive] = {}


class _Frame:
    """The torch function that is running."""

    __slots__ = ("body", "made", "names", "op", "tensors", "written")

    def __init__(self, op: str, tensors: list[Tensor], names: dict[int, str]):
        self.op, self.tensors, self.names = op, tensors, names
        self.body: list[Step] = []
        self.written: list[Tensor] = []
        self.made: list[Tensor] = []


class Recorder:
    """Fills a `Recording`. `module_names` and `parameter_names` give all full paths of each object, by id."""

    def __init__(self, root: nn.Module, guess: bool = True):
        self.recording = Recording()
        self.guess = guess
        self.module_names: dict[int, list[str]] = {}
        for path, module in root.named_modules(remove_duplicate=False):
            self.module_names.setdefault(id(module), []).append(path)
        self.parameter_names: dict[int, list[str]] = {}
        for tensors in (root.named_parameters, root.named_buffers):
            for path, tensor in tensors(remove_duplicate=False):
                self.parameter_names.setdefault(id(tensor), []).append(path)
        self.current: dict[int, int] = {}
        self.inner: dict[int, int] = {}
        self.makers: dict[int, str] = {}
        self.frame: _Frame | None = None
        self.running = -1
        self.aliases = Aliases(self)
        self.remembered = Remembered()

    # What a tensor is now.

    def reference(self, tensor: Tensor) -> int:
        """The value that the tensor holds at this moment."""
        key = id(tensor)
        value = self.current.get(key)
        if value is not None:
            return self.aliases.fresh(tensor) if key in self.aliases.stale else value
        record = self.inner.get(key)
        if record is not None:
            return self._promote(tensor, record)
        if key in self.parameter_names:
            origin = Origin("parameter", names=tuple(self.parameter_names[key]))
        else:
            small = tensor.device.type != "meta" and tensor.numel() <= SMALL and not tensor.is_complex()
            with torch.utils._python_dispatch._disable_current_modes():
                origin = Origin("constant", data=tensor.detach().tolist() if small else None)
        return self.name(tensor, origin)

    def name(self, tensor: Tensor, origin: Origin) -> int:
        """Give the tensor a new value."""
        value = self.recording.value(tuple(tensor.shape), dtype_name(tensor.dtype), origin)
        self.current[id(tensor)] = value
        self.aliases.known(tensor)
        return value

    def _promote(self, tensor: Tensor, index: int) -> int:
        """A tensor that a function made and did not return, used after all: one more output of its record."""
        record = self.recording.records[index]
        value = self.name(tensor, Origin("record", index))
        record.outputs.append(value)
        self.aliases.made(tensor, index, len(record.outputs) - 1)
        return value

    # Torch functions.

    def call(self, function: Function, run: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Run an outermost function and record it, if it computes anything."""
        bound = bind(function, args, kwargs)
        arguments = [(slot, self.reference(tensor)) for slot, tensor in bound.tensors]
        tensors = [tensor for _, tensor in bound.tensors]
        out = kwargs.get("out")
        frame = _Frame(function.op, tensors, {id(tensor): f"${slot}" for slot, tensor in bound.tensors})
        if isinstance(out, Tensor):
            self.reference(out)
            frame.tensors = [*tensors, out]
        self.frame = frame
        try:
            result = run(*args, **kwargs)
            if function.called == "__iter__":
                result = list(result)
        finally:
            self.frame = None
        index = len(self.recording.records)
        record = Record(function.op, arguments, bound.attributes, self.running, frame.body)
        record.argument_tensors = [id(tensor) for tensor in tensors]
        self._finish(record, index, frame, result)
        return iter(result) if function.called == "__iter__" else result

    def _finish(self, record: Record, index: int, frame: _Frame, result: Any) -> None:
        written = self.aliases.written(frame.written, frame.tensors)
        gone = {id(tensor) for tensor in written}
        given = [
            tensor for _, tensor in leaves(result) if id(tensor) not in self.current or id(tensor) in gone
        ]
        seen = {id(tensor) for tensor in given}
        outputs = given + [tensor for tensor in written if id(tensor) not in seen]
        if not outputs:
            if frame.body and self.recording.values_read is not None and record.op in ("item", "tolist"):
                self.recording.values_read.append((self.path, record.op))
            return
        self.recording.records.append(record)
        if self.running >= 0:
            self.recording.instances[self.running].items.append(index)
        if written:
            record.attributes.append(("in_place", True))
            self.aliases.before(written)
        done: set[int] = set()
        for tensor in outputs:
            if id(tensor) in done:
                continue
            done.add(id(tensor))
            record.outputs.append(self.name(tensor, Origin("record", index)))
            self.makers[id(tensor)] = record.op
            if id(tensor) not in gone:
                self.aliases.made(tensor, index, len(record.outputs) - 1)
        for tensor in frame.made:
            self.inner[id(tensor)] = index
        self.aliases.keep(frame.made)
        for tensor in written:
            self.aliases.write(tensor)

    def emit(
        self, op: str, arguments: list[tuple[str, Tensor, int]], attributes: Any, outputs: int
    ) -> Record:
        """Record a function that no one called: a view taken again, or a write carried to what was viewed."""
        index = len(self.recording.records)
        record = Record(
            op, [(slot, value) for slot, _, value in arguments], list(attributes), self.running, []
        )
        record.argument_tensors = [id(tensor) for _, tensor, _ in arguments]
        record.artificial = True
        self.recording.records.append(record)
        if self.running >= 0:
            self.recording.instances[self.running].items.append(index)
        return record

    # ATen.

    def dispatch(self, overload: Any, args: Any, kwargs: Any) -> Any:
        """Run an ATen operation and note it in the body of the function that is running."""
        primitive = _PRIMITIVES.get(overload)
        if primitive is None:
            primitive = _PRIMITIVES[overload] = _Primitive(overload)
        frame = self.frame
        if frame is None:
            # Called past torch's functions: by compiled code, by a script, by an extension.
            return self.call(describe(overload), lambda *a, **k: self.dispatch(overload, a, k), args, kwargs)
        result = NotImplemented
        if primitive.ask is not None and self.guess:
            result = self._ask(primitive, args, kwargs)
        if result is NotImplemented:
            run = self.remembered.run if primitive.pure else None
            result = run(overload, args, kwargs) if run else overload(*args, **kwargs)
        self.recording.steps += 1
        names = frame.names
        sources = []
        for given in args:
            if isinstance(given, Tensor):
                sources.append(names.get(id(given), "?"))
            elif isinstance(given, (list, tuple)):
                sources += [names.get(id(part), "?") for part in given if isinstance(part, Tensor)]
        for given in kwargs.values():
            if isinstance(given, Tensor):
                sources.append(names.get(id(given), "?"))
        if primitive.written:
            self._mark(primitive, frame, args, kwargs)
        number = len(frame.body)
        if isinstance(result, Tensor):
            names[id(result)] = f"%{number}"
            frame.made.append(result)
            shapes: tuple[tuple[int, ...], ...] = (tuple(result.shape),)
            dtypes: tuple[str, ...] = (dtype_name(result.dtype),)
        elif isinstance(result, (list, tuple)):
            made = [part for part in result if isinstance(part, Tensor)]
            for k, part in enumerate(made):
                names[id(part)] = f"%{number}.{k}"
            frame.made += made
            shapes = tuple(tuple(part.shape) for part in made)
            dtypes = tuple(dtype_name(part.dtype) for part in made)
        else:
            shapes, dtypes = (), ()
        frame.body.append(Step(primitive.name, tuple(sources), shapes, dtypes))
        return result

    def _mark(self, primitive: _Primitive, frame: _Frame, args: Any, kwargs: Any) -> None:
        candidates = [args[i] for i in primitive.written if i < len(args)]
        candidates += [kwargs[name] for name in primitive.written_names if name in kwargs]
        for given in candidates:
            parts = given if isinstance(given, (list, tuple)) else (given,)
            frame.written += [part for part in parts if isinstance(part, Tensor)]

    def _ask(self, primitive: _Primitive, args: Any, kwargs: Any) -> Any:
        tensor = args[0]
        if not isinstance(tensor, Tensor) or tensor.device.type != "meta":
            return NotImplemented
        assert primitive.ask is not None
        answer = primitive.ask(args, kwargs, self.makers.get(id(tensor), ""))
        if answer is None:
            return NotImplemented
        result, words = answer
        self.recording.guesses.append(
            Guess(self.path, primitive.base.removeprefix("aten.").lstrip("_"), words)
        )
        return result

    # Modules.

    @property
    def path(self) -> str:
        """The path of the module that is running."""
        return self.recording.instances[self.running].path if self.running >= 0 else ""

    def enter(self, module: nn.Module, args: Any, kwargs: Any) -> int:
        """Begin an instance; the caller's number comes back."""
        caller, index = self.running, len(self.recording.instances)
        cls = type(module)
        instance = Instance(
            cls.__name__, cls.__module__, tuple(self.module_names.get(id(module), ())), caller
        )
        names = _positions(cls)
        for i, given in enumerate(args):
            self._given(instance, names[i] if i < len(names) else f"argument_{i}", given)
        for name, given in kwargs.items():
            self._given(instance, name, given)
        self.recording.instances.append(instance)
        if caller >= 0:
            self.recording.instances[caller].items.append(~index)
        self.running = index
        return caller

    def _given(self, instance: Instance, name: str, given: Any) -> None:
        if isinstance(given, Tensor):
            if id(given) in self.current or id(given) in self.parameter_names:
                instance.given.append((name, self.reference(given)))
        elif isinstance(given, (tuple, list, dict)):
            for path, tensor in leaves(given):
                value = self.current.get(id(tensor))
                if value is not None:
                    instance.given.append((f"{name}_{path}".replace(".", "_"), value))

    def leave(self, caller: int, result: Any) -> None:
        """End the running instance with what it returned."""
        returned = self.recording.instances[self.running].returned
        if isinstance(result, Tensor):
            value = self.current.get(id(result))
            if value is not None:
                returned.append(("", value))
        elif result is not None:
            for path, tensor in leaves(result):
                value = self.current.get(id(tensor))
                if value is not None:
                    returned.append((path, value))
        self.running = caller


_POSITIONS: dict[type, list[str]] = {}


def _positions(cls: type) -> list[str]:
    if cls not in _POSITIONS:
        forward: Any = None
        for base in cls.__mro__:
            if "forward" in vars(base):
                forward = vars(base)["forward"]
                break
        code = getattr(inspect.unwrap(forward) if callable(forward) else None, "__code__", None)
        _POSITIONS[cls] = list(code.co_varnames[1 : code.co_argcount]) if code is not None else []
    return _POSITIONS[cls]


def leaves(given: Any, depth: int = 6) -> list[tuple[str, Tensor]]:
    """The tensors in a structure, with paths: dicts, sequences, dataclasses, and plain objects that hold them."""
    return list(_leaves(given, "", depth))


def _leaves(given: Any, path: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    if isinstance(given, Tensor):
        yield path, given
        return
    if (
        depth == 0
        or given is None
        or isinstance(given, (str, bytes, int, float, torch.Size, nn.Module, type))
    ):
        return
    parts: Any
    if isinstance(given, Mapping):
        parts = given.items()
    elif isinstance(given, (list, tuple)):
        fields = getattr(given, "_fields", None)
        parts = zip(fields, given, strict=True) if fields else enumerate(given)
    elif dataclasses.is_dataclass(given):
        parts = ((field.name, getattr(given, field.name)) for field in dataclasses.fields(given))
    elif hasattr(given, "__dict__") and not callable(given):
        parts = list(vars(given).items())
    else:
        return
    for key, part in parts:
        yield from _leaves(part, f"{path}.{key}" if path else str(key), depth - 1)


class _Functions(TorchFunctionMode):
    def __init__(self, recorder: Recorder):
        super().__init__()
        self.recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        function = describe(func)
        if function.silent or self.recorder.frame is not None:
            return func(*args, **(kwargs or {}))
        return self.recorder.call(function, func, args, kwargs or {})


class _Operations(TorchDispatchMode):
    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing here is compiled; the wrapper that guards against it would import the compiler and cost a third."""
        return False

    def __init__(self, recorder: Recorder):
        super().__init__()
        self.recorder = recorder

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.recorder.dispatch(func, args, kwargs or {})


@contextmanager
def watching(recorder: Recorder) -> Iterator[None]:
    """Record all that runs inside, with no gradients."""
    plain = nn.Module.__call__

    def watched(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if recorder.frame is not None:
            return plain(module, *args, **kwargs)
        if type(module).__name__ == "OptimizedModule":
            module = module._orig_mod  # type: ignore[assignment]
        caller = recorder.enter(module, args, kwargs)
        result = plain(module, *args, **kwargs)
        recorder.leave(caller, result)
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
