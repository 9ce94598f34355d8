"""Datagrams from strangers, and what peers seal into them."""

from collections.abc import Iterator

from gateway.crypto.kdf import MAC_SIZE
from gateway.errors import ProtocolError
from gateway.handshake.limits import MAX_HALF_OPEN
from gateway.wire.control import InForce, Ping, decode_control, encode_control
from gateway.wire.header import (
    MAX_MESSAGE_SIZE,
    MAX_MTU,
    Type,
    decode_header,
    encode_header,
)
from gateway.wire.payloads import (
    decode_initiation,
    decode_response,
    encode_initiation,
    encode_response,
)
from tests.fuzz.target import Choices, Target
from tests.unit.handshake.pair import STRANGER, TUNNEL, Pair
from tests.unit.handshake.strangers import remake_mac1, remake_macs
from tests.unit.handshake.test_tampering import REASONS


def read_header(data: bytes) -> None:
    header = decode_header(data)
    again = encode_header(header.type, header.session_id, header.index, header.count)
    assert again == data[: len(again)]


def read_initiation(data: bytes) -> None:
    assert encode_initiation(decode_initiation(data)) == data


def read_response(data: bytes) -> None:
    assert encode_response(decode_response(data)) == data


def read_control(data: bytes) -> None:
    """Insist that a message has one encoding, and that ours decodes to it."""
    message = decode_control(data)
    if message is not None:
        assert encode_control(message) == data


def receive(data: bytes) -> None:
    """Give datagrams with the right mac1 to both ends, the initiator's M1 being out.

    Nothing is committed, little is kept, and no more is sent than came.
    """
    pair = Pair()
    pair.start()
    pair.sent(pair.a)
    (mine,) = pair.a.machine._core.holders
    choices = Choices(data)
    balance = 0
    while choices:
        datagram = choices.take(choices.number(2) % (MAX_MTU + 2))
        # What starts as an answer to the initiator's own M1 is one.
        answer = datagram[:8] + mine + datagram[16:]
        for end, whole in (
            (pair.a, datagram),
            (pair.a, answer),
            (pair.b, datagram),
            (pair.b, mac_for(pair, datagram)),
            (pair.a, mac_for(pair, answer)),
        ):
            end.machine.receive_datagram(whole, STRANGER, now=pair.now)
            balance += len(whole) - sum(map(len, pair.sent(end)))
            assert balance >= 0
    for end in (pair.a, pair.b):
        assert end.machine.dropped().keys() <= REASONS
        assert end.machine.committed(TUNNEL) == 0
        core = end.machine._core
        assert len(core.holders) <= 1 + MAX_HALF_OPEN
        held = core.initiations._assemblies | core.responses._assemblies
        assert all(one.size <= MAX_MESSAGE_SIZE for one in held.values())


def mac_for(pair: Pair, datagram: bytes) -> bytes:
    """Make a datagram's mac1 right, as whoever knows the public identities can."""
    if len(datagram) <= 2 * MAC_SIZE:
        return datagram
    if datagram[5:6] == bytes([Type.INITIATION]):
        return remake_macs(datagram, pair.london.public)
    return remake_mac1(datagram, pair.paris.public)


READERS = (read_header, read_initiation, read_response, read_control, receive)


def run(data: bytes) -> None:
    reader = READERS[data[0] % len(READERS)] if data else read_header
    try:
        reader(data[1:])
    except ProtocolError as error:
        assert error.reason in REASONS


def seeds() -> Iterator[bytes]:
    pair = Pair(keys=2)
    messages = pair.messages()
    sealed = pair.a.machine
    sealed.send_control(TUNNEL, Ping(3))
    sealed.send_control(TUNNEL, InForce(1, echo=False))
    datagrams = [*messages.m1, *messages.m2, *messages.m3, *messages.m4]
    datagrams += pair.sent(pair.a)
    for datagram in datagrams:
        yield b"\0" + datagram
        yield b"\4" + len(datagram).to_bytes(2) + datagram
    yield b"\4" + b"".join(len(one).to_bytes(2) + one for one in messages.m1)
    for plaintext in PLAINTEXTS:
        yield b"\3" + plaintext
    yield b"\1" + INITIATION
    yield b"\2" + RESPONSE


def _terms(flags: int) -> bytes:
    return bytes([1, 1, flags, 0, 1, 0xD4, 0xC0, 0, 1])


INITIATION = (
    _terms(4) + (7).to_bytes(8) + b"c" * 16 + b"\5paris" + b"\3abc" + b"\1" + b"k" * 16
).ljust(256, b"\0")

RESPONSE = (
    _terms(12) + b"\0" + b"session_" + (6).to_bytes(8) + b"k" * 16 + b"\2" + b"\3abc"
).ljust(112, b"\0")

PLAINTEXTS = (
    bytes([1, 0, 0, 0, 3]),
    bytes([3, 0, 0, 0, 0, 0, 0, 0, 9, 1]),
    bytes([4, 1]),
    bytes([5, 1]),
    bytes([6, 0, 0, 0, 1, 1]) + b"k" * 20,
    bytes([7, 0, 0, 0, 1, 1]) + b"\0" * 16 + b"\xff" * 16 + b"k" * 16,
    bytes([8, 0, 0, 0, 1, 2]) + b"r" * 8 + b"\0\0\0\2" + b"\1\2",
    bytes([9, 1, 6, 0, 0, 0, 1, 1]) + b"k" * 20,
    bytes([10]) + (4).to_bytes(8) + b"\1\5" + b"paris" + b"\6london" + b"\0\0\0\7",
)

TARGET = Target(
    "datagrams: one encoding of each, nothing believed, documented reasons alone",
    run,
    seeds,
    4096,
    (b"\0\0\0\0\1\1", b"\0\0\0\0\1\2", b"\0\0\0\0\1\5", b"\0\0\0\0\1\6", b"paris"),
)
