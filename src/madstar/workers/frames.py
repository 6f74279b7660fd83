"""JSON messages on a byte stream: four bytes of length, then the text."""

import json
import struct
from collections.abc import Iterator
from typing import Any

LARGEST = 1 << 28
"""Bytes in the longest message that either side sends or accepts (256 MiB)."""

_HEADER = struct.Struct(">I")


class FrameError(Exception):
    """The bytes that came in are not frames: somebody else wrote to the stream."""


def encode(message: dict[str, Any]) -> bytes:
    """Return the message as one frame.

    Raises:
        TypeError, ValueError, RecursionError: the message holds what JSON cannot, or too much.
    """
    body = json.dumps(message).encode("ascii")
    if len(body) > LARGEST:
        raise ValueError(
            f"a message of {len(body)} bytes is longer than {LARGEST}; write it to a file instead"
        )
    return _HEADER.pack(len(body)) + body


class FrameReader:
    """Puts messages together again from pieces of any size."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Take in some bytes, then give out the messages that are complete.

        Raises:
            FrameError: the stream does not hold frames.
        """
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            (length,) = _HEADER.unpack_from(self._buffer)
            if length > LARGEST:
                raise FrameError(f"a message claims {length} bytes")
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            yield _decode(body)


def _decode(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"a message is not JSON: {error}") from None
    if not isinstance(message, dict):
        raise FrameError(f"a message is a {type(message).__name__}, not an object")
    return message
