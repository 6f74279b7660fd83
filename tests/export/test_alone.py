"""Exported models give the same numbers in a process that has neither madstar nor jaxtyping."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from madstar.export import export_model
from madstar.genome import OPERATORS, Genome, SearchSpace, Sizes, repair, sample
from madstar.liv import Backbone, generate, state_bytes

from ..liv.cases import stepped

PROMPT, MORE, WINDOW = 9, 6, 5
CLASSES = [f"{number}.1.1.1.1" for number in OPERATORS]
SHARING = [
    "21211-31112-21221-32112",
    "11112-11112-11112",
    "11113-11113",
    "11114-11114",
    "51112-51112",
    "51113-51113",
    "61114-61114",
    "71112-71112",
    "71113-81124-81124-71113",
    "91112-91112",
    "21213-21213-21213",
    "51212-51212-72221-72221",
    "81212-81212",
    "14.1.2.1.2-14.1.2.1.2",
    "10.1.2.1.3-10.1.2.1.3-92211-92211",
    "17.1.1.1.4-17.1.1.1.4",
]
OWN = [
    "101.1.1.1.1/o101=12223",  # banded softmax
    "101.1.1.1.2-101.1.1.1.2/o101=12223",
    "101.1.1.1.1/o101=12113",  # linear
    "101.1.1.1.2-101.1.1.1.2/o101=32113",
    "101.1.1.1.3-101.1.1.1.3/o101=42113",
    "101.1.1.1.1/o101=12133",  # ReLU
    "101.1.1.1.3-101.1.1.1.3/o101=32243",  # banded swish, grouped queries
    "101.1.1.1.1/o101=12122",  # a single head
    "101.1.1.1.1/o101=d12113",
    "101.1.1.1.1-102.1.1.1.1-11111/o101=12213/o102=12112",
    "101.1.1.1.1-61111/o101=54133",
    "101.1.1.1.1/o101=73133",
    "101.1.1.1.1-71111/o101=83211",
    "101.1.1.1.2-101.1.1.1.2/o101=83243",
    "101.1.1.1.1-101.1.1.1.1-51111/o101=91143",
    "101.1.1.1.1/o101=d101.2.1.2.3/f101=324211+324311+114211",
    "101.1.1.1.1/o101=22113",
    "101.1.1.1.1-101.1.2.1.1/o101=101.4.1.1.1/f101=324281+321281+111111+114311",
]
TIED = ["11111-91111", "51111"]

ALONE = """
import importlib.util, sys
from pathlib import Path
sys.modules["madstar"] = sys.modules["jaxtyping"] = None
for name in ("madstar", "jaxtyping"):
    try:
        __import__(name)
    except ImportError:
        continue
    sys.exit(f"{name} could be imported")
import torch
from safetensors.torch import load_file
torch.set_num_threads(1)
prompt_length = int(sys.argv[2])

def held(part):
    if isinstance(part, torch.Tensor):
        return part.numel()
    parts = part.values() if isinstance(part, dict) else part if isinstance(part, (tuple, list)) else ()
    return sum(map(held, parts))

@torch.inference_mode()
def differences(directory, expected):
    spec = importlib.util.spec_from_file_location("modeling", directory / "modeling.py")
    modeling = importlib.util.module_from_spec(spec)
    sys.modules["modeling"] = modeling
    spec.loader.exec_module(modeling)
    model, tokens = modeling.load(directory), expected["tokens"]
    filled, states = model.prefill(tokens[:, :prompt_length])
    if held(states) != expected["held"].item():
        yield f"decoding holds {held(states)} numbers, not {expected['held'].item()}"
    stepped = []
    for token in tokens[:, prompt_length:].T:
        following, states = model.step(token, states)
        stepped.append(following)
    states, alone = model.initial_state(len(tokens)), []
    for token in tokens.T:
        following, states = model.step(token, states)
        alone.append(following)
    # Each form against the same form of the original: that the forms agree is the operators' own test.
    for what, found in (
        ("forward", model(tokens)),
        ("prefill and step", torch.cat([filled, torch.stack(stepped, 1)], 1)),
        ("step from nothing", torch.stack(alone, 1)),
    ):
        error = (found - expected[what]).abs().max().item()
        if not error < 1e-5:
            yield f"{what} off by {error}"
    longer = modeling.generate(model, tokens[:, :prompt_length], 8)
    if not torch.equal(longer, expected["longer"]):
        yield "generation"
    stored = sum(weight.numel() for weight in load_file(directory / "model.safetensors").values())
    if stored != sum(parameter.numel() for parameter in model.parameters()):
        yield "sharing of weights"

