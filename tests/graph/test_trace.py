"""Each module holds one trap; the oracle is the module itself: its graph is computed anew."""

import dataclasses

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from madstar.graph.hashing import structural_hash
from madstar.graph.model import Call
from madstar.graph.trace import trace

from .interpreter import check, floats, module_of, nodes, parameters, tokens


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(8, 8), nn.GELU())
        self.head = nn.Linear(8, 8)
        self.unused = nn.Linear(8, 3)

    def forward(self, x):
        for _ in range(3):
            x = self.inner(x)
        return self.head(x)


def test_a_module_called_again_and_one_never_called():
    module = Shared()
    graph = check(module, floats)
    calls = [item for item in graph.main.items if isinstance(item, Call)]
    assert sum(call.count for call in calls) == 3
    assert {path for call in calls for path in call.paths} == {"inner"}
    assert graph.facts["parameter_tensors"] == 6
    assert graph.facts["parameter_tensors_touched"] == 4
    assert parameters(graph) == sum(p.numel() for p in module.parameters())
    head = next(node for node in nodes(graph) if node.path == "head")
    assert head.op == "linear"


class Picks(nn.Module):
    def forward(self, masks, x):
        return x * masks["full"] - masks["sliding"]


class Masked(nn.Module):
    """Fills a dict in an order that is none of the model's: transformers does so from a set of words."""

    def __init__(self, order):
        super().__init__()
        self.order = order
        self.layer = Picks()

    def forward(self, x):
        made = {"full": torch.sin, "sliding": torch.cos}
        return self.layer({name: made[name](x) for name in self.order}, x)


def test_in_which_order_a_dict_was_filled_does_not_count():
    graphs = [check(Masked(order), floats) for order in (("full", "sliding"), ("sliding", "full"))]
    assert structural_hash(graphs[0]) == structural_hash(graphs[1])
    names = [[value.name for value in graph.definitions["Picks"].inputs] for graph in graphs]
    assert names[0] == names[1] == ["masks_full", "masks_sliding", "x"]


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("scale", torch.full((8,), 2.0))

    def forward(self, ids):
        return {"logits": self.head(self.embed(ids) * self.scale), "none": None}


def test_tied_weights_are_one_tensor_with_two_paths():
    module = Tied()
    graph = trace(module, tokens)
    assert graph.tied == (("embed.weight", "head.weight"),)
    assert graph.output_names == ("logits",)
    assert parameters(graph) == sum(p.numel() for p in module.parameters())
    declared = {p.path: p for p in graph.main.parameters}
    assert declared["embed.weight"].initialisation == "torch.nn.Embedding.weight"
    assert not declared["scale"].trained


class Lender(nn.Module):
    """The child computes with a weight and a module of its parent's."""

    class Child(nn.Module):
        def forward(self, x, weight, mixer):
            return mixer(F.linear(x, weight).relu()) + 1

    def __init__(self):
        super().__init__()
        self.child = self.Child()
        self.weight = nn.Parameter(torch.randn(8, 8))
        self.mixer = nn.Sequential(nn.Linear(8, 8), nn.Tanh())

    def forward(self, x):
        return self.child(x, self.weight, self.mixer)


def test_weights_of_other_blocks_are_passed_in():
    graph = check(Lender(), floats)
    child = next(d for d in graph.definitions.values() if d.kind == "Child")
    assert [v.name for v in child.inputs][:2] == ["x", "weight"]
    assert not child.parameters


@dataclasses.dataclass
class Result:
    hidden: torch.Tensor
    more: tuple


class Nested(nn.Module):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.LayerNorm(8)
            self.lin = nn.Linear(8, 8)
            self.drop = nn.Dropout(0.5)

        def forward(self, x, *, state=None):
            y = self.drop(self.lin(self.norm(x)))
            return Result(x + y, (y, state))

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(self.Block() for _ in range(3))

    def forward(self, x):
        state, seen = x.mean(), []
        for layer in self.layers:
            result = layer(x, state=state)
            x = result.hidden
            seen.append(result.more[0])
        return x, seen[-1], state


def test_structures_keywords_dropout_and_equal_blocks():
    graph = check(Nested(), floats)
    (block,) = [d for d in graph.definitions.values() if d.kind == "Block"]
    assert block.outputs == ("%add", "%lin")  # in the order in which forward returns them
    assert "dropout" not in {node.op for node in nodes(graph)}


def test_constants_are_kept_where_they_are_used():
    offset, large = torch.tensor([1.0, 2.0]), torch.zeros(1000)
    graph = check(module_of(lambda self, x: x[..., :2] + offset), floats)
    constant = next(node for node in nodes(graph) if node.op == "constant")
    assert dict(constant.attributes)["value"] == (1.0, 2.0)
    graph = trace(module_of(lambda self, x: x.sum() + large), floats)
    constant = next(node for node in nodes(graph) if node.op == "constant")
    assert not constant.attributes
    assert constant.outputs[0].shape == (1000,)


def test_a_recurrent_module_is_one_node():
    graph = check(module_of(lambda self, x: self.rnn(x)[0], rnn=nn.LSTM(8, 5, batch_first=True)), floats)
    assert [node.op for node in nodes(graph)].count("lstm") == 1
    assert graph.facts["parameter_tensors_touched"] == 4


def test_operands_keep_their_places():
    graph = check(
        module_of(lambda self, x: (1 - x, 2.0 / (x.abs() + 1), x - 3, 2**x, x.float() @ x.mT)), floats
    )
    sub = [node for node in nodes(graph) if node.op == "sub"]
    assert dict(sub[0].attributes) == {"input": 1}
    assert [a.slot for a in sub[0].arguments] == ["other"]
    power = next(node for node in nodes(graph) if node.op == "pow")
    assert [a.slot for a in power.arguments] == ["exponent"]
    assert dict(power.attributes) == {"input": 2}


def test_iteration_and_what_functions_do_not_return():
    check(module_of(lambda self, x: torch.stack([part * 2 for part in x[0, :4]])), floats)


def test_sizes_are_expressions():
    def heads(self, x):
        b, n, d = x.shape
        y = x.view(b * n, d)
        window = F.avg_pool1d(x.transpose(1, 2), 2)
        return y.reshape(b, n * d), torch.zeros(n + 1, 2 * n), window / n

    graph = trace(module_of(heads), floats)
    shapes = {node.name: node.outputs[0].shape for node in nodes(graph)}
    assert shapes["view"] == ("batch*length", 8)
    assert shapes["reshape"] == ("batch", "8*length")
    assert shapes["zeros"] == ("length+1", "2*length")
    assert shapes["avg_pool1d"] == ("batch", 8, "length//2")
    assert dict(next(n for n in nodes(graph) if n.name == "view").attributes)["size"] == ("batch*length", 8)


def test_tensors_given_are_resized():
    graph = trace(Tied(), {"ids": torch.zeros(1, 12, dtype=torch.int64)})
    assert set(graph.symbols) == {"batch", "length"}
    assert graph.main.inputs[0].shape == ("batch", "length")
    image = trace(nn.Conv2d(3, 4, 3), (torch.zeros(1, 3, 10, 10),))
    assert image.main.inputs[0].shape == ("batch", 3, 10, 10)


def test_what_no_one_uses_is_kept_if_the_model_computes_it():
    """But of the writes that tracing carries to what was viewed, only those that someone reads."""

    def wasteful(self, x):
        x.exp()
        y = x + 1
        y[:, 1:].mul_(2.0)
        return x * 2

    assert [node.op for node in nodes(check(module_of(wasteful), floats))] == [
        "exp",
        "add",
        "getitem",
        "mul",
        "mul",
    ]
