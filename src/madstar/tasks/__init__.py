"""What an architecture must learn: text, tokenised once and read from disk ever after."""

from madstar.tasks.home import DATA_NAME, HomeText
from madstar.tasks.manifest import LeakageReport, Manifest, SplitCounts, SplitLeakage
from madstar.tasks.prepare import prepare_text
from madstar.tasks.readers import ENDINGS
from madstar.tasks.sources import BUILT_IN
from madstar.tasks.text import TextTask

__all__ = [
    "BUILT_IN",
    "DATA_NAME",
    "ENDINGS",
    "HomeText",
    "LeakageReport",
    "Manifest",
    "SplitCounts",
    "SplitLeakage",
    "TextTask",
    "prepare_text",
]
