"""Products against torch's own counter, meta against real runs, and torch.export as the second witness."""

import math

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.flop_counter import FlopCounterMode

from madstar.graph import dims
from madstar.graph.export_check import ExportCheck, check_against_export
from madstar.graph.model import Node
from madstar.graph.trace import trace

from .interpreter import check, floats, module_of, nodes


class Mixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.qkv = nn.Linear(8, 24)
        self.out = nn.Linear(8, 8)
        self.conv = nn.Conv1d(8, 8, 3, padding=1)

    def forward(self, x):
        q, k, v = self.qkv(self.norm(x)).view(*x.shape[:2], 3, 2, 4).permute(2, 0, 3, 1, 4)
        y = torch.softmax(q @ k.transpose(-1, -2) / 2, -1) @ v
        x = x + self.out(y.transpose(1, 2).reshape(x.shape))
        return torch.einsum("bld,de->ble", self.conv(x.mT).mT, self.out.weight)


class Half(nn.Module):
    """Writes, computes what no one uses, and has a weight that no one uses."""

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(8, 8)
        self.unused = nn.Linear(8, 3)

    def forward(self, x):
        y = self.lin(x) * torch.tensor(2.0)
        y.exp()
        y[:, 1:].add_(1.0)
        return F.scaled_dot_product_attention(y, y, y, is_causal=True)


def matmul_flops(graph, sizes):
    """Twice the multiplications of the matrix products in the bodies."""
    total = 0

    def shape_of(ref, node, body, values):
        if ref.startswith("$"):
            return values[next(a.source for a in node.arguments if a.slot == ref[1:])]
        number, _, k = ref[1:].partition(".")
        return body[int(number)].shapes[int(k or 0)]

    for definition in graph.definitions.values():
        values = {f"%{v.name}": v.shape for v in definition.inputs}
        values |= {f"@{p.path}": p.shape for p in definition.parameters}
        for item in definition.items:
            values |= {f"%{v.name}": v.shape for v in item.outputs}
            if not isinstance(item, Node):
                continue
            for step in item.body:
                if step.op in ("aten.mm.default", "aten.bmm.default", "aten.addmm.default"):
                    left = shape_of(step.arguments[1 if "addmm" in step.op else 0], item, item.body, values)
                    out = [dims.evaluate(d, sizes) for d in step.shapes[0]]
                    total += 2 * math.prod(out) * dims.evaluate(left[-1], sizes)
                elif step.op == "aten.convolution.default":
                    weight = shape_of(step.arguments[1], item, item.body, values)
                    out = [dims.evaluate(d, sizes) for d in step.shapes[0]]
                    total += 2 * math.prod(out) * math.prod(dims.evaluate(d, sizes) for d in weight[1:])
    return total


def test_products_are_those_that_torch_counts():
    module = Mixer().eval()
    graph = check(module, floats)
    for at in ({"batch": 2, "length": 16}, {"batch": 3, "length": 11}):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(*floats(**at))
        assert matmul_flops(graph, at) == counter.get_total_flops()


def test_meta_and_real_runs_give_one_structure():
    with torch.device("meta"):
        bare = Mixer().eval()
    meta = trace(bare, lambda batch, length: (torch.empty(batch, length, 8, device="meta"),))
    real = trace(Mixer().eval(), floats)
    assert [(n.op, n.outputs, n.attributes) for n in nodes(meta)] == [
        (n.op, n.outputs, n.attributes) for n in nodes(real)
    ]
    assert [[s.op for s in n.body] for n in nodes(meta) if n.op != "linear"] == [
        [s.op for s in n.body] for n in nodes(real) if n.op != "linear"
    ]


def test_what_autograd_reaches_is_touched():
    module = Half()
    graph = trace(module, floats)
    module(*floats(2, 5)).sum().backward()
    reached = sum(p.grad is not None for p in module.parameters())
    assert graph.facts["parameter_tensors_touched"] == reached


def test_export_has_the_same_operations_and_products():
    for module in (Mixer(), Half()):
        found = check_against_export(module, floats)
        assert found == ExportCheck(1.0, True), found


def test_what_differs_from_export_is_seen():
    def otherwise(self, x):
        exporting = torch.compiler.is_exporting()
        return (x @ x.mT).relu() if exporting else (x.mT @ x).relu().sigmoid()

    found = check_against_export(module_of(otherwise), floats)
    assert not found.products_agree
    assert found.only_recorded == (("aten.sigmoid.default", 1),)
    assert found.only_exported == ()
    assert 0.5 < found.agreement < 1.0


def test_products_of_one_result_and_other_factors_differ():
    def otherwise(self, x):
        y = x.narrow(-1, 0, 4 if torch.compiler.is_exporting() else 8)
        return y @ y.mT

    found = check_against_export(module_of(otherwise), floats)
    assert (found.agreement, found.products_agree) == (1.0, False)


def test_what_export_cannot_take_is_said():
    found = check_against_export(module_of(lambda self, x: x + 1 if x.sum() > 0 else x), floats)
    assert found.error.startswith("torch.export fails: ")
