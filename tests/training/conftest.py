"""A small real text, prepared once, and trainers small enough to be run whole."""

from collections.abc import Callable
from pathlib import Path
from pydoc_data.topics import topics

import pytest
from torch import nn

from madstar.genome import Genome, Sizes
from madstar.tasks import TextTask, prepare_text
from madstar.training import Trainer, TrainingSettings

SIZES = Sizes(vocabulary_size=256, width=16, heads=2, window=4)
SETTINGS = TrainingSettings(
    length=16,
    batch=2,
    learning_rate=1e-2,
    warmup=5,
    validation_windows=8,
    evaluation_batch=4,
)
SHARED = "21211-91111-21221"


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("".join(topics[name] for name in sorted(topics))[:60_000])
    return path


@pytest.fixture(scope="session")
def task(text: Path) -> TextTask:
    return prepare_text(text, directory=text.parent / "prepared", length=SETTINGS.length)


@pytest.fixture(scope="session")
def other_task(text: Path) -> TextTask:
    """The same text with another part of it held out."""
    return prepare_text(text, directory=text.parent / "other", length=SETTINGS.length, seed=1)


@pytest.fixture
def make(task: TextTask) -> Callable[..., Trainer]:
    """A fresh trainer."""

    def make(
        settings: TrainingSettings = SETTINGS,
        *,
        genome: str = SHARED,
        sizes: Sizes = SIZES,
        built: int = 0,
        seed: int = 0,
        on: TextTask = task,
    ) -> Trainer:
        model: nn.Module = Genome.parse(genome).build(sizes, built)
        return Trainer(model, on, settings, seed)

    return make
