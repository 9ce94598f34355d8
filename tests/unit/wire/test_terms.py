"""The terms in both payloads: what each end tells of its configuration."""

import pytest

from gateway.errors import ProtocolError
from gateway.wire.payloads import (
    INITIATION_PAYLOAD_SIZE,
    InitiationPayload,
    PlaneKind,
    Policy,
    Terms,
    decode_initiation,
    encode_initiation,
)

WHERE = 7
"""Where `qkd_every` stands in a payload."""


def payload(every: int) -> InitiationPayload:
    terms = Terms(Policy.REQUIRED, PlaneKind.ESP, True, False, 120_000, every)
    return InitiationPayload("paris", 1, terms, None, (), b"offer")


@pytest.mark.parametrize("every", [1, 30, 0xFFFF])
def test_qkd_every_travels(every: int) -> None:
    data = encode_initiation(payload(every))
    assert len(data) == INITIATION_PAYLOAD_SIZE
    assert data[WHERE : WHERE + 2] == every.to_bytes(2)
    assert decode_initiation(data).terms.qkd_every == every


def test_every_zeroth_epoch_is_malformed() -> None:
    data = bytearray(encode_initiation(payload(1)))
    data[WHERE : WHERE + 2] = bytes(2)
    with pytest.raises(ProtocolError, match="payload"):
        decode_initiation(bytes(data))
