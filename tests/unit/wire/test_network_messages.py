"""Messages between neighbours: sizes, bounds, and what a hostile peer may send."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ProtocolError
from gateway.wire.control import decode_control, encode_control
from gateway.wire.network import (
    MAX_NEIGHBOURS,
    MAX_PADS,
    NODE_NAME,
    NodeState,
    PadDirection,
    PadStock,
)
from gateway.wire.stock import Holding, StockAnnounce, StockAnswer

NAMES = st.from_regex(NODE_NAME, fullmatch=True).filter(str.isascii)
STATE = NodeState("lux", 7, (("redu", 500), ("sin", 0)))


@given(
    NAMES,
    st.integers(0, 2**64 - 1),
    st.dictionaries(NAMES, st.integers(0, MAX_PADS), max_size=MAX_NEIGHBOURS),
)
def test_states_come_back(node: str, serial: int, pads: dict[str, int]) -> None:
    pads.pop(node, None)
    state = NodeState(node, serial, tuple(pads.items()))
    assert decode_control(encode_control(state)) == state


@pytest.mark.parametrize("direction", PadDirection)
def test_pads_come_back(direction: PadDirection) -> None:
    for message in (StockAnnounce(3), StockAnswer(3, 4, 5, (Holding.HELD,))):
        wrapped = PadStock(direction, message)
        encoded = encode_control(wrapped)
        assert len(encoded) == 2 + len(encode_control(message))
        assert decode_control(encoded) == wrapped


def test_sizes_are_those_of_the_specification() -> None:
    assert len(encode_control(STATE)) == 1 + 8 + 1 + 1 + 3 + (1 + 4 + 4) + (1 + 3 + 4)
    most = tuple((f"{'n' * 29}{i:02}", MAX_PADS) for i in range(MAX_NEIGHBOURS))
    assert len(encode_control(NodeState("x" * 31, 2**64 - 1, most))) == 618


def test_a_state_is_taken_whole_or_not_at_all() -> None:
    encoded = encode_control(STATE)
    for size in range(1, len(encoded)):
        with pytest.raises(ProtocolError):
            decode_control(encoded[:size])
    with pytest.raises(ProtocolError):
        decode_control(encoded + b"\0")


@pytest.mark.parametrize(
    "state",
    [
        NodeState("lux", 1, (("redu", 1), ("redu", 2))),
        NodeState("lux", 1, (("lux", 1),)),
        NodeState("Lux", 1, ()),
        NodeState("", 1, ()),
        NodeState("lux", 1, (("re>du", 1),)),
        NodeState("lux", 1, tuple((f"n{i}", 1) for i in range(MAX_NEIGHBOURS + 1))),
    ],
    ids=["twice", "itself", "case", "empty", "sign", "many"],
)
def test_impossible_states_are_refused(state: NodeState) -> None:
    with pytest.raises(ProtocolError):
        decode_control(encode_control(state))


@given(st.sampled_from([9, 10]), st.binary(max_size=80))
def test_noise_is_read_or_refused(kind: int, noise: bytes) -> None:
    try:
        message = decode_control(bytes([kind]) + noise)
    except ProtocolError:
        return
    assert message is not None
    assert encode_control(message) == bytes([kind]) + noise


def test_only_messages_about_stock_are_about_pads() -> None:
    ping = struct.pack("!BI", 1, 5)
    for direction, inner in ((2, encode_control(StockAnnounce(1))), (0, ping)):
        with pytest.raises(ProtocolError):
            decode_control(bytes([9, direction]) + inner)
    nested = encode_control(PadStock(PadDirection.FROM_INITIATOR, StockAnnounce(1)))
    with pytest.raises(ProtocolError):
        decode_control(bytes([9, 0]) + nested)
