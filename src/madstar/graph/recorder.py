"""What the hooks of `watching` report becomes a recording: records of functions, with bodies, in modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from madstar.graph.aliasing import Aliases
from madstar.graph.binding import Binding, Function, bind, describe, operation
from madstar.graph.buffers import MADE
from madstar.graph.model import Guess
from madstar.graph.operators import Operator, operator
from madstar.graph.recording import Instance, Origin, Record, Recording, Step, dtype_name
from madstar.graph.remembered import Remembered
from madstar.graph.structures import leaves, positions

# A constant's values are kept up to here, so that a graph can be built again without them being in a file.
SMALL = 64


class _Frame:
    """The torch function that is running."""

    __slots__ = ("body", "made", "names", "op", "overwritten", "tensors", "written")

    def __init__(self, op: str, tensors: list[Tensor], names: dict[int, str]):
        self.op, self.tensors, self.names = op, tensors, names
        self.body: list[Step] = []
        self.written: list[Tensor] = []
        self.made: list[Tensor] = []
        self.overwritten = False


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
        # Who is to blame: the last error of the model or torch, and the first of our own.
        self.theirs: BaseException | None = None
        self.fault: BaseException | None = None
        self._last: BaseException | None = None
        self.failed_in = ""

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
            made = getattr(tensor, MADE, None) if tensor.device.type == "meta" else tensor
            if made is not None and (made.numel() > SMALL or made.is_complex()):
                made = None
            with torch.utils._python_dispatch._disable_current_modes():
                origin = Origin("constant", data=None if made is None else made.detach().tolist())
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
        except Exception as error:
            if error is not self.fault:
                self.theirs = error
            raise
        finally:
            self.frame = None
        if function.called == "__iter__":
            result = list(result)
        self._record(function, bound, arguments, frame, result)
        return iter(result) if function.called == "__iter__" else result

    def _record(
        self,
        function: Function,
        bound: Binding,
        arguments: list[tuple[str, int]],
        frame: _Frame,
        result: Any,
    ) -> None:
        op = operation(function, bound)
        record = Record(op, arguments, bound.attributes, self.running, frame.body)
        record.argument_tensors = [id(tensor) for _, tensor in bound.tensors]
        cast = _autocast(record, frame, result)
        if cast:
            record.attributes.append(("autocast", cast))
        if function.called.startswith("native_") and isinstance(result, tuple):
            # Past torch's functions, normalisation also gives what only gradients need.
            result = result[0]
        self._finish(record, frame, result)

    def _finish(self, record: Record, frame: _Frame, result: Any) -> None:
        written = self.aliases.written(frame.written, frame.tensors)
        gone = {id(tensor) for tensor in written}
        given = [
            tensor for _, tensor in leaves(result) if id(tensor) not in self.current or id(tensor) in gone
        ]
        outputs = list({id(tensor): tensor for tensor in (*given, *written)}.values())
        if not outputs:
            if frame.body and record.op in ("item", "tolist"):
                self.recording.values_read.append((self.path, record.op))
            return
        index = self._add(record)
        if written:
            record.attributes.append(("in_place", True))
            if frame.overwritten:
                self.aliases.before(written)
        for tensor in outputs:
            record.outputs.append(self.name(tensor, Origin("record", index)))
            self.makers[id(tensor)] = record.op
            if id(tensor) not in gone:
                self.aliases.made(tensor, index, len(record.outputs) - 1)
        for tensor in frame.made:
            self.inner[id(tensor)] = index
        self.aliases.keep(frame.made)
        for tensor in written:
            if frame.overwritten:
                self.aliases.write(tensor)
            else:
                self.aliases.reshape(tensor)

    def _add(self, record: Record) -> int:
        self.recording.records.append(record)
        index = len(self.recording.records) - 1
        if self.running >= 0:
            self.recording.instances[self.running].items.append(index)
        return index

    def emit(
        self, op: str, arguments: list[tuple[str, Tensor, int]], attributes: Any, outputs: int
    ) -> Record:
        """Record a function that no one called: a view taken again, or a write carried to what was viewed."""
        record = Record(
            op, [(slot, value) for slot, _, value in arguments], list(attributes), self.running, []
        )
        record.argument_tensors = [id(tensor) for _, tensor, _ in arguments]
        record.artificial = True
        self._add(record)
        return record

    # ATen.

    def dispatch(self, overload: Any, args: Any, kwargs: Any) -> Any:
        """Run an ATen operation and note it in the body of the function that is running."""
        known = operator(overload)
        frame = self.frame
        if frame is None:
            # Called past torch's functions: by compiled code, by a script, by an extension.
            return self.call(describe(overload), lambda *a, **k: self.dispatch(overload, a, k), args, kwargs)
        result = self._compute(known, overload, args, kwargs)
        self.recording.steps += 1
        sources = tuple(frame.names.get(id(tensor), "?") for tensor in _tensors(args, kwargs))
        if known.written:
            self._mark(known, frame, args, kwargs)
        number = len(frame.body)
        if isinstance(result, Tensor):
            made = [result]
            frame.names[id(result)] = f"%{number}"
        elif isinstance(result, (list, tuple)):
            made = [part for part in result if isinstance(part, Tensor)]
            for k, part in enumerate(made):
                frame.names[id(part)] = f"%{number}.{k}"
        else:
            made = []
        frame.made += made
        shapes = tuple([tuple(part.shape) for part in made])
        frame.body.append(Step(known.name, sources, shapes, tuple([dtype_name(part.dtype) for part in made])))
        return result

    def _compute(self, known: Operator, overload: Any, args: Any, kwargs: Any) -> Any:
        """Run it; or a guess where it asks for values that there are none of, or a form known already."""
        if known.ask is not None and self.guess:
            result = self._ask(known, args, kwargs)
            if result is not NotImplemented:
                return result
        try:
            if known.pure:
                return self.remembered.run(overload, args, kwargs)
            return overload(*args, **kwargs)
        except Exception as error:
            self.theirs = error
            raise

    def _mark(self, known: Operator, frame: _Frame, args: Any, kwargs: Any) -> None:
        candidates = [args[i] for i in known.written if i < len(args)]
        candidates += [kwargs[name] for name in known.written_names if name in kwargs]
        frame.overwritten |= not known.reshaped
        for given in candidates:
            parts = given if isinstance(given, (list, tuple)) else (given,)
            # A view made inside and then seen otherwise leaves what it was made of as it is.
            frame.written += [
                part
                for part in parts
                if isinstance(part, Tensor) and (not known.reshaped or id(part) in self.current)
            ]

    def _ask(self, known: Operator, args: Any, kwargs: Any) -> Any:
        tensor = args[0]
        if not isinstance(tensor, Tensor) or tensor.device.type != "meta":
            return NotImplemented
        assert known.ask is not None
        answer = known.ask(args, kwargs, self.makers.get(id(tensor), ""))
        if answer is None:
            return NotImplemented
        result, words = answer
        self.recording.guesses.append(Guess(self.path, known.base.removeprefix("aten.").lstrip("_"), words))
        return result

    # Failures.

    def blame(self, error: Exception) -> None:
        """An error that leaves a hook: that of what ran in it is the model's, any other is our fault."""
        if error is not self.theirs and self.fault is None:
            self.fault = error

    def failed(self, caller: int, error: Exception) -> None:
        """The running instance ends with an error; the model may catch it and go on."""
        if error is not self._last:
            self._last, self.failed_in = error, self.path
        self.running = caller

    # Modules.

    @property
    def path(self) -> str:
        """The path of the module that is running."""
        return self.recording.instances[self.running].path if self.running >= 0 else ""

    def enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        """Begin an instance."""
        caller, index = self.running, len(self.recording.instances)
        cls = type(module)
        instance = Instance(
            cls.__name__, cls.__module__, tuple(self.module_names.get(id(module), ())), caller
        )
        names = positions(cls)
        for i, given in enumerate(args):
            self._given(instance, names[i] if i < len(names) else f"argument_{i}", given)
        for name, given in kwargs.items():
            self._given(instance, name, given)
        self.recording.instances.append(instance)
        if caller >= 0:
            self.recording.instances[caller].items.append(~index)
        self.running = index

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


def _tensors(args: Any, kwargs: Any) -> list[Tensor]:
    """The tensors of an ATen call in order; its lists are not nested."""
    found: list[Tensor] = []
    for given in (*args, *kwargs.values()) if kwargs else args:
        if isinstance(given, Tensor):
            found.append(given)
        elif isinstance(given, (list, tuple)):
            found += [part for part in given if isinstance(part, Tensor)]
    return found


def _autocast(record: Record, frame: _Frame, result: Any) -> str:
    """The dtype of the autocast region that decided in what precision this was computed, "" if none did."""
    if not isinstance(result, Tensor) or not frame.tensors or record.op == "to":
        return ""
    kind = result.device.type
    if kind == "meta" or not torch.is_autocast_enabled(kind):
        return ""
    dtype = torch.get_autocast_dtype(kind)
    lowered = result.dtype is dtype and any(t.dtype is torch.float32 for t in frame.tensors)
    cast = any(step.op == "aten._to_copy.default" for step in frame.body)
    return dtype_name(dtype) if lowered or cast else ""
