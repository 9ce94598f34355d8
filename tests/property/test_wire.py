"""Encodings: whole, one of a kind, and no exception but the documented one."""

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import ProtocolError
from gateway.wire.control import (
    Close,
    CloseReason,
    InForce,
    Obstacle,
    Ping,
    Pong,
    RotateReason,
    RotateRequest,
    decode_control,
    encode_control,
)
from gateway.wire.fragments import Reassembler, split_message
from gateway.wire.header import MAX_FRAGMENTS, MAX_MESSAGE_SIZE, decode_header
from gateway.wire.payloads import (
    INITIATION_PAYLOAD_SIZE,
    RESPONSE_PAYLOAD_SIZE,
    InitiationPayload,
    PlaneKind,
    Policy,
    ResponsePayload,
    Status,
    Terms,
    decode_initiation,
    decode_response,
    encode_initiation,
    encode_response,
)

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
uuids = st.binary(min_size=16, max_size=16).map(lambda raw: UUID(bytes=raw))
terms = st.builds(
    Terms,
    st.sampled_from(Policy),
    st.sampled_from(PlaneKind),
    st.booleans(),
    st.booleans(),
    u32,
    st.integers(1, 2**16 - 1),
)
names = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=32
)
offers = st.binary(min_size=1, max_size=48)
initiations = st.builds(
    InitiationPayload,
    names,
    st.integers(1, 2**64 - 1),
    terms,
    st.none() | st.binary(min_size=16, max_size=16),
    st.lists(uuids, max_size=8, unique=True).map(tuple),
    offers,
)
responses = st.builds(
    ResponsePayload,
    st.sampled_from(Status),
    st.binary(min_size=8, max_size=8),
    u64,
    terms,
    st.booleans(),
    st.none() | uuids,
    st.frozensets(st.integers(0, 7)),
    offers,
)
controls = st.one_of(
    st.builds(Ping, u32),
    st.builds(Pong, u32),
    st.builds(InForce, u64, st.booleans()),
    st.builds(RotateRequest, st.sampled_from(RotateReason)),
    st.builds(Close, st.sampled_from(CloseReason)),
    st.builds(Obstacle, st.booleans()),
)


HEADER_REASONS = ("truncated", "marker", "version", "type", "size", "fragment")
Decoded = TypeVar("Decoded")


def attempt(
    decode: Callable[[bytes], Decoded], data: bytes, *reasons: str
) -> Decoded | None:
    """Decode, or insist that it failed for one of these reasons."""
    try:
        return decode(data)
    except ProtocolError as error:
        if error.reason not in reasons:
            raise
        return None


@given(initiations)
def test_initiation_payload_survives_the_wire(payload: InitiationPayload) -> None:
    data = encode_initiation(payload)
    assert len(data) == INITIATION_PAYLOAD_SIZE
    assert decode_initiation(data) == payload


@given(responses)
def test_response_payload_survives_the_wire(payload: ResponsePayload) -> None:
    data = encode_response(payload)
    assert len(data) == RESPONSE_PAYLOAD_SIZE
    assert decode_response(data) == payload


@given(controls)
def test_control_message_survives_the_wire(
    message: Ping | Pong | InForce | RotateRequest | Close | Obstacle,
) -> None:
    assert decode_control(encode_control(message)) == message


@given(initiations, st.integers(0, 255), st.integers(0, INITIATION_PAYLOAD_SIZE - 1))
def test_initiation_payload_has_one_encoding(
    payload: InitiationPayload, value: int, place: int
) -> None:
    data = bytearray(encode_initiation(payload))
    data[place] = value
    decoded = attempt(decode_initiation, bytes(data), "payload")
    assert decoded is None or encode_initiation(decoded) == data


@given(responses, st.integers(0, 255), st.integers(0, RESPONSE_PAYLOAD_SIZE - 1))
def test_response_payload_has_one_encoding(
    payload: ResponsePayload, value: int, place: int
) -> None:
    data = bytearray(encode_response(payload))
    data[place] = value
    decoded = attempt(decode_response, bytes(data), "payload")
    assert decoded is None or encode_response(decoded) == data


@given(st.binary(max_size=12))
@example(b"")
@example(b"\x03" + bytes(8) + b"\x02")
def test_control_message_has_one_encoding(data: bytes) -> None:
    decoded = attempt(decode_control, data, "control")
    assert decoded is None or encode_control(decoded) == data


@given(
    st.binary(max_size=INITIATION_PAYLOAD_SIZE + 1)
    | st.binary(min_size=INITIATION_PAYLOAD_SIZE, max_size=INITIATION_PAYLOAD_SIZE)
)
def test_arbitrary_bytes_are_no_exception(data: bytes) -> None:
    attempt(decode_initiation, data, "payload")
    attempt(decode_response, data, "payload")
    attempt(decode_control, data, "control")
    attempt(decode_header, data, *HEADER_REASONS)


@pytest.mark.parametrize("size", range(300))
def test_payload_of_another_size_is_refused(size: int) -> None:
    for decode, right in (
        (decode_initiation, INITIATION_PAYLOAD_SIZE),
        (decode_response, RESPONSE_PAYLOAD_SIZE),
    ):
        if size != right:
            with pytest.raises(ProtocolError, match="payload"):
                decode(bytes(size))


@given(
    st.binary(min_size=1, max_size=MAX_MESSAGE_SIZE),
    st.data(),
)
def test_message_in_fragments_comes_together_in_any_order(
    message: bytes, data: st.DataObject
) -> None:
    least = -(-len(message) // MAX_FRAGMENTS)
    bodies = split_message(message, data.draw(st.integers(least, 5000)))
    count = len(bodies)
    assert count <= MAX_FRAGMENTS
    order = data.draw(st.permutations(range(count)))
    repeats = data.draw(st.lists(st.integers(0, count - 1), max_size=10))
    reassembler = Reassembler()
    whole = []
    for index in [*repeats, *order]:
        result = reassembler.add("key", index, count, bodies[index], now=0.0)
        if result is not None:
            whole.append(result)
    assert message in whole
    assert len(whole) <= 1 + len(repeats)
