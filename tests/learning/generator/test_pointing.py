"""What the network sees and points to: the same in training and in drawing."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from tests.graph.graphs import Block, graph_of
from tests.learning.generator.test_generator import SIZES, WORLD

from madstar.graph.inference import Inference
from madstar.graph.model import Graph
from madstar.learning.generator.allowed import options
from madstar.learning.generator.decisions import SYMBOLS, domain_of, encode
from madstar.learning.generator.draft import Limits
from madstar.learning.generator.examples import examples_of
from madstar.learning.generator.network import Network, Steps
from madstar.learning.generator.scoring import surprises
from madstar.learning.generator.seen import BESIDE, CANDIDATE, TYPE, seen
from madstar.learning.generator.space import Space
from madstar.learning.generator.state import State
from madstar.learning.generator.training import batched, decisions_of_a_batch, train


def stepwise(network: Network, space: Space, numbers: tuple[int, ...], cut: int = 0) -> list[float]:
    """The surprise of each decision but the first, as drawing sees it; from `cut` on anew."""
    steps = Steps(network, space)
    state = State(space, Limits(checked=False), Inference(SYMBOLS))
    states, scores = [], []
    for number in numbers:
        after = state.after(number)
        assert after is not None
        state = after
        states.append(state)
        scores.append(steps.put(number, seen(state)))
    if cut:
        steps.cut(cut)
        for place in range(cut, len(numbers)):
            scores[place] = steps.put(numbers[place], seen(states[place]))
    found = []
    for state, given, number in zip(states, scores, numbers[1:], strict=False):
        among = list(options(state))
        found.append(-float(given[among].log_softmax(0)[among.index(number)]))
    return found


def test_drawing_scores_as_training_does() -> None:
    """Each decision is as likely when drawn step by step as when whole sequences are learned in a batch."""
    examples = examples_of(WORLD, [domain_of(graph) for graph in WORLD], 160)
    torch.manual_seed(0)
    network = Network(examples.space, SIZES).eval()
    for parameter in network.parameters():  # far from what it begins with, where all is about equally likely
        torch.nn.init.normal_(parameter, std=0.2)
    batch = [examples.examples[place] for place in (0, 5, 30, 47)]
    with torch.no_grad():
        whole = torch.cat([each for _, each in surprises(network, batch, examples.space)])
    alone = [stepwise(network, examples.space, example.numbers) for example in batch]
    assert whole.std() > 0.5
    assert sorted(whole.tolist()) == pytest.approx(sorted(each for one in alone for each in one), abs=1e-3)
    again = stepwise(network, examples.space, batch[2].numbers, cut=9)
    assert again == pytest.approx(alone[2], abs=1e-4)  # the cache was cut back


def test_what_is_seen_follows_the_types() -> None:
    """The candidates of a sum: that of the same type is marked as such, and so is what nothing took."""
    space = Space.of([encode(graph) for graph in WORLD], least=1)
    graph = WORLD[0]  # x + down(act(up(x)))
    numbers = [space.number(decision) for decision in encode(graph)]
    state, sums = State(space, Limits(), Inference(SYMBOLS)), []
    for number in numbers:
        after = state.after(number)
        assert after is not None
        state = after
        if state.group == "pointer" and not state.closing and space.decisions[state.node][1] == "add":
            sums.append(seen(state))
    assert len(sums) == 2
    one, two = sums
    assert len(one.candidates) == len(two.candidates) == 4
    same = [candidate.type for candidate in two.candidates]
    assert same[0] == same[3] != same[1]
    x, up, act, down = (candidate.numbers for candidate in two.candidates)
    assert x[3] + down[3] == 1  # the one that was chosen first
    assert (x[2], up[2], act[2], down[2]) == (0, 0, 0, 1)
    assert x[7:11] == down[7:11] != up[7:11]  # how they go together with what was chosen first
    assert [candidate.place for candidate in two.candidates] == sorted({c.place for c in two.candidates})
    assert all(n < most for c in two.candidates for n, most in zip(c.numbers, CANDIDATE, strict=True))
    assert all(n < most for n, most in zip(two.beside, BESIDE, strict=True))
    assert all(n < most for code in two.types for n, most in zip(code, TYPE, strict=True))


def test_what_the_checks_refuse_is_not_learned() -> None:
    block = Block("Dead")
    x = block.input("x", "batch", "length", 8)
    block.linear(x, "unused", 8)
    graph = graph_of("dead", [block.done(block.linear(x, "up", 8))])
    examples = examples_of([*WORLD, graph], ["x"] * 49, 160, least=1)
    assert (examples.unfit, examples.kept[-1]) == (1, 47)


def test_batches_hold_every_example_once() -> None:
    lengths = [7 * n % 50 for n in range(1000)]
    batches = batched(lengths, torch.Generator().manual_seed(0))
    assert sorted(each for batch in batches for each in batch) == list(range(1000))
    spread = [max(lengths[i] for i in batch) - min(lengths[i] for i in batch) for batch in batches]
    assert sum(spread) / len(spread) < 10


def test_a_decision_of_a_short_example_counts_as_one_of_a_long_one() -> None:
    """Short examples stand in larger batches; what a batch counts for is the number of its decisions."""
    lengths = [10] * 600 + [100] * 400
    batches = batched(lengths, torch.Generator().manual_seed(1))
    decisions = [sum(lengths[i] for i in batch) for batch in batches]
    usual = decisions_of_a_batch(lengths)
    assert usual == 16 * 46
    assert sum(abs(many - usual) < 0.15 * usual for many in decisions) > 0.8 * len(decisions)


def chain(many: int) -> Graph:
    """A linear map, and so many activations after it."""
    block = Block("Chain")
    value = block.linear(block.input("x", "batch", "length", 8), "up", 8)
    for _ in range(many):
        value = block.node("relu", {"input": value}, block.shape(value))
    return graph_of("chain", [block.done(value)])


def test_training_learns_how_often_a_graph_ends_early() -> None:
    """As many graphs end after two items as go on to nine; that these have more decisions says nothing."""
    graphs = [chain(1), chain(8)] * 24
    examples = examples_of(graphs, ["x"] * len(graphs), 160, least=1)
    sizes = replace(SIZES, dropout=0.0)
    network, _ = train(examples, sizes, seed=0, minutes=None, steps=200, progress=None)
    short = examples.examples[0].numbers
    ends = short.index(examples.space.number(("outputs",)))
    surprise = stepwise(network, examples.space, short)[ends - 1]
    assert 0.4 < math.exp(-surprise) < 0.6
