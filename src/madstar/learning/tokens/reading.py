"""`detokenize`: tokens back to a graph, trusting none of them.

Names are made anew: blocks "Block0", values "v0", weights "w0", paths "p0"; how weights are drawn goes by
their operation. Whatever is no graph raises
GraphError with the number of the token.
"""

from __future__ import annotations

from itertools import pairwise

from madstar.errors import GraphError
from madstar.graph.inference import Inference
from madstar.graph.inference.types import Type
from madstar.graph.model import (
    Argument,
    Attribute,
    Call,
    Definition,
    Graph,
    Node,
    Parameter,
    Shape,
    Value,
)
from madstar.graph.soundness import check_sound

from .initial import initial
from .scanning import Scanner
from .sequence import Tokens
from .vocabulary import Vocabulary
from .writing import MAX_TURNS, found_types


def _counted(letter: str, number: int) -> str:
    """ "w7", "w_12", "w__345": sorted as text these are in order, which the canonical order may go by."""
    digits = str(number)
    return f"{letter}{'_' * (len(digits) - 1)}{digits}"


def detokenize(tokens: Tokens, vocabulary: Vocabulary, name: str = "tokens") -> Graph:
    """The graph of the tokens, with the structural hash of the one that they were made from.

    Raises GraphError for tokens of another vocabulary and for whatever is not a whole, sound graph.
    """
    if tokens.fingerprint != vocabulary.fingerprint:
        raise GraphError(
            f"tokens of the vocabulary {tokens.fingerprint!r:.40}, and this one is {vocabulary.fingerprint!r}"
        )
    reader = _Reader(tokens.ids, vocabulary)
    try:
        graph = reader.graph(name)
        check_sound(graph)
    except GraphError as error:
        raise GraphError(f"tokens: {error}") from None
    except RecursionError:
        raise GraphError("tokens: nested too deeply to be a graph") from None
    return graph


class _Reader(Scanner):
    def __init__(self, ids: tuple[int, ...], vocabulary: Vocabulary) -> None:
        super().__init__(ids, vocabulary)
        self.turns = 0
        self.blocks: list[_Block] = []
        self.inference = Inference()

    def graph(self, name: str) -> Graph:
        self.want("begin")
        symbols: dict[str, tuple[int, ...]] = {}
        while self.accept("size"):
            at, symbol = self.place, self.word("symbol", "a symbol")
            sizes = [self.count(1, 1 << 62, "size")]
            while self.section() in ("integer", "bits"):
                sizes.append(self.count(1, 1 << 62, "size"))
            if symbol in symbols:
                raise GraphError(f"token {at}: the symbol {symbol!r:.80} is given twice")
            symbols[symbol] = tuple(sizes)
        self.inference = Inference(symbols)
        while self.accept("definition"):
            block = _Block(self, len(self.blocks))
            block.read()
            self.blocks.append(block)
        if not self.blocks:
            self.fail("a definition")
        tied = self._ties()
        self.want("end")
        if self.place < len(self.ids):
            self.fail("nothing more")
        definitions = [block.made() for block in reversed(self.blocks)]
        main = definitions[0]
        return Graph(
            name,
            main.name,
            {each.name: each for each in definitions},
            tuple(value.name for value in main.inputs),
            tuple(f"out{number}" for number in range(len(main.outputs))),
            symbols,
            tied,
        )

    def take(self, turns: int) -> None:
        self.turns += turns
        if self.turns > MAX_TURNS:
            raise GraphError(f"token {self.place}: runs of over {MAX_TURNS:,} turns in all")

    def _ties(self) -> tuple[tuple[str, ...], ...]:
        groups = []
        while self.accept("tie"):
            group = [self._path()]
            while self.next_word() in ("step", "known"):
                group.append(self._path())
            groups.append(tuple(group))
        return tuple(groups)

    def _path(self) -> str:
        block, parts = self.blocks[-1], []
        while self.accept("step"):
            number = self.count(0, len(block.classes) - 1, "number of a path of the block")
            parts.append(_counted("p", number))
            block = block.classes[number]
        self.want("known")
        weight = self.count(0, len(block.weights) - 1, "number of a weight of the block")
        return ".".join([*parts, _counted("w", weight)])


