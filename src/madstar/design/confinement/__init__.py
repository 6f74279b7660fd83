"""What a process of the loop may touch, held by the operating system where it can and by Python beside it.

`confine` is called once in a process, before it does any work that others decided; what it takes away
does not come back. `docs/design-loop.md` says which layer holds what.
"""

from .guard import ConfinementError
from .layers import Held, confine, confine_command

__all__ = ["ConfinementError", "Held", "confine", "confine_command"]
