"""Messages about stock: sizes, bounds, and what a hostile peer may send."""

import struct
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ProtocolError
from gateway.wire.control import decode_control, encode_control
from gateway.wire.stock import (
    MAX_KEYS,
    Announced,
    Holding,
    StockAnnounce,
    StockAnswer,
    StockPage,
)

FIRST, LAST = UUID(int=0), UUID(int=2**128 - 1)
SERIALS = st.integers(0, 2**32 - 1)
KEY_IDS = st.uuids()


def keys(count: int) -> tuple[Announced, ...]:
    return tuple(Announced(UUID(int=n), n.to_bytes(4)) for n in range(1, count + 1))


@given(SERIALS, st.lists(st.tuples(KEY_IDS, st.binary(min_size=4, max_size=4))))
def test_announcements_come_back(serial: int, pairs: list[tuple[UUID, bytes]]) -> None:
    message = StockAnnounce(
        serial, tuple(Announced(one, check) for one, check in pairs[:MAX_KEYS])
    )
    assert decode_control(encode_control(message)) == message


@given(SERIALS, st.sets(st.integers(1, 2**128 - 2), max_size=MAX_KEYS))
def test_pages_come_back(serial: int, numbers: set[int]) -> None:
    key_ids = tuple(UUID(int=number) for number in sorted(numbers))
    message = StockPage(serial, FIRST, LAST, key_ids)
    assert decode_control(encode_control(message)) == message


@given(
    SERIALS,
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
    st.lists(st.sampled_from(Holding), max_size=MAX_KEYS),
)
def test_answers_come_back(
    serial: int, run: int, available: int, holdings: list[Holding]
) -> None:
    message = StockAnswer(serial, run, available, tuple(holdings))
    assert decode_control(encode_control(message)) == message


def test_sizes_are_those_of_the_specification() -> None:
    assert len(encode_control(StockAnnounce(1, keys(3)))) == 6 + 3 * 20
    page = StockPage(1, FIRST, LAST, (UUID(int=5),))
    assert len(encode_control(page)) == 6 + 32 + 16
    assert len(encode_control(StockAnswer(1, 2, 3, (Holding.HELD,)))) == 6 + 12 + 1


@pytest.mark.parametrize(
    "message",
    [
        StockAnnounce(7, keys(2)),
        StockPage(7, FIRST, LAST, (UUID(int=1), UUID(int=2))),
        StockAnswer(7, 1, 2, (Holding.HELD, Holding.USED)),
    ],
)
def test_every_other_length_is_refused(
    message: StockAnnounce | StockPage | StockAnswer,
) -> None:
    whole = encode_control(message)
    for wrong in (*(whole[:end] for end in range(1, len(whole))), whole + b"\0"):
        with pytest.raises(ProtocolError, match="control"):
            decode_control(wrong)


@pytest.mark.parametrize("kind", [6, 7, 8])
def test_more_keys_than_allowed_are_refused(kind: int) -> None:
    with pytest.raises(ProtocolError, match="control"):
        decode_control(struct.pack("!BIB", kind, 1, MAX_KEYS + 1) + bytes(2000))


@pytest.mark.parametrize(
    ("after", "until", "numbers"),
    [
        (0, 9, (2, 1)),
        (0, 9, (1, 1)),
        (0, 9, (10,)),
        (5, 9, (5,)),
        (9, 5, ()),
    ],
)
def test_a_page_out_of_order_is_refused(
    after: int, until: int, numbers: tuple[int, ...]
) -> None:
    page = StockPage(1, UUID(int=after), UUID(int=until), tuple(map(_id, numbers)))
    with pytest.raises(ProtocolError, match="control"):
        decode_control(encode_control(page))


def test_a_holding_that_is_none_is_refused() -> None:
    answer = bytearray(encode_control(StockAnswer(1, 2, 3, (Holding.HELD,))))
    answer[-1] = len(Holding)
    with pytest.raises(ProtocolError, match="control"):
        decode_control(bytes(answer))


@given(st.sampled_from((6, 7, 8)), st.binary(max_size=200))
def test_garbage_is_refused_or_reads_back(kind: int, body: bytes) -> None:
    data = bytes([kind]) + body
    try:
        message = decode_control(data)
    except ProtocolError:
        return
    assert message is not None
    assert encode_control(message) == data


def _id(number: int) -> UUID:
    return UUID(int=number)
