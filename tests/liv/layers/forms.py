"""What must hold for every layer known by name, whatever it computes.

Each check takes a built layer, its width and a length (which the layer's max_length must allow);
any layer that keeps the contract can be put in. `check_layer` runs them all.
"""

import copy
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from jaxtyping import config
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from madstar.liv import state_bytes
from madstar.liv.layers.contract import SequenceLayer

BATCH = 2
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def built(
    make: Callable[..., SequenceLayer], *arguments: Any, seed: int = 0, **settings: Any
) -> SequenceLayer:
    """A layer with weights from a seed; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make(*arguments, **settings)


def sequences(width: int, length: int, batch: int = BATCH, seed: int = 0) -> Tensor:
    """Inputs at the scale of a norm's outputs, (batch, length, width)."""
    return torch.randn(batch, length, width, generator=torch.Generator().manual_seed(seed))


def stepped(layer: SequenceLayer, x: Tensor, state: Any) -> tuple[Tensor, Any]:
    """The step form over a sequence from a state on: outputs, and the state after it."""
    outputs = []
    try:
        for place, token in enumerate(x.unbind(1)):
            # Annotations are checked for the first step alone: it costs more than the step itself.
            config.update("jaxtyping_disable", place > 0)
            y, state = layer.step(token, state)
            outputs.append(y)
    finally:
        config.update("jaxtyping_disable", False)
    return torch.stack(outputs, 1), state


def begun(layer: SequenceLayer, x: Tensor) -> Any:
    """The state before any token of x."""
    return layer.initial_state(x.shape[0], x.device, x.dtype)


def tensors(state: Any) -> list[Tensor]:
    """Every tensor in a decoding state, in a fixed order."""
    if isinstance(state, Tensor):
        return [state]
    if isinstance(state, dict):
        return [tensor for name in sorted(state) for tensor in tensors(state[name])]
    if isinstance(state, tuple | list):
        return [tensor for part in state for tensor in tensors(part)]
    return []


def check_layer(
    layer: SequenceLayer, width: int, length: int, *, unused: Collection[str] = (), autocast: bool = True
) -> None:
    """All checks below. `unused`: parameters that by design have no gradient."""
    check_forms(layer, width, length)
    check_state(layer, width, length)
    check_causal(layer, width, length)
    check_gradients(layer, width, length, unused=unused)
    if autocast:
        check_autocast(layer, width, length)


