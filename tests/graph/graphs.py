"""Graphs to test with: small models written by hand.

`llama`, `bert`, `alternating` and `unrolled` are unfolded, each layer a definition of its own, as a tracer
would give them before folding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from madstar.graph.model import (
    Argument,
    Call,
    Definition,
    Graph,
    Node,
    Parameter,
    Shape,
    Value,
)
from madstar.graph.wiring import given

B: Shape = ("batch", "length")


class Block:
    """Writes a definition step by step; every step gives the reference of what it computes."""

    def __init__(self, name: str, kind: str = "", module: str = "") -> None:
        self.name, self.kind, self.module = name, kind or name, module
        self.inputs: list[Value] = []
        self.parameters: dict[str, Parameter] = {}
        self.items: list[Node | Call] = []
        self.types: dict[str, Value] = {}

    def input(self, name: str, *shape: Any, dtype: str = "float32") -> str:
        self.inputs.append(Value(name, tuple(shape), dtype))
        self.types[f"%{name}"] = self.inputs[-1]
        return f"%{name}"

    def weight(self, path: str, *shape: int, **more: Any) -> str:
        self.parameters.setdefault(path, Parameter(path, tuple(shape), more.pop("dtype", "float32"), **more))
        return f"@{path}"

    def node(self, op: str, taken: dict[str, str], shape: Shape, path: str = "", **attributes: Any) -> str:
        name = f"{op}_{len(self.items)}"
        dtype = attributes.pop("dtype", "float32")
        value = Value(name, tuple(shape), dtype)
        arguments = tuple(Argument(slot, source) for slot, source in taken.items())
        self.items.append(Node(name, op, arguments, (value,), tuple(sorted(attributes.items())), path))
        self.types[f"%{name}"] = value
        return f"%{name}"

    def shape(self, source: str) -> Shape:
        return self.types[source].shape

    def linear(self, x: str, path: str, wide: int, bias: bool = False) -> str:
        *front, width = self.shape(x)
        taken = {"input": x, "weight": self.weight(f"{path}.weight", wide, int(width))}
        if bias:
            taken["bias"] = self.weight(f"{path}.bias", wide)
        return self.node("linear", taken, (*front, wide), path)

    def add(self, a: str, b: str) -> str:
        return self.node("add", {"input": a, "other": b}, self.shape(a))

    def call(self, inside: Definition, path: str, *arguments: str) -> tuple[str, ...]:
        types = {f"%{v.name}": v for v in inside.inputs}
        types |= {f"%{v.name}": v for item in inside.items for v in given(item)}
        name = f"{inside.kind.lower()}_{len(self.items)}"
        outputs = tuple(
            Value(f"{name}.{i}" if i else name, types[source].shape, types[source].dtype)
            for i, source in enumerate(inside.outputs)
        )
        self.items.append(Call(name, inside.name, (path,), arguments, outputs))
        self.types |= {f"%{value.name}": value for value in outputs}
        return tuple(f"%{value.name}" for value in outputs)

    def done(self, *outputs: str) -> Definition:
        return Definition(
            self.name,
            self.kind,
            tuple(self.inputs),
            tuple(self.parameters.values()),
            tuple(self.items),
            outputs,
            self.module,
        )


def graph_of(name: str, blocks: Sequence[Definition], **more: Any) -> Graph:
    """A graph whose last block is the whole."""
    main = blocks[-1]
    return Graph(
        name=name,
        root=main.name,
        definitions={block.name: block for block in reversed(blocks)},
        input_names=tuple(value.name for value in main.inputs),
        output_names=tuple(f"out{i}" for i in range(len(main.outputs))),
        symbols={"batch": (2, 3), "length": (16, 24)},
        **more,
    )


def llama(layers: int = 4, width: int = 32, heads: int = 4, vocabulary: int = 100, **changes: Any) -> Graph:
    """A decoder: rotary angles and mask are the same for all layers, the head is tied to the embedding.

    `changes`: activation (one layer's, as {layer: name}), eps.
    """
    activation: dict[int, str] = changes.get("activation", {})
    blocks = []
    for i in range(layers):
        attention = _attention(f"LlamaAttention_{i}", width, heads)
        mlp = Block(f"LlamaMLP_{i}", "LlamaMLP")
        x = mlp.input("x", *B, width)
        gate = mlp.linear(x, "gate_proj", 3 * width)
        act = mlp.node(activation.get(i, "silu"), {"input": gate}, mlp.shape(gate), "act_fn")
        up = mlp.linear(x, "up_proj", 3 * width)
        product = mlp.node("mul", {"input": act, "other": up}, mlp.shape(up))
        mlp_done = mlp.done(mlp.linear(product, "down_proj", width))
        layer = Block(f"LlamaDecoderLayer_{i}", "LlamaDecoderLayer")
        x = layer.input("x", *B, width)
        cos = layer.input("cos", *B, width // heads)
        mask = layer.input("mask", "batch", 1, "length", "length", dtype="bool")
        (mixed,) = layer.call(attention, "self_attn", _norm(layer, x, "input_layernorm", changes), cos, mask)
        x = layer.add(x, mixed)
        (fed,) = layer.call(mlp_done, "mlp", _norm(layer, x, "post_attention_layernorm", changes))
        blocks += [attention, mlp_done, layer.done(layer.add(x, fed))]
    main = Block("LlamaForCausalLM")
    tokens = main.input("tokens", *B, dtype="int64")
    mask = main.input("mask", "batch", 1, "length", "length", dtype="bool")
    embedding = main.weight("model.embed_tokens.weight", vocabulary, width, initialisation="normal(0, 0.02)")
    x = main.node("embedding", {"input": tokens, "weight": embedding}, (*B, width), "model.embed_tokens")
    frequencies = main.weight("model.rotary_emb.inv_freq", width // heads // 2, trained=False)
    cos = main.node("cos", {"input": frequencies}, (*B, width // heads), "model.rotary_emb")
    for i in range(layers):
        (x,) = main.call(blocks[3 * i + 2], f"model.layers.{i}", x, cos, mask)
    x = _norm(main, x, "model.norm", changes)
    logits = main.linear(x, "lm_head", vocabulary)
    tied = (("model.embed_tokens.weight", "lm_head.weight"),)
    return graph_of("llama", [*blocks, main.done(logits)], tied=tied)


def _norm(block: Block, x: str, path: str, changes: dict[str, Any]) -> str:
    weight = block.weight(f"{path}.weight", int(block.shape(x)[-1]), initialisation="ones")
    taken = {"input": x, "weight": weight}
    return block.node("rms_norm", taken, block.shape(x), path, eps=changes.get("eps", 1e-6))


def _attention(name: str, width: int, heads: int) -> Definition:
    block = Block(name, "LlamaAttention")
    x = block.input("x", *B, width)
    cos = block.input("cos", *B, width // heads)
    mask = block.input("mask", "batch", 1, "length", "length", dtype="bool")
    split = ("batch", heads, "length", width // heads)
    parts = {}
    for part in ("q", "k", "v"):
        flat = block.linear(x, f"{part}_proj", width)
        parts[part] = block.node("view", {"input": flat}, split, size=(0, -1, heads, width // heads))
    for part in ("q", "k"):
        parts[part] = block.node("mul", {"input": parts[part], "other": cos}, split)
    taken = {"query": parts["q"], "key": parts["k"], "value": parts["v"], "attn_mask": mask}
    mixed = block.node("scaled_dot_product_attention", taken, split, is_causal=False)
    flat = block.node("reshape", {"input": mixed}, (*B, width))
    return block.done(block.linear(flat, "o_proj", width))


def bert(layers: int = 3, width: int = 24) -> Graph:
    """An encoder whose layers have biases and whose pooler takes the first position."""
    blocks = []
    for i in range(layers):
        layer = Block(f"BertLayer_{i}", "BertLayer")
        x = layer.input("x", *B, width)
        mixed = layer.linear(x, "attention.self.value", width, bias=True)
        x = _layer_norm(layer, layer.add(x, mixed), "attention.output.LayerNorm")
        inner = layer.linear(x, "intermediate.dense", 4 * width, bias=True)
        act = layer.node("gelu", {"input": inner}, layer.shape(inner), "intermediate.act", approximate="none")
        fed = layer.linear(act, "output.dense", width, bias=True)
        blocks.append(layer.done(_layer_norm(layer, layer.add(x, fed), "output.LayerNorm")))
    main = Block("BertModel")
    x = main.input("embedded", *B, width)
    for i, block in enumerate(blocks):
        (x,) = main.call(block, f"encoder.layer.{i}", x)
    first = main.node("select", {"input": x}, ("batch", width), dim=1, index=0)
    return graph_of("bert", [*blocks, main.done(x, main.linear(first, "pooler.dense", width, bias=True))])


def _layer_norm(block: Block, x: str, path: str) -> str:
    width = int(block.shape(x)[-1])
    taken = {"input": x, "weight": block.weight(f"{path}.weight", width)}
    taken["bias"] = block.weight(f"{path}.bias", width)
    return block.node("layer_norm", taken, block.shape(x), path, eps=1e-12, normalized_shape=(width,))


def alternating(pairs: int = 3, width: int = 16) -> Graph:
    """Layers of two kinds in turn, 0 2 4 and 1 3 5, after each pair a scale with a weight of its own."""
    kinds = []
    for kind, op in (("Sliding", "silu"), ("Full", "gelu")):
        block = Block(kind)
        x = block.input("x", *B, width)
        y = block.linear(x, "proj", width)
        kinds.append(block.done(block.add(x, block.node(op, {"input": y}, block.shape(y)))))
    main = Block("Alternating")
    x = main.input("x", *B, width)
    for i in range(2 * pairs):
        (x,) = main.call(kinds[i % 2], f"layers.{i}", x)
        if i % 2:
            x = main.node("mul", {"input": x, "other": main.weight(f"scales.{i // 2}", width)}, (*B, width))
    return graph_of("alternating", [*kinds, main.done(x)])


def unrolled(steps: int = 8, width: int = 16, own_inputs: bool = True) -> Graph:
    """A recurrence written out: the same weights at each step; with an input of its own at each, or none."""
    main = Block("Unrolled")
    x = main.input("x", "batch", steps, width)
    state = main.input("state", "batch", width)
    shape = ("batch", width)
    pieces = [f"%piece.{i}" for i in range(steps)]
    if own_inputs:
        outputs = tuple(Value(f"piece.{i}", shape, "float32") for i in range(steps))
        main.items.append(Node("unbind", "unbind", (Argument("input", x),), outputs, (("dim", 1),)))
        main.types |= {f"%{value.name}": value for value in outputs}
    states = []
    for i in range(steps):
        hidden = main.linear(state, "recurrent", width, bias=True)
        if own_inputs:
            hidden = main.add(hidden, main.linear(pieces[i], "entry", width))
        gate = main.node("sigmoid", {"input": hidden}, shape)
        state = main.node("mul", {"input": gate, "other": state}, shape)
        state = main.node("tanh", {"input": state}, shape)
        states.append(state)
    if own_inputs:
        taken = {f"tensors.{i}": source for i, source in enumerate(states)}
        state = main.node("stack", taken, ("batch", steps, width), dim=1)
    return graph_of("unrolled", [main.done(state)])


def counting(steps: int = 8, width: int = 4) -> Graph:
    """A loop written out: a state is carried, each turn has an index, a factor and a piece of its own."""
    main = Block("Counting")
    x = main.input("x", "batch", steps, width)
    state, _ = main.input("state", "batch", width), main.input("other", "batch")
    shape = ("batch", width)
    outputs = tuple(Value(f"piece.{i}", shape, "float32") for i in range(steps))
    main.items.append(Node("unbind", "unbind", (Argument("input", x),), outputs, (("dim", 1),)))
    main.types |= {f"%{value.name}": value for value in outputs}
    states = []
    for i in range(steps):
        state = main.add(state, f"%piece.{i}")
        state = main.node("mul", {"input": state}, shape, other=2 * i + 1)
        read = main.node("getitem", {"input": x}, shape, index=(("slice", None, None, None), i))
        state = main.node("tanh", {"input": main.add(state, read)}, shape)
        states.append(state)
    taken = {f"tensors.{i}": source for i, source in enumerate(states)}
    return graph_of("counting", [main.done(main.node("stack", taken, ("batch", steps, width), dim=1))])
