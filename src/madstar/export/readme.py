"""The README of an exported model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..liv import BackboneSpec
from .figures import Figure
from .layers import LayerWords

_LICENCE = """\
## Licence

`modeling.py` is a part of madstar, under the Apache License 2.0. The weights carry no licence of
their own here: what they were trained on decides what may be done with them."""


def readme(
    title: str,
    genome: str,
    spec: BackboneSpec,
    layers: Sequence[LayerWords],
    figures: Sequence[Figure],
    *,
    parameters: int,
    has_tokenizer: bool,
) -> str:
    """What the model is, its layers and figures, and how to use it, in Markdown."""
    tokens = "the tokens of `tokenizer.json`" if has_tokenizer else _tokens(spec.vocabulary_size)
    parts = [
        f"# {_cell(title)}",
        f"A causal sequence model of {len(layers)} layers and {parameters:,} parameters over {tokens}, "
        "designed with madstar. Every layer is `x + operator(norm(x))`, with an operator of its own.",
        f"Genome: `{genome}`",
        _table(
            ("width", "heads", "vocabulary", "output"),
            [(spec.width, spec.heads, spec.vocabulary_size, "tied" if spec.tied else "untied")],
        ),
        "## Layers",
        _table(
            ("layer", "class", "operator", "features", "shared"),
            [(row.number, row.name, row.operator, row.features, row.sharing) for row in layers],
        ),
    ]
    if figures:
        rows = [(figure.name, str(figure)) for figure in figures]
        parts += ["## Figures", _table(("figure", "value"), rows)]
        if any(figure.error for figure in figures):
            parts.append("After ± stands the standard error.")
    return "\n\n".join([*parts, _usage(has_tokenizer, spec.vocabulary_size), _LICENCE]) + "\n"


def _tokens(vocabulary_size: int) -> str:
    return "bytes" if vocabulary_size == 256 else f"a vocabulary of {vocabulary_size:,} tokens"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(str(cell)) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    """Text on one line that cannot end a table's cell."""
    return " ".join(text.split()).replace("|", "\\|")


def _usage(has_tokenizer: bool, vocabulary_size: int) -> str:
    needs = "`torch`, `safetensors` and `tokenizers`" if has_tokenizer else "`torch` and `safetensors`"
    command = ""
    if has_tokenizer:
        start = 'Tokenizer.from_file("tokenizer.json").encode("Once upon a time").ids'
        imports = "from tokenizers import Tokenizer\n"
    else:
        start, imports = 'list(b"Once upon a time")', ""
    if has_tokenizer or vocabulary_size == 256:
        command = """\
From the command line, greedy or sampled:

```sh
python modeling.py --prompt "Once upon a time" --tokens 200
python modeling.py --prompt "Once upon a time" --tokens 200 --temperature 0.8 --seed 0
```

"""
    else:
        start = "[0, 1, 2]"
    return f"""\
## Use

`modeling.py` is the whole model; it needs Python 3.11 or later and {needs}. It is made for this
architecture: another one needs a file of its own.

{command}From Python, in this directory:

```python
import torch
{imports}from modeling import generate, load

model = load(".")
prompt = torch.tensor([{start}])
logits = model(prompt)  # (batch, length, vocabulary)
longer = generate(
    model, prompt, tokens=200, temperature=0.8, generator=torch.Generator().manual_seed(0)
)
```

`generate` decodes with the step form: its cost a token does not grow with the text, except where a
layer itself looks back further. `model.prefill` and `model.step` are the two halves of it."""
