"""The dispatch to published kernels: layouts and arguments on a stand-in, the kernels themselves on a GPU."""

import sys
import types
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.func import vmap

from madstar.liv import kernels
from madstar.liv.delta_rule import gated_delta_rule
from madstar.liv.key_decay import scan_head_decay, scan_key_decay


def drawn(*shape: int, seed: int = 0, device: str = "cpu") -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(device)


def loop(q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """What the kernels compute, token by token, in the layout (batch, length, heads, d)."""
    state = q.new_zeros(q.shape[0], q.shape[2], q.shape[3], v.shape[3])
    read = []
    for t in range(q.shape[1]):
        decay = g[:, t].exp()
        state = state * (decay[..., None] if decay.ndim == 3 else decay[..., None, None])
        value = v[:, t]
        if beta is not None:
            held = (k[:, t, :, :, None] * state).sum(-2)
            value = (value - held) * beta[:, t, :, None]
        state = state + k[:, t, :, :, None] * value[:, :, None]
        read.append((q[:, t, :, :, None] * state).sum(-2))
    return torch.stack(read, 1), state


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A package with the kernels' names; the names of those called."""
    called: list[str] = []

    def kernel(name: str) -> object:
        def run(
            q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor | None = None, *,
            scale: float, output_final_state: bool,
        ) -> tuple[Tensor, Tensor]:  # fmt: skip
            assert (scale, output_final_state) == (1.0, True)
            assert all(x.is_contiguous() for x in (q, k, v, g))
            called.append(name)
            return loop(q, k, v, g, beta)

        return run

    for module, name in (
        ("gla", "chunk_gla"),
        ("simple_gla", "chunk_simple_gla"),
        ("gated_delta_rule", "chunk_gated_delta_rule"),
    ):
        one = types.ModuleType(f"fla.ops.{module}")
        setattr(one, name, kernel(name))
        monkeypatch.setitem(sys.modules, f"fla.ops.{module}", one)
    for package in ("fla", "fla.ops"):
        monkeypatch.setitem(sys.modules, package, types.ModuleType(package))
    kernels._kernel.cache_clear()
    monkeypatch.setattr(kernels, "usable", lambda x: True)
    yield called
    kernels._kernel.cache_clear()


def inputs(device: str = "cpu") -> dict[str, Tensor]:
    shape = (2, 3, 70)
    return {
        "q": drawn(*shape, 16, seed=1, device=device),
        "k": torch.nn.functional.normalize(drawn(*shape, 16, seed=2, device=device), dim=-1),
        "v": drawn(*shape, 16, seed=3, device=device),
        "key": -drawn(*shape, 16, seed=4, device=device).abs(),
        "head": -drawn(*shape, seed=5, device=device).abs(),
        "beta": drawn(*shape, seed=6, device=device).sigmoid(),
    }


def scans(x: dict[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    q, k, v = x["q"], x["k"], x["v"]
    return [
        scan_key_decay(q, k, v, x["key"]),
        scan_key_decay(q, k, v, x["key"][:1]),
        scan_head_decay(q, k, v, x["head"]),
        scan_head_decay(q[:, :1], k[:, :1], v, x["head"][:1]),
        gated_delta_rule(q, k, v, x["beta"], x["head"]),
    ]


def test_the_kernels_get_what_they_expect_and_give_what_the_pure_form_gives(
    request: pytest.FixtureRequest,
) -> None:
    pure = scans(inputs())
    called = request.getfixturevalue("installed")
    for (y, final), (expected, last) in zip(scans(inputs()), pure, strict=True):
        assert torch.allclose(y, expected, atol=1e-4)
        assert torch.allclose(final, last, atol=1e-4)
    assert called == ["chunk_gla"] * 2 + ["chunk_simple_gla"] * 2 + ["chunk_gated_delta_rule"]


def test_a_bonus_has_no_kernel(installed: list[str]) -> None:
    x = inputs()
    scan_key_decay(x["q"], x["k"], x["v"], x["key"], bonus=drawn(3, 16))
    assert installed == []


def test_the_pure_form_is_used_on_a_cpu_for_short_sequences_and_under_vmap() -> None:
    assert not kernels.usable(drawn(1, 1, 100, 4))
    seen = []
    vmap(lambda x: (seen.append(kernels._mapped(x)), x)[1])(drawn(2, 1, 1, 100, 4))
    assert seen == [True]
    assert not kernels._mapped(drawn(1, 1, 100, 4))


@pytest.mark.skipif(
    not (torch.cuda.is_available() and kernels._installed()), reason="needs a GPU and flash-linear-attention"
)
def test_the_published_kernels_equal_the_pure_form() -> None:
    pure = scans(inputs())
    for (y, final), (expected, last) in zip(scans(inputs("cuda")), pure, strict=True):
        assert torch.allclose(y.cpu(), expected, atol=2e-2, rtol=2e-2)
        assert torch.allclose(final.cpu(), last, atol=2e-2, rtol=2e-2)
