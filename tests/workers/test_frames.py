"""Messages on a byte stream."""

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madstar.workers.frames import LARGEST, FrameError, FrameReader, encode

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
messages = st.dictionaries(st.text(), values, max_size=4)


@given(sent=st.lists(messages, max_size=5), pieces=st.lists(st.integers(1, 40), min_size=1))
def test_messages_arrive_whole_whatever_the_pieces(sent, pieces):
    stream = b"".join(encode(message) for message in sent)
    reader, received, start, turn = FrameReader(), [], 0, 0
    while start < len(stream):
        end = start + pieces[turn % len(pieces)]
        received += reader.feed(stream[start:end])
        start, turn = end, turn + 1
    assert received == sent


@pytest.mark.parametrize(
    "body",
    [b"hello", b"[1]", b"", b"\xff\xfe", b"[" * 100_000, b"9" * 10_000],
    ids=lambda body: repr(body[:6]),
)
def test_what_is_no_message_is_an_error(body):
    with pytest.raises(FrameError):
        list(FrameReader().feed(struct.pack(">I", len(body)) + body))


def test_a_length_beyond_the_largest_is_refused_before_it_is_waited_for():
    with pytest.raises(FrameError, match="claims"):
        list(FrameReader().feed(struct.pack(">I", LARGEST + 1)))


def test_the_messages_before_a_broken_one_arrive():
    stream = FrameReader().feed(encode({"a": 1}) + struct.pack(">I", 2) + b"no")
    assert next(stream) == {"a": 1}
    with pytest.raises(FrameError):
        next(stream)


def test_a_frame_is_its_length_and_its_text():
    frame = encode({"a": "é"})
    assert struct.unpack(">I", frame[:4]) == (len(frame) - 4,)
    assert json.loads(frame[4:]) == {"a": "é"}
