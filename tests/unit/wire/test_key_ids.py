"""key_IDs of any form: as they came, in a store, an offer and an announcement."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ProtocolError
from gateway.wire.control import decode_control, encode_control
from gateway.wire.key_ids import (
    MAX_KEY_ID_TEXT,
    NamedKeyID,
    is_uuid,
    key_id_of,
    key_id_text,
    parse_key_id,
)
from gateway.wire.payloads import (
    INITIATION_PAYLOAD_SIZE,
    InitiationPayload,
    PlaneKind,
    Policy,
    Terms,
    decode_initiation,
    encode_initiation,
    keys_that_fit,
)
from gateway.wire.stock import Announced, StockAnnounce, decode_stock, how_many_fit

ID = "6f1b3a3e-7f5c-4b2e-9d0a-2f5b8c1d4e6f"
TEXTS = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E),
    min_size=1,
    max_size=MAX_KEY_ID_TEXT,
)
OFFERS = st.lists(TEXTS.map(parse_key_id) | st.uuids(), max_size=8, unique=True)


def named(text: str) -> UUID:
    key_id = parse_key_id(text)
    assert key_id is not None
    return key_id


def offering(*key_ids: UUID) -> InitiationPayload:
    """Make the longest payload that offers them."""
    terms = Terms(Policy.REQUIRED, PlaneKind.ESP, psk=False, encap=False, interval_ms=1)
    return InitiationPayload("t" * 32, 7, terms, None, key_ids, bytes(48))


@given(TEXTS)
def test_a_text_goes_back_as_it_came(text: str) -> None:
    assert key_id_text(named(text)) == text
    assert named(text) == named(text)


@pytest.mark.parametrize("text", [ID.upper(), ID.replace("-", ""), ID.title()])
def test_a_uuid_is_the_same_key_in_each_form(text: str) -> None:
    assert named(text) == UUID(ID)
    assert key_id_text(named(text)) == text
    assert is_uuid(named(text))


def test_the_standard_form_is_a_plain_uuid() -> None:
    assert not isinstance(named(ID), NamedKeyID)
    assert named(ID) == UUID(ID)


def test_other_texts_are_told_apart_and_not_shown() -> None:
    """A text that is no UUID could be anything, and logs show key_IDs."""
    assert len({named("a"), named("A"), named("aa"), named(f"urn:uuid:{ID}")}) == 4
    assert named("key-1").version == 8
    assert "key-1" not in f"{named('key-1')} {named('key-1')!r}"
    # Both ends take the same 16 bytes, of any release.
    assert str(named("key-1")) == "1fe0677a-0dc4-8cce-9b66-310baa497a6f"


@pytest.mark.parametrize(
    "text", [None, 7, "", " ", "a b", "a\n", "\x00", "é", "\x7f", "a" * 129]
)
def test_no_key_id(text: object) -> None:
    assert parse_key_id(text) is None


def test_a_name_that_is_not_that_keys_is_left_out() -> None:
    key_id = named("key-1")
    assert key_id_text(key_id_of(key_id.bytes, "key-1")) == "key-1"
    for text in ("key-2", "a b", None):
        assert key_id_text(key_id_of(key_id.bytes, text)) == str(key_id)


@given(OFFERS)
def test_what_fits_is_offered_as_it_is(offered: list[UUID]) -> None:
    fitting = keys_that_fit(offered)
    assert fitting == tuple(offered[: len(fitting)])
    assert fitting or not offered
    data = encode_initiation(offering(*fitting))
    assert len(data) == INITIATION_PAYLOAD_SIZE
    read = decode_initiation(data).key_ids
    assert [key_id_text(key_id) for key_id in read] == [
        key_id_text(key_id) for key_id in fitting
    ]
    if len(fitting) < len(offered):
        with pytest.raises(ValueError, match="do not fit"):
            encode_initiation(offering(*offered))


def test_offers_of_plain_uuids_are_as_ever() -> None:
    ids = [UUID(int=number) for number in range(1, 9)]
    data = encode_initiation(offering(*ids))
    assert data[115:] == bytes([8]) + b"".join(i.bytes for i in ids) + bytes(12)


@pytest.mark.parametrize(
    "offer",
    [
        bytes([0x80]),
        bytes([0x81, 36]) + ID.encode(),  # a plain UUID, spelt out
        bytes([0x81, 0]),
        bytes([0x81, 1]) + b" ",
        bytes([0x81, 2]) + "é".encode(),
        bytes([0x81, 129]) + b"a" * 129,
        bytes([0x81, 140]),
        bytes([0x82]) + b"\x01a" * 2,
        bytes([0x89]) + b"".join(b"\x01" + b"abcdefghi"[i : i + 1] for i in range(9)),
    ],
)
def test_no_second_way_to_offer(offer: bytes) -> None:
    whole = encode_initiation(offering())
    data = (whole[:115] + offer).ljust(INITIATION_PAYLOAD_SIZE, b"\0")
    with pytest.raises(ProtocolError, match="payload"):
        decode_initiation(data)


@given(OFFERS, st.integers(200, 1400))
def test_announcements_carry_names(key_ids: list[UUID], room: int) -> None:
    keys = [Announced(key_id, key_id.bytes[:4]) for key_id in key_ids]
    count = how_many_fit(keys, room)
    assert count or not keys
    message = StockAnnounce(7, tuple(keys[:count]))
    data = encode_control(message)
    assert len(data) <= room
    read = decode_control(data)
    assert isinstance(read, StockAnnounce)
    assert read == message
    assert [key_id_text(key.key_id) for key in read.keys] == [
        key_id_text(key.key_id) for key in message.keys
    ]


def test_announcements_of_plain_uuids_are_as_ever() -> None:
    keys = [Announced(uuid4(), bytes(4)) for _ in range(99)]
    assert how_many_fit(keys, 1400) == 64
    assert how_many_fit(keys, 1232 - 40) == (1232 - 40 - 6) // 20
    assert encode_control(StockAnnounce(7, tuple(keys[:1])))[0] == 6


def test_every_other_length_of_a_named_announcement_is_refused() -> None:
    keys = (Announced(named("key-1"), b"abcd"), Announced(UUID(ID), b"efgh"))
    whole = encode_control(StockAnnounce(7, keys))
    assert whole[0] == 12
    for wrong in (*(whole[:end] for end in range(1, len(whole))), whole + b"\0"):
        with pytest.raises(ProtocolError, match="control"):
            decode_control(wrong)
    plain = whole[:5] + bytes([1, 36]) + ID.encode() + b"efgh"
    with pytest.raises(ProtocolError, match="control"):
        decode_stock(plain)
