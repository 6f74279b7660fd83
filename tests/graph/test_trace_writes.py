"""Writes in place: each module holds one trap, and its graph computes what it computes."""

import pytest
import torch

from madstar.errors import GraphError
from madstar.graph.trace import trace

from .interpreter import check, floats, module_of


def slice_written(self, x):
    cache = torch.zeros(x.shape)
    cache[:, 1:] = x[:, :-1]
    cache[:, 0] += 1
    return cache * 2


def view_written(self, x):
    y = x * 2
    head = y[:, :3]
    other = y[:, 2]
    flat = y.view(y.shape[0], -1)
    head.add_(1.0)
    return y, head, other + 0, flat.sum(-1)


def twice_viewed(self, x):
    y = x.clone()
    inner = y.transpose(1, 2)[:, 2:4]
    inner.mul_(3.0)
    before = y + 0
    inner.zero_()
    return y, before, inner


def copied_into(self, x):
    y = torch.zeros(x.shape)
    y.copy_(x[:, :1])
    y[..., 0].fill_(7.0)
    return y


def masked(self, x):
    y = x + 0
    mask = torch.arange(x.shape[1])[None, :, None] > 3
    y.masked_fill_(mask, -1.0)
    y[:, 2:4][:, 0] = 5.0
    return y


def read_before_write(self, x):
    y = x + 1
    a = y * 2
    y.add_(a)
    y *= 2
    return a + y, y


def unsafe_split(self, x):
    y = x + 0
    a, b = y.chunk(2, dim=-1)
    a.add_(1.0)
    return y, b + 0


def strided(self, x):
    y = x + 0
    y.unbind(2)[1].add_(2.0)
    return y


def reshaped(self, x):
    y = x + 0
    y.transpose_(1, 2).unsqueeze_(0)
    y += 1
    part = y[0, :, 2:4]
    part.mul_(2.0)
    return y, y.squeeze_(0) * 2


def out_written(self, x):
    y = torch.zeros(x.shape)
    torch.add(x, 1, out=y)
    return y * 2


@pytest.mark.parametrize(
    "function",
    [
        reshaped,
        out_written,
        slice_written,
        view_written,
        twice_viewed,
        copied_into,
        masked,
        read_before_write,
        unsafe_split,
        strided,
    ],
)
def test_writes_in_place_give_what_the_module_gives(function):
    check(module_of(function), floats)


def test_an_input_that_is_written_to_is_a_new_value():
    def write(self, x):
        x[:, 0] = 0.0
        return x, x.sum()

    check(module_of(write), floats)


def test_a_write_through_a_view_whose_form_was_changed_in_place_is_refused():
    def confused(self, x):
        y = x + 0
        view = y[:, :4]
        view.transpose_(1, 2)
        view.add_(1.0)
        return y

    with pytest.raises(GraphError, match="changed in place"):
        trace(module_of(lambda self, x: self.inner(x), inner=module_of(confused)), floats)
