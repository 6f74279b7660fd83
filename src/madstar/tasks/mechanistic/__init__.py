"""Synthetic tasks that test one skill each: the six of MAD (arXiv 2403.17844) and MQAR (arXiv 2312.04927)."""

from .catalogue import Catalogue, catalogue, load_settings, protocol_settings, task_settings
from .generation import generate, shared_examples
from .layout import Stored, read_layout, write_layout
from .registry import PROTOCOL_TASKS, TASKS, check_setting, find_task, known_tasks
from .setting import BASELINE, Setting
from .task import AUTO_ENCODER, IGNORE, LANGUAGE_MODEL, SPLITS, Examples, Task

__all__ = [
    "AUTO_ENCODER",
    "BASELINE",
    "IGNORE",
    "LANGUAGE_MODEL",
    "PROTOCOL_TASKS",
    "SPLITS",
    "TASKS",
    "Catalogue",
    "Examples",
    "Setting",
    "Stored",
    "Task",
    "catalogue",
    "check_setting",
    "find_task",
    "generate",
    "known_tasks",
    "load_settings",
    "protocol_settings",
    "read_layout",
    "shared_examples",
    "task_settings",
    "write_layout",
]
