"""Garbage at a live gateway's port: counted, unanswered, and nothing grows."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import lab.flood
import pytest
from lab.flood import write_datagrams
from lab.gateway import PORT, Gateway
from lab.inside import open_socket
from lab.netns import Namespace

from gateway.config.identity_files import load_public_identity
from gateway.crypto.kdf import MAC_SIZE
from gateway.handshake.cookies import NO_MAC, Seal
from gateway.wire.header import HEADER_SIZE, Type, decode_header
from tests.netns.labs import Lab, state, status
from tests.netns.wiretap import Datagram, Wiretap

STRANGER = "192.0.2.9"
COUNT = 400
RATE = 1500.0
"""Datagrams a second: faster than any honest peer, slower than a daemon can count."""

FLOOD = 3000.0
"""Datagrams a second whose answers, all on one socket, would fill its 8 MiB."""

ROOM = 1024
"""KiB that a daemon may grow by while it is shot at: less than what was sent."""


@pytest.fixture(scope="module")
def stranger(shared: Lab) -> Namespace:
    return shared.join_host("s", STRANGER)


@pytest.fixture(scope="module")
def honest(shared: Lab) -> list[Datagram]:
    """Every kind of datagram that two honest gateways exchange, of sessions past."""
    tap = Wiretap(shared.a.namespace)
    try:
        shared.next()
        shared.next()
    finally:
        tap.close()
    # The newest session, and the one before it, would answer an M3 again.
    shared.next()
    shared.next()
    assert len(tap.seen) >= 12
    return tap.seen


@contextlib.contextmanager
def udp(host: Namespace, port: int = 0) -> Iterator[socket.socket]:
    with open_socket(host.name, socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host.address, port))
        yield sock


def memory(end: Gateway) -> int:
    """Return a daemon's resident memory, KiB."""
    assert end.process is not None
    text = Path(f"/proc/{end.process.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0])


def dropped(end: Gateway) -> dict[str, int]:
    found: dict[str, int] = status(end)["dropped"]
    return found


def shoot(
    lab: Lab, host: Namespace, target: Gateway, make: Callable[[int], bytes]
) -> tuple[dict[str, int], list[Datagram]]:
    """Send COUNT datagrams; return the drops by reason, and all that came back."""
    before = dropped(target)
    tap = Wiretap(target.namespace)
    try:
        with udp(host) as sock:
            own = sock.getsockname()
            due = time.monotonic()
            for number in range(COUNT):
                sock.sendto(make(number), (target.namespace.address, PORT))
                due += 1 / RATE
                time.sleep(max(0.0, due - time.monotonic()))
        time.sleep(0.3)
    finally:
        tap.close()
    after = dropped(target)
    counted = {
        reason: count - before.get(reason, 0)
        for reason, count in after.items()
        if count != before.get(reason, 0)
    }
    return counted, [seen for seen in tap.seen if seen.target == own]


def held(datagrams: list[bytes]) -> int:
    """Return how many of COUNT are parts of an M1, which may wait for the others."""
    parts = [decode_header(one).type is Type.INITIATION for one in datagrams]
    return sum(parts[number % len(parts)] for number in range(COUNT))


def garbage(number: int) -> bytes:
    return os.urandom(number * 7 % 1400)


def test_garbage(shared: Lab, stranger: Namespace) -> None:
    for end in shared.ends:
        counted, answers = shoot(shared, stranger, end, garbage)
        assert sum(counted.values()) >= COUNT, counted
        assert answers == []


def test_truncated(shared: Lab, stranger: Namespace, honest: list[Datagram]) -> None:
    def cut(number: int) -> bytes:
        payload = honest[number % len(honest)].payload
        return payload[: number * len(payload) // COUNT]

    for end in shared.ends:
        counted, answers = shoot(shared, stranger, end, cut)
        assert sum(counted.values()) >= COUNT, counted
        assert answers == []


def test_oversized(shared: Lab, stranger: Namespace, honest: list[Datagram]) -> None:
    def lengthen(number: int) -> bytes:
        payload = honest[number % len(honest)].payload
        return payload + os.urandom(1 + number * 150)  # up to 60,000 bytes

    for end in shared.ends:
        counted, answers = shoot(shared, stranger, end, lengthen)
        assert sum(counted.values()) >= COUNT, counted
        assert answers == []


@pytest.mark.parametrize("spoofed", [False, True], ids=["stranger", "peer's address"])
def test_replayed(
    shared: Lab, stranger: Namespace, honest: list[Datagram], spoofed: bool
) -> None:
    """What a peer once sent, again: from elsewhere, and from the peer's own address."""
    for by, end in enumerate(shared.ends):
        peer = shared.ends[1 - by].namespace
        meant = [
            seen.payload
            for seen in honest
            if seen.target == (end.namespace.address, PORT)
        ]
        assert len(meant) >= 6
        counted, answers = shoot(
            shared,
            peer if spoofed else stranger,
            end,
            lambda number, old=meant: old[number % len(old)],  # type: ignore[misc]
        )
        assert sum(counted.values()) >= COUNT - held(meant), counted
        assert set(counted) <= {"unknown session", "replayed"}
        assert answers == []


def test_reflected(shared: Lab, honest: list[Datagram]) -> None:
    """What a gateway sent, back at it from the peer's address."""
    for by, end in enumerate(shared.ends):
        own = [
            seen.payload
            for seen in honest
            if seen.source == (end.namespace.address, PORT)
        ]
        counted, answers = shoot(
            shared,
            shared.ends[1 - by].namespace,
            end,
            lambda number, sent=own: sent[number % len(sent)],  # type: ignore[misc]
        )
        assert sum(counted.values()) >= COUNT, counted
        assert answers == []


def test_bits_flipped(shared: Lab, stranger: Namespace, honest: list[Datagram]) -> None:
    def flip(number: int) -> bytes:
        payload = bytearray(honest[number % len(honest)].payload)
        payload[number * 131 % len(payload)] ^= 1 << number % 8
        return bytes(payload)

    for end in shared.ends:
        counted, answers = shoot(shared, stranger, end, flip)
        parts = held([seen.payload for seen in honest])
        assert sum(counted.values()) >= COUNT - parts, counted
        assert answers == []


@pytest.mark.lossless
def test_traffic_flows_and_nothing_grows(
    shared: Lab, stranger: Namespace, honest: list[Datagram]
) -> None:
    kinds: list[Callable[[int], bytes]] = [
        garbage,
        lambda n: honest[n % len(honest)].payload[: n % 900],
        lambda n: honest[n % len(honest)].payload,
        lambda n: honest[n % len(honest)].payload + os.urandom(n),
    ]
    for kind in kinds:  # whatever is made once is made now
        for end in shared.ends:
            shoot(shared, stranger, end, kind)
    first = shared.newest()
    before = [memory(end) for end in shared.ends]
    with shared.traffic(7.0) as result:
        for kind in kinds:
            for end in shared.ends:
                shoot(shared, stranger, end, kind)
    after = [memory(end) for end in shared.ends]
    assert result["lost"] == 0
    assert shared.newest() > first + 2
    assert [state(end) for end in shared.ends] == ["up", "up"]
    grown = [late - early for early, late in zip(before, after, strict=True)]
    assert max(grown) < ROOM, grown
    assert sum(end.tunnel()["failed_rotations"] for end in shared.ends) == 0


def first_fragment(honest: list[Datagram], end: Gateway) -> bytes:
    """Return the first fragment of the last initiation that an end was sent."""
    return next(
        seen.payload
        for seen in reversed(honest)
        if seen.target == (end.namespace.address, PORT)
        and (header := decode_header(seen.payload)).type is Type.INITIATION
        and header.index == 0
    )


def renamed(fragment: bytes, peer: Gateway) -> list[bytes]:
    """Return it under other session identifiers, to whom a gateway calls."""
    public = load_public_identity(peer.folder / "peer.pub")
    seal = Seal(public)
    heads = [
        fragment[:8] + os.urandom(8) + fragment[HEADER_SIZE : -2 * MAC_SIZE]
        for _ in range(2000)
    ]
    return [head + seal.mac1(head) + NO_MAC for head in heads]


@pytest.mark.lossless
@pytest.mark.parametrize("is_captured", [True, False], ids=["captured", "made"])
def test_strangers_where_nobody_lives(
    shared: Lab,
    stranger: Namespace,
    honest: list[Datagram],
    tmp_path: Path,
    is_captured: bool,
) -> None:
    """First fragments from addresses of our own subnet that no host answers for.

    Each cookie waits for a neighbour that never comes. Those for peers must not.
    """
    hub = shared.b
    captured = first_fragment(honest, hub)
    write_datagrams(
        tmp_path / "fragments",
        [captured] if is_captured else renamed(captured, shared.a),
    )
    reason = "replayed" if is_captured else "cookie"
    before, first = dropped(hub).get(reason, 0), shared.newest()
    with shared.traffic(9.0) as result:
        sender = stranger.spawn(
            [sys.executable, lab.flood.__file__, str(tmp_path / "fragments"),
             hub.namespace.address, str(PORT), "--rate", str(FLOOD), "--seconds", "8",
             "--sources", "192.0.2.0/24", "--avoid", "192.0.2.1,192.0.2.2,192.0.2.9"],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        try:
            said, _ = sender.communicate(timeout=30)
        finally:
            sender.kill()
    for end in shared.ends:
        assert state(end) == "up"
        assert not [line for line in status(end)["warnings"] if "not be sent" in line]
    assert sum(end.tunnel()["failed_rotations"] for end in shared.ends) == 0
    assert shared.newest() >= first + 3
    assert result["lost"] == 0
    # What a busy host did not read in time, the kernel has dropped and counted.
    counted = dropped(hub).get(reason, 0)
    assert int(said) > 4 * FLOOD
    assert counted - before > 4 * RATE
