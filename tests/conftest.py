"""What holds for every test: annotated tensor shapes are checked, one thread, reproducible examples."""

import signal
import sys

import pytest
import torch
from hypothesis import settings
from jaxtyping import install_import_hook

CHECKED = ["madstar.liv"]

# The hook rewrites modules as they are imported, so it must come before the first import of them.
if early := [name for name in CHECKED if name in sys.modules]:
    raise pytest.UsageError(f"{', '.join(early)} imported before the shape check could be installed")
install_import_hook(CHECKED, "beartype.beartype")

# The same examples in every run; `--hypothesis-profile=explore` looks for new ones.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("repeatable")

torch.set_num_threads(1)

# A shell starts what goes to the background with Ctrl-C ignored, and every process started here would inherit
# that: the tests that interrupt one would wait in vain.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