@torch.no_grad()
def check_forms(
    layer: SequenceLayer,
    width: int,
    length: int,
    prompts: Sequence[int] | None = None,
    tolerance: dict[str, float] | None = None,
) -> None:
    """Parallel, prefilled and stepped outputs are the same, and so are the states after them."""
    close, x = tolerance or CLOSE, _inputs(layer, width, length)
    if prompts is None:
        prompts = sorted({1, 2, length // 2, max(1, length - 1), length} - {0})
    y = layer(x)
    assert y.shape == x.shape
    assert y.isfinite().all()
    state, done = begun(layer, x), 0
    for prompt in (p for p in prompts if p <= length):
        if prompt > done:
            alone, state = stepped(layer, x[:, done:prompt], state)
            torch.testing.assert_close(alone, y[:, done:prompt], **close)
            done = prompt
        # A shorter sequence is a sequence of its own: other chunks, other paddings.
        torch.testing.assert_close(layer(x[:, :prompt]), y[:, :prompt], **close)
        prefilled, after = layer.prefill(x[:, :prompt])
        torch.testing.assert_close(prefilled, y[:, :prompt], **close)
        _same_state(after, state, close)
        if prompt < length:
            before = copy.deepcopy(after)
            continued, _ = stepped(layer, x[:, prompt : prompt + 3], after)
            torch.testing.assert_close(continued, y[:, prompt : prompt + 3], **close)
            _same_state(after, before, {"rtol": 0.0, "atol": 0.0})  # a step leaves its state unchanged
    if done < length:
        rest, _ = stepped(layer, x[:, done:], state)
        torch.testing.assert_close(rest, y[:, done:], **close)


@torch.no_grad()
def check_state(layer: SequenceLayer, width: int, length: int) -> None:
    """The state holds the numbers that it states, and keeps nothing else alive."""
    x = _inputs(layer, width, length)
    state = begun(layer, x)
    _check_held(layer, state, 0)
    for done in range(1, min(length, 5)):
        _, state = layer.step(x[:, done - 1], state)
        _check_held(layer, state, done)
    for prompt in sorted({1, length // 2, length} - {0}):
        _, state = layer.prefill(x[:, :prompt])
        _check_held(layer, state, prompt)
        if prompt < length:
            _, state = layer.step(x[:, prompt], state)
            _check_held(layer, state, prompt + 1)


def _check_held(layer: SequenceLayer, state: Any, length: int) -> None:
    assert hasattr(state, "_fields"), "a state is a NamedTuple"
    stated = layer.state_elements(length) + layer.tail_elements()
    held = sum(tensor.numel() for tensor in tensors(state))
    assert held == BATCH * stated, f"after {length} tokens: {held / BATCH} numbers held, {stated} stated"
    # Bytes of whole storages: a view of a longer sequence would keep that sequence.
    assert state_bytes(state) == sum(tensor.numel() * tensor.element_size() for tensor in tensors(state))


def check_causal(layer: SequenceLayer, width: int, length: int) -> None:
    """No output depends on a later input, by exact gradients in double precision; all on their own."""
    if not layer.causal:
        raise AssertionError("the layer says of itself that it is not causal")
    read_at = torch.tensor(sorted({0, length // 3, length // 2, max(0, length - 2), length - 1}))
    gradient = reach(layer, width, length, read_at)
    later = torch.arange(length) > read_at[:, None]
    assert (gradient[later] <= 1e-10).all(), "an output depends on a later input"
    # The probe itself works: the present token always matters.
    assert (gradient[torch.arange(len(read_at)), read_at] > 1e-6).all()


def reach(layer: SequenceLayer, width: int, length: int, read_at: Tensor) -> Tensor:
    """|d (a random sum of the outputs at one place of each row) / d inputs|, (rows, length)."""
    exact = copy.deepcopy(layer).double()
    x = sequences(width, length, len(read_at)).double().requires_grad_()
    read = exact(x)[torch.arange(len(read_at)), read_at]
    direction = torch.randn(read.shape, generator=torch.Generator().manual_seed(7), dtype=read.dtype)
    (gradient,) = torch.autograd.grad((read * direction).sum(), x)
    return gradient.abs().amax(-1)


def check_gradients(
    layer: SequenceLayer, width: int, length: int, *, unused: Collection[str] = (), relative: float = 1e-6
) -> None:
    """The parallel form's gradients are those of the step form, in double; every parameter has one."""
    exact = copy.deepcopy(layer).double()
    x = sequences(width, length).double()
    direction = sequences(width, length, seed=7).double()
    parameters = dict(exact.named_parameters())

    def gradients(run: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        given = x.clone().requires_grad_()
        wanted = {"input": given, **parameters}
        found = torch.autograd.grad((run(given) * direction).sum(), list(wanted.values()), allow_unused=True)
        zeros = {name: torch.zeros_like(tensor) for name, tensor in wanted.items()}
        return {name: zeros[name] if g is None else g for name, g in zip(wanted, found, strict=True)}

    parallel = gradients(exact)
    recurrent = gradients(lambda given: stepped(exact, given, begun(exact, given))[0])
    for name, gradient in parallel.items():
        assert gradient.isfinite().all(), f"{name}: its gradient is not finite"
        scale = float(recurrent[name].abs().max())
        message = f"{name}: the forms' gradients differ"
        difference = float((gradient - recurrent[name]).abs().max())
        assert difference <= relative * scale + 1e-9, f"{message} by {difference:.2g} of {scale:.2g}"
        # Tiny ones are rounding: a key's bias under a softmax has an exact gradient of zero.
        if name not in unused:
            assert scale > 1e-9, f"{name}: no gradient"


def check_autocast(layer: SequenceLayer, width: int, length: int, tolerance: float = 0.1) -> None:
    """Under bfloat16 autocast the layer trains, and says nearly the same."""
    x = sequences(width, length)
    expected = layer(x).detach()
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    scale = float(expected.square().mean().sqrt())
    error = float((y.detach().float() - expected).square().mean().sqrt())
    assert error <= tolerance * scale, f"an error of {error:.2g} at a scale of {scale:.2g}"
    y.float().square().mean().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
    layer.zero_grad(set_to_none=True)


def counted_flops(layer: SequenceLayer, width: int, length: int) -> int:
    """Matrix products and convolutions of one pass over one sequence, attention not fused so that it is seen.

    Transforms (FFT) are not in torch's count.
    """
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        layer(sequences(width, length, batch=1))
    return counter.get_total_flops()


def _inputs(layer: SequenceLayer, width: int, length: int) -> Tensor:
    """Inputs of the layer's dtype: a layer in double is compared in double."""
    parameter = next(layer.parameters(), None)
    return sequences(width, length).to(torch.float32 if parameter is None else parameter.dtype)


def _same_state(first: Any, second: Any, tolerance: dict[str, float]) -> None:
    assert type(first) is type(second)
    for one, other in zip(tensors(first), tensors(second), strict=True):
        torch.testing.assert_close(one, other, **tolerance)
    assert _plain(first) == _plain(second)


def _plain(state: Any) -> list[Any]:
    """What a state holds that is not a tensor: positions."""
    if isinstance(state, Tensor):
        return []
    if isinstance(state, dict):
        return [item for name in sorted(state) for item in _plain(state[name])]
    if isinstance(state, tuple | list):
        return [item for part in state for item in _plain(part)]
    return [state]
