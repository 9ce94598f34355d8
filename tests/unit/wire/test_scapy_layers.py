"""The Scapy layers against real datagrams and a real machine."""

import subprocess
import sys

import pytest
from scapy.layers.inet import IP, UDP
from scapy.packet import Padding, Raw

from gateway.handshake.cookies import Seal
from gateway.wire.control import Ping
from gateway.wire.header import Type
from gateway.wire.scapy import (
    LAYERS,
    PORT,
    QGW,
    Commit,
    Control,
    CookieReply,
    Initiation,
    Response,
    bind_port,
    release_port,
)
from tests.unit.handshake.pair import TUNNEL, Pair, kind_of


def conversation(suite_id: int) -> list[bytes]:
    """Return real datagrams of every type."""
    pair = Pair(suite_id)
    pair.b.machine._responder._admission._load._until = pair.now + 1
    pair.start()
    first = pair.sent(pair.a)
    pair.deliver(pair.b, first)
    cookies = pair.sent(pair.b)
    pair.deliver(pair.a, cookies)
    second = pair.sent(pair.a)
    pair.deliver(pair.b, second)
    m2 = pair.sent(pair.b)
    pair.deliver(pair.a, m2)
    m3 = pair.sent(pair.a)
    pair.deliver(pair.b, m3)
    m4 = pair.sent(pair.b)
    pair.deliver(pair.a, m4)
    pair.a.machine.send_control(TUNNEL, Ping(1))
    return [*first, *cookies, *second, *m2, *m3, *m4, *pair.sent(pair.a)]


@pytest.mark.parametrize("suite_id", [1, 2])
def test_real_datagrams_are_dissected_and_built_again(suite_id: int) -> None:
    datagrams = conversation(suite_id)
    assert {kind_of(data) for data in datagrams} == set(Type)
    for data in datagrams:
        packet = QGW(data)
        assert isinstance(packet.payload, LAYERS[kind_of(data)])
        assert not packet.haslayer(Raw)
        assert not packet.haslayer(Padding)
        assert packet.session_id == data[8:16]
        assert (packet.index, packet.count) == (data[6], data[7])
        packet.clear_cache()
        assert packet.build() == data


def test_fields_are_where_the_machine_has_them() -> None:
    by_kind = {kind_of(data): (data, QGW(data)) for data in conversation(1)}
    data, packet = by_kind[Type.INITIATION]
    assert packet[Initiation].body == data[16:-32]
    assert packet[Initiation].mac1 == data[-32:-16]
    assert packet[Initiation].mac2 == data[-16:] != bytes(16)
    data, packet = by_kind[Type.RESPONSE]
    assert packet[Response].body == data[16:-16]
    data, packet = by_kind[Type.COOKIE_REPLY]
    assert packet[CookieReply].salt == data[16:32]
    data, packet = by_kind[Type.CONTROL]
    assert packet[Control].counter == 0
    assert packet[Control].sealed == data[24:-16]
    assert "control" in packet.summary() or "Control" in packet.summary()


def test_port_is_bound_only_when_asked() -> None:
    (data, *_) = conversation(1)
    wire = bytes(IP(dst="192.0.2.1") / UDP(sport=9, dport=PORT) / data)
    assert not IP(wire).haslayer(QGW)
    bind_port()
    try:
        assert IP(wire)[Initiation].mac1 == data[-32:-16]
    finally:
        release_port()
    assert not IP(wire).haslayer(QGW)


def test_crafted_initiation_is_accepted_only_with_the_right_mac1() -> None:
    """M1 taken apart and put together by Scapy, in other fragments than it came in."""
    pair = Pair()
    pair.start()
    m1 = [QGW(data) for data in pair.sent(pair.a)]
    message = b"".join(packet[Initiation].body for packet in m1)
    seal = Seal(pair.london.public)
    parts = [message[i : i + 700] for i in range(0, len(message), 700)]
    for right in (False, True):
        for index, body in enumerate(parts):
            header = QGW(
                type=Type.INITIATION,
                index=index,
                count=len(parts),
                session_id=m1[0].session_id,
            )
            start = header.build() + body
            mac1 = seal.mac1(start) if right else bytes(16)
            crafted = header / Initiation(body=body, mac1=mac1)
            pair.deliver(pair.b, [crafted.build()])
        assert pair.b.machine.dropped() == {"mac1": len(parts)}
    pair.pump()
    pair.assert_agreed(1)


def test_crafted_forgeries_are_dropped_by_name() -> None:
    pair = Pair()
    pair.handshake()
    session = pair.b.machine._core.tunnels[TUNNEL].current
    assert session is not None
    ident = session.local_id
    forgeries = {
        "marker": QGW(marker=1) / Commit(),
        "version": QGW(version=2) / Commit(),
        "type": QGW(type=9) / Commit(),
        "size": QGW(type=Type.COMMIT) / Raw(bytes(17)),
        "fragment": QGW(type=Type.COMMIT, count=2) / Commit(),
        "unknown session": QGW(type=Type.COMMIT) / Commit(),
        "unexpected": QGW(type=Type.COMMIT, session_id=ident) / Commit(),
        "authentication": QGW(session_id=ident) / Control(counter=5, sealed=b"x"),
    }
    for reason, packet in forgeries.items():
        before = pair.b.machine.dropped().get(reason, 0)
        pair.deliver(pair.b, [packet.build()])
        assert pair.b.machine.dropped().get(reason, 0) == before + 1, reason
    assert pair.sent(pair.b) == []


@pytest.mark.parametrize("size", range(80))
def test_short_datagrams_do_not_break_dissection(size: int) -> None:
    """Inside UDP, where Scapy shows as raw bytes what a layer cannot read."""
    bind_port()
    try:
        for kind in range(8):
            data = (bytes([0, 0, 0, 0, 1, kind, 0, 1]) + bytes(72))[:size]
            wire = bytes(IP(dst="192.0.2.1") / UDP(sport=9, dport=PORT) / data)
            packet = IP(wire)
            assert packet.haslayer(QGW) or size < 16
            assert bytes(packet) == wire
    finally:
        release_port()


def test_daemon_does_not_load_scapy() -> None:
    code = (
        "import sys, gateway.handshake.machine\n"
        "print([name for name in sys.modules if name.startswith('scapy')])"
    )
    done = subprocess.run(  # noqa: S603  # our own interpreter
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