class _Block:
    """One definition while it is read."""

    def __init__(self, reader: _Reader, number: int) -> None:
        self.reader, self.number, self.name = reader, number, f"Block{number}"
        self.open = 0
        self.inputs: list[Value] = []
        self.weights: list[Parameter] = []
        self.items: list[Node | Call] = []
        self.outputs: list[str] = []
        self.values: list[Value] = []
        self.types: dict[str, Type] = {}
        self.classes: list[_Block] = []

    def read(self) -> None:
        r = self.reader
        while r.accept("open"):
            self.open += 1
        while r.accept("input"):
            self.inputs.append(self._value(*r.type()))
        while True:
            if r.section() == "op":
                self._node()
            elif r.accept("call"):
                self._call()
            else:
                break
        while r.accept("unused"):
            self._weight()
        while r.accept("output"):
            self.outputs.append(self._pointer())
        r.want("done")

    def made(self) -> Definition:
        """The definition."""
        weights, items = tuple(self.weights), tuple(self.items)
        names = tuple(f"o{number}" for number in range(self.open))
        return Definition(
            self.name,
            self.name,
            tuple(self.inputs),
            weights,
            items,
            tuple(self.outputs),
            "madstar.tokens",
            names,
        )

    def _value(self, shape: Shape, dtype: str) -> Value:
        value = Value(f"v{len(self.values)}", shape, dtype)
        self.values.append(value)
        self.types[f"%{value.name}"] = Type(shape, dtype)
        return value

    def _weight(self, initialisation: str = "unknown") -> str:
        r = self.reader
        trained = r.accept("weight")
        if not trained and not r.accept("buffer"):
            r.fail("a weight or a buffer")
        at, (shape, dtype) = r.place, r.type()
        if not all(isinstance(size, int) and size >= 0 for size in shape):
            raise GraphError(f"token {at}: the shape of a weight has no symbols")
        path = _counted("w", len(self.weights))
        sizes = tuple(size for size in shape if isinstance(size, int))
        self.weights.append(Parameter(path, sizes, dtype, trained, initialisation))
        self.types[f"@{path}"] = Type(shape, dtype)
        return f"@{path}"

    def _pointer(self, initialisation: str = "unknown") -> str:
        r, word = self.reader, self.reader.next_word()
        if word in ("weight", "buffer"):
            return self._weight(initialisation)
        if word not in ("known", "from", "back"):
            r.fail("a reference")
        r.place += 1
        if word == "known":
            number = r.count(0, len(self.weights) - 1, "number of a weight before")
            return f"@{self.weights[number].path}"
        if word == "from":
            return f"%v{r.count(0, len(self.inputs) - 1, 'number of an input of the block')}"
        most = len(self.values) - len(self.inputs)
        return f"%v{len(self.values) - r.count(1, most, 'distance to a value of the block')}"

    def _node(self) -> None:
        r = self.reader
        op = r.word("op", "an operation")
        arguments = []
        while r.section() == "slot":
            slot = r.word("slot", "a slot")
            if r.accept("list"):
                slot = f"{slot}.{r.count(0, 10**9, 'place in a list')}"
            arguments.append(Argument(slot, self._pointer(initial(op, slot))))
        attributes = []
        while r.section() == "attribute":
            name = r.word("attribute", "the name of an attribute")
            attributes.append((name, r.attribute(self.open)))
        if any(left[0] >= right[0] for left, right in pairwise(attributes)):
            raise GraphError(f"token {r.place}: attributes must be sorted by name, each given once")
        types: list[tuple[Shape, str]] = []
        if r.accept("inferred"):
            tensors = {argument.slot: self.types[argument.source] for argument in arguments}
            found = found_types(r.inference, op, tensors, tuple(attributes))
            if found is None:
                raise GraphError(f"token {r.place}: the types of what {op!r:.80} gives do not follow")
            types = [(each.shape, each.dtype) for each in found]
        else:
            r.want("stated")
            while r.section() == "dtype":
                types.append(r.type())
        number = len(self.items)
        outputs = tuple(self._value(*each) for each in types)
        self.items.append(Node(f"n{number}", op, tuple(arguments), outputs, tuple(attributes)))

    def _call(self) -> None:
        r = self.reader
        back = r.count(1, self.number, "distance to a definition before")
        called = r.blocks[self.number - back]
        paths = self._paths(called)
        turns = len(paths)
        arguments = [self._pointer() for _ in called.inputs]
        carried, own = [], []
        while r.accept("carried"):
            output = r.count(0, len(called.outputs) - 1, "number of an output")
            carried.append((output, r.count(0, len(called.inputs) - 1, "number of an input")))
        while r.accept("own"):
            entry = r.count(0, len(called.inputs) - 1, "number of an input")
            r.take(turns)
            own.append((entry, (arguments[entry], *(self._pointer() for _ in range(turns - 1)))))
        settings: list[tuple[str, tuple[Attribute, ...]]] = []
        while r.accept("settings"):
            r.take(turns)
            settings.append((f"o{len(settings)}", self._settings(turns)))
        gathered = []
        while r.accept("gathered"):
            r.take(turns)
            gathered.append(r.count(0, len(called.outputs) - 1, "number of an output"))
        if r.accept("inferred"):
            types = [called.types[ref] for ref in called.outputs]
        else:
            r.want("stated")
            types = [Type(*r.type()) for _ in called.outputs]
        outputs = tuple(self._value(each.shape, each.dtype) for each in types)
        names = tuple(
            (place, tuple(self._value(types[place].shape, types[place].dtype).name for _ in range(turns - 1)))
            for place in gathered
        )
        name = f"c{len(self.items)}"
        self.items.append(
            Call(
                name,
                called.name,
                tuple(paths),
                tuple(arguments),
                outputs,
                tuple(carried),
                tuple(own),
                tuple(settings),
                names,
            )
        )

    def _paths(self, called: _Block) -> list[str]:
        r = self.reader
        paths: list[str] = []
        while (word := r.next_word()) in ("new", "hold", "old"):
            r.place += 1
            at = r.place
            known = (
                r.count(0, len(self.classes) - 1, "number of a path of the block") if word == "old" else -1
            )
            if known >= 0 and self.classes[known] is not called:
                raise GraphError(f"token {at}: the path {known} is of another definition")
            count = r.count(1, MAX_TURNS, "number of turns")
            r.take(count)
            if word == "old":
                paths += [_counted("p", known)] * count
                continue
            new = count if word == "new" else 1
            first = len(self.classes)
            self.classes += [called] * new
            if word == "new":
                paths += [_counted("p", first + i) for i in range(new)]
            else:
                paths += [_counted("p", first)] * count
        if not paths:
            r.fail("the paths of a call")
        return paths

    def _settings(self, turns: int) -> tuple[Attribute, ...]:
        r = self.reader
        if r.accept("range"):
            first, step = r.number(), r.number()
            return tuple(first + step * turn for turn in range(turns))
        if r.accept("same"):
            return (r.attribute(self.open),) * turns
        r.want("each")
        return tuple(r.attribute(self.open) for _ in range(turns))