for directory in sorted(Path(sys.argv[1]).iterdir()):
    expected = load_file(Path(sys.argv[3]) / f"{directory.name}.safetensors")
    try:
        found = ", ".join(differences(directory, expected))
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    print(directory.name, " ".join(found.split()) or "same")
"""


def built(genome: str, *, tied: bool = False, dtype: torch.dtype = torch.float32) -> Backbone:
    """A backbone whose every weight differs from what initialisation gives."""
    sizes = Sizes(vocabulary_size=256, width=32, heads=4, window=WINDOW, tied=tied)
    backbone = Genome.parse(genome).build(sizes, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return backbone.to(dtype)


def sampled(count: int) -> list[str]:
    """Random genomes with much sharing."""
    space = SearchSpace(min_depth=3, max_depth=6, sharing=0.7, groups=2)
    rng = np.random.default_rng([7, 1])
    return [str(repair(sample(space, rng), space, rng)[0]) for _ in range(count)]


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    exports, expected = tmp_path_factory.mktemp("exports"), tmp_path_factory.mktemp("expected")
    genomes = [*CLASSES, *SHARING, *OWN, *sampled(8)]
    models = [(genome, False) for genome in genomes] + [(genome, True) for genome in TIED]
    names = {}
    for index, (genome, tied) in enumerate(models):
        backbone = built(genome, tied=tied)
        tokens = torch.randint(256, (2, PROMPT + MORE), generator=torch.Generator().manual_seed(index))
        with torch.inference_mode():
            logits = backbone(tokens)
            filled, states = backbone.prefill(tokens[:, :PROMPT])
            following, _ = stepped(backbone, tokens[:, PROMPT:], states)
            alone, _ = stepped(backbone, tokens, backbone.initial_state(len(tokens)))
        results = {
            "tokens": tokens,
            "forward": logits,
            "prefill and step": torch.cat([filled, following], 1),
            "step from nothing": alone,
            "longer": generate(backbone, tokens[:, :PROMPT], 8),
            "held": torch.tensor(state_bytes(states) // 4),
        }
        name = f"{index:03}"
        save_file(results, expected / f"{name}.safetensors")
        export_model(backbone, exports / name, genome=genome, figures={})
        names[name] = f"{genome}{' tied' if tied else ''}"
    script = exports.parent / "alone.py"
    script.write_text(ALONE)
    run = subprocess.run(
        [sys.executable, "-I", str(script), str(exports), str(PROMPT), str(expected)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    lines = [line.split(" ", 1) for line in run.stdout.splitlines()]
    return {names[name]: verdict for name, verdict in lines}


@pytest.mark.parametrize("genome", [*CLASSES, *SHARING, *OWN, *(f"{genome} tied" for genome in TIED)])
def test_the_same_numbers(verdicts: dict[str, str], genome: str) -> None:
    assert verdicts[genome] == "same"


def test_the_same_numbers_for_random_genomes(verdicts: dict[str, str]) -> None:
    assert {genome: verdicts[genome] for genome in sampled(8)} == dict.fromkeys(sampled(8), "same")


def run_alone(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(directory / "modeling.py"), *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )


def test_the_command_line_continues_a_text(tmp_path: Path) -> None:
    backbone = built("51111")
    directory = export_model(backbone, tmp_path / "model", genome="51111", figures={})
    sampling = ("--tokens", "12", "--temperature", "0.8", "--seed", "3")
    run = run_alone(directory, "--prompt", "Öl und", *sampling)
    prompt = torch.tensor([list("Öl und".encode())])
    generator = torch.Generator().manual_seed(3)
    longer = generate(backbone, prompt, 12, temperature=0.8, generator=generator)[0]
    expected = bytes(longer.tolist()).decode("utf-8", "replace")
    # Newlines of any kind arrive as one.
    assert run.stdout.split() == expected.split()
    assert run.returncode == 0
