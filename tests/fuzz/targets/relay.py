"""Relay connections: frames cut from a stream, and the messages in them."""

from collections.abc import Iterator
from uuid import UUID

from gateway.errors import RelayError, RelayFault
from gateway.relay.frames import (
    FRAME_OVERHEAD,
    FrameReader,
    decode_hello,
    encode_frame,
    encode_hello,
)
from gateway.relay.messages import (
    MAX_KEYS_SIZE,
    Outcome,
    RelayAnswer,
    RelayKeys,
    check_route,
    decode_message,
    encode_answer,
    encode_keys,
)
from tests.fuzz.target import Choices, Target

DOCUMENTED = frozenset({RelayFault.MALFORMED, RelayFault.LOOP})


def read_message(data: bytes) -> None:
    """Insist that a message has one encoding."""
    message = decode_message(data)
    if isinstance(message, RelayKeys):
        check_route(message.route)
        assert encode_keys(message) == data
    else:
        assert encode_answer(message) == data


def read_hello(data: bytes) -> None:
    name = decode_hello(data)
    assert encode_hello(name) == encode_frame(data)


def read_stream(data: bytes) -> None:
    """Insist that frames are the same however the stream is cut."""
    choices = Choices(data)
    cut = 1 + choices.number()
    stream = choices.rest()
    whole, broken = frames([stream])
    pieces = [stream[at : at + cut] for at in range(0, len(stream), cut)]
    assert frames(pieces) == (whole, broken)
    assert b"".join(map(encode_frame, whole)) == stream[: sizes(whole)]
    for frame in whole[1:]:
        try:
            read_message(frame)
        except RelayError as error:
            assert error.fault in DOCUMENTED


def frames(pieces: list[bytes]) -> tuple[list[bytes], bool]:
    """Return the frames in a stream, and whether it broke off as malformed."""
    reader = FrameReader()
    found = []
    try:
        for piece in pieces:
            reader.feed(piece)
            while (frame := reader.next_frame()) is not None:
                found.append(frame)
            assert len(reader._buffer) < FRAME_OVERHEAD + MAX_KEYS_SIZE
    except RelayError as error:
        assert error.fault is RelayFault.MALFORMED
        return found, True
    return found, False


def sizes(found: list[bytes]) -> int:
    return sum(FRAME_OVERHEAD + len(frame) for frame in found)


READERS = (read_message, read_hello, read_stream)


def run(data: bytes) -> None:
    reader = READERS[data[0] % len(READERS)] if data else read_message
    try:
        reader(data[1:])
    except RelayError as error:
        assert error.fault in DOCUMENTED


def seeds() -> Iterator[bytes]:
    keys = RelayKeys(
        UUID(int=1),
        1,
        2,
        0,
        ("redu", "node-7", "paris"),
        UUID(int=2),
        UUID(int=3),
        (b"tag1", b"tag2"),
        b"s" * 64,
        b"t" * 16,
    )
    answer = RelayAnswer(UUID(int=1), 1, Outcome.HELD, "paris", tag=b"t" * 16)
    refusal = RelayAnswer(UUID(int=1), 1, Outcome.BUSY, "paris", sealed=False)
    messages = [encode_keys(keys), encode_answer(answer), encode_answer(refusal)]
    for message in messages:
        yield b"\0" + message
    yield b"\1\1paris"
    stream = encode_hello("redu") + b"".join(map(encode_frame, messages))
    yield b"\2\x07" + stream


TARGET = Target(
    "relay connections: one encoding, however cut, documented faults alone",
    run,
    seeds,
    6000,
    (b"\1\1", b"\1\2", b"\1\3", b"paris", b"\0\0"),
)
