from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RelayError, RelayFault
from gateway.relay.hop import MAX_AUTHENTICATED_SIZE
from gateway.relay.messages import (
    MAX_BATCH,
    MAX_KEYS_SIZE,
    MAX_NODES,
    Outcome,
    RelayAnswer,
    RelayKeys,
    decode_message,
    encode_answer,
    encode_keys,
)
from tests.unit.relay.bench import Network

NAMES = st.from_regex(r"[a-z0-9][a-z0-9-]{0,30}", fullmatch=True)


@st.composite
def batches(draw: st.DrawFn) -> RelayKeys:
    route = draw(st.lists(NAMES, min_size=2, max_size=MAX_NODES, unique=True))
    count = draw(st.integers(1, 5))
    paths = draw(st.integers(1, 8))
    mac_id, answer_id = draw(st.lists(st.uuids(), min_size=2, max_size=2, unique=True))
    return RelayKeys(
        draw(st.uuids()),
        draw(st.integers(0, paths - 1)),
        paths,
        draw(st.integers(0, len(route) - 2)),
        tuple(route),
        mac_id,
        answer_id,
        tuple(draw(st.binary(min_size=4, max_size=4)) for _ in range(count)),
        draw(st.binary(min_size=32 * count, max_size=32 * count)),
        draw(st.binary(min_size=16, max_size=16)),
    )


ANSWERS = st.builds(
    RelayAnswer,
    st.uuids(),
    st.integers(0, 7),
    st.sampled_from(Outcome),
    NAMES,
    st.just(True),
    st.binary(min_size=16, max_size=16),
)


@given(batches())
def test_batches_come_back(message: RelayKeys) -> None:
    assert decode_message(encode_keys(message)) == message


@given(ANSWERS)
def test_answers_come_back(answer: RelayAnswer) -> None:
    assert decode_message(encode_answer(answer)) == answer


@given(batches(), st.data())
def test_every_other_length_is_malformed(
    message: RelayKeys, data: st.DataObject
) -> None:
    encoded = encode_keys(message)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    for wrong in (encoded[:cut], encoded + b"\0"):
        with pytest.raises(RelayError) as caught:
            decode_message(wrong)
        assert caught.value.fault is RelayFault.MALFORMED


@given(st.binary(max_size=200), st.sampled_from([b"", b"\1\1", b"\1\2", b"\1\3"]))
def test_anything_else_raises_only_what_is_documented(data: bytes, head: bytes) -> None:
    faults: list[RelayFault] = []
    encoded = head + data
    again = encoded
    try:
        message = decode_message(encoded)
        again = (
            encode_keys(message)
            if isinstance(message, RelayKeys)
            else encode_answer(message)
        )
    except RelayError as error:
        faults.append(error.fault)
    assert again == encoded
    assert set(faults) <= {RelayFault.MALFORMED, RelayFault.LOOP}


def test_a_loop_in_a_message_is_named() -> None:
    route = ("a", "b", "a")
    message = RelayKeys(
        UUID(int=1), 0, 1, 0, route, UUID(int=2), UUID(int=3), (b"tags",), bytes(32)
    )
    with pytest.raises(RelayError) as caught:
        decode_message(encode_keys(message))
    assert caught.value.fault is RelayFault.LOOP
    same = replace(message, route=("a", "b"), answer_id=message.mac_id)
    with pytest.raises(RelayError) as caught:
        decode_message(encode_keys(same))
    assert caught.value.fault is RelayFault.MALFORMED


def test_forgery_stays_below_what_is_stated() -> None:
    assert 8 * -(-MAX_AUTHENTICATED_SIZE // 16) * 2**94 <= 2**106


def test_largest_batch_fits_and_its_overhead_is_small() -> None:
    route = tuple("abcdefgh"[i] * 31 for i in range(MAX_NODES))
    message = RelayKeys(
        UUID(int=1),
        0,
        1,
        0,
        route,
        UUID(int=2),
        UUID(int=3),
        tuple(bytes([i] * 4) for i in range(MAX_BATCH)),
        bytes(32 * MAX_BATCH),
    )
    encoded = encode_keys(message)
    assert len(encoded) == MAX_KEYS_SIZE
    assert decode_message(encoded) == message
    assert len(encoded) <= 1.25 * 32 * MAX_BATCH


def test_overhead_of_a_batch_with_its_answer_is_at_most_a_quarter(
    chain: Network,
) -> None:
    chain.fill(66)
    chain.start(("redu", "lux", "sin"), count=64)
    chain.run()
    payload = 64 * 32 * 2  # two hops
    assert sum(len(data) for _, _, data in chain.sent) <= 1.25 * payload
