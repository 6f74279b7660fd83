"""Every error a user can cause, each a type of its own, each one line that says what to do.

The command line prints the message and exits with status 2; a program catches
`MadstarError` or one of its kinds. What other code raises is told by `in_one_line`.
"""

import re


class MadstarError(Exception):
    """Base of all errors that madstar raises on purpose."""


class ConfigurationError(MadstarError):
    """A setting is impossible: zero minutes, a width its heads do not divide."""


class GenomeError(MadstarError):
    """A genome that cannot be read, or whose genes are out of range or incompatible."""


class DataError(MadstarError):
    """Text that is missing, empty, binary, unreadable or too short."""


class ObjectiveError(MadstarError):
    """An unknown objective, or a constraint that cannot be read or met."""


class ArchiveError(MadstarError):
    """An archive that is corrupt, foreign, newer than this version, or lacks what was asked for."""


class OutputError(MadstarError):
    """A place that cannot be written to."""


class WorkerError(MadstarError):
    """Worker processes that cannot be started or that fail before any work."""


class LayerError(MadstarError):
    """An unknown layer, or one that cannot be used: wrong shape, not a number, looks into the future."""


class TaskError(MadstarError):
    """An unknown task, or a setting of it that cannot be generated."""


class GraphError(MadstarError):
    """A graph that cannot be read, is not sound, or cannot be traced from a model."""


class EditError(GraphError):
    """An edit of a graph that cannot be read, finds nothing to edit, or would break the computation."""


_INSTALLED = re.compile(r"""(?:(?<=')/[^']*|(?<=")/[^"]*|[^\s'"(]*)/(?:site|dist)-packages/""")


def in_one_line(error: BaseException, most: int = 300) -> str:
    """An exception's type and message on one line of at most `most` characters.

    For what other code raises: our own errors say all in their message. Where packages are installed on this
    machine is left out.
    """
    try:
        text = _INSTALLED.sub("", " ".join(str(error).split()))
    except Exception:
        text = "(its message cannot be read)"
    name = type(error).__name__
    return (f"{name}: {text}" if text else name)[:most]
