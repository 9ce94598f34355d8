"""What must not pass does not pass, whatever happened before."""

import socket
import threading
import time
from dataclasses import replace

import pytest

from gateway.dataplane.base import EpochInstall
from gateway.dataplane.esp import EspPlane, exempt_socket
from gateway.errors import DataPlaneError
from gateway.host.marks import OUTER_MARK
from tests.kernel.cable import ping
from tests.kernel.esp.sites import Pair, hosts_behind
from tests.kernel.gateways import Site
from tests.kernel.pace import SHORT_LIFETIME, TEST_LIMIT
from tests.kernel.tap import Tap
from tests.kernel.traffic import MARKER, Traffic, packet_arrives

OPEN = 0.3
"""Seconds for packets to pass, or not to."""

pytestmark = [pytest.mark.esp, pytest.mark.netns, pytest.mark.timeout(TEST_LIMIT)]


def test_before_the_first_epoch_nothing_leaves(pair: Pair) -> None:
    with Tap(pair) as tap:
        for target in (pair.far.inner, "10.9.0.2"):
            for source in ("", pair.near.inner, pair.near.outer):
                pair.expect_closed(target, source)
        pair.prepare()
        pair.expect_closed()
    assert (tap.leaks, tap.esp, tap.udp) == (0, 0, 0)


def test_a_host_behind_the_gateway_gets_nothing_out_in_clear(pair: Pair) -> None:
    # As if somebody had pointed the prefix at the bare cable.
    pair.near.ip("route", "replace", "10.2.0.0/24", "via", pair.far.outer)
    with hosts_behind(pair) as (host, address), Tap(pair) as tap:
        assert not ping(host, address)
    assert tap.protocols[socket.IPPROTO_ICMP] == 0


def test_clear_text_that_claims_to_come_from_the_peer_is_refused(pair: Pair) -> None:
    pair.rotate()
    # The far end turns attacker: no policies, and routes straight to the cable.
    pair.far.call(pair.far.plane.remove_tunnel, "paris")
    pair.far.ip("route", "add", "10.1.0.0/24", "via", pair.near.outer)
    with Tap(pair) as tap:
        assert not packet_arrives(pair.far, pair.near, pair.far.inner)
    assert tap.leaks == 1  # it was sent, and in clear; it was not taken


def test_block_stops_both_ways_at_once(pair: Pair) -> None:
    pair.rotate()
    with Tap(pair) as tap, Traffic(pair) as traffic:
        time.sleep(OPEN)
        for site in pair.sites:
            site.call(site.plane.block, "paris")
        # What was being sent just now may still have passed.
        closed = [sent + 1 for sent in traffic.sent]
        time.sleep(OPEN)
        # What is counted and not sent yet may be sent under the new epoch.
        before = [sent - 1 for sent in traffic.sent]
        refused = list(traffic.refused)
        pair.rotate()
        time.sleep(OPEN)
    for side, seen in enumerate((traffic.seen[1], traffic.seen[0])):
        assert before[side] > closed[side]
        assert not seen & set(range(closed[side], before[side]))
        assert min(seen) < closed[side]
        assert max(seen) > before[side]
        assert bool(refused[side]) != pair.has_interface
    assert tap.leaks == 0


def test_the_kernel_expires_keys_of_a_dead_daemon(pair: Pair) -> None:
    pair.lifetime = SHORT_LIFETIME
    pair.rotate()
    assert packet_arrives(pair.near, pair.far)
    with Tap(pair) as tap:
        time.sleep(SHORT_LIFETIME + 2)
        for _ in range(5):
            assert not packet_arrives(pair.near, pair.far)
            assert not packet_arrives(pair.far, pair.near)
    assert (tap.leaks, tap.esp) == (0, 0)
    for site in pair.sites:
        assert site.ip("xfrm", "state") == ""
        state = site.read_state()
        assert (state.blocked, state.epochs) == (True, ())
    pair.lifetime = 360
    pair.rotate()
    assert packet_arrives(pair.near, pair.far)


def test_a_listener_for_acquires_does_not_hurt(pair: Pair) -> None:
    """Another key daemon makes the kernel hold larval SAs for what is missing."""
    pair.lifetime = SHORT_LIFETIME // 2
    pair.rotate()

    def listen() -> socket.socket:
        one = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 6)
        one.bind((0, 1))  # XFRMGRP_ACQUIRE
        return one

    with pair.near.call(listen), Tap(pair) as tap:
        time.sleep(pair.lifetime + 2)
        assert not packet_arrives(pair.near, pair.far)
        pair.lifetime = 360
        pair.rotate()
        assert packet_arrives(pair.near, pair.far)
        assert packet_arrives(pair.far, pair.near)
    assert tap.leaks == 0


def test_wrong_keys_count_for_nothing(pair: Pair) -> None:
    pair.prepare(unequal=True)
    pair.activate()
    assert not packet_arrives(pair.near, pair.far)
    for site in pair.sites:
        (epoch,) = site.poll().epochs
        assert (epoch.packets_in, epoch.received) == (0, False)
        assert epoch.packets_out > 0


def test_retiring_what_is_in_force_blocks(pair: Pair) -> None:
    pair.rotate()
    pair.retire(1)
    with Tap(pair) as tap:
        pair.expect_closed()
    assert pair.near.read_state().blocked
    assert tap.leaks == 0


def test_a_repeat_never_starts_counters_again(pair: Pair) -> None:
    pair.rotate()
    assert packet_arrives(pair.near, pair.far)
    (before,) = pair.near.read_state().epochs
    for site, install in pair.installs:
        site.call(site.plane.prepare, install)
    pair.activate()
    (after,) = pair.near.read_state().epochs
    assert after.packets_out >= before.packets_out > 0
    assert packet_arrives(pair.near, pair.far)


def test_a_refused_epoch_leaves_the_one_in_force(pair: Pair) -> None:
    pair.rotate()
    site, install = pair.installs[0]
    bad = [
        {"peer_offer": b"\0\0\0\1"},
        {"peer_offer": b"12345"},
        {"peer_address": ("2001:db8::1", 1)},
        # SPIs that the kernel has under the same address: only one SA is added.
        {"local_offer": b"\0\0\2\2", "peer_offer": install.peer_offer},
    ]
    for changes in bad:
        with pytest.raises(DataPlaneError):
            site.call(prepare_changed, site, install, changes)
    assert len(site.ip("xfrm", "state").split("src ")) == 3
    assert packet_arrives(pair.near, pair.far)


def prepare_changed(
    site: Site[EspPlane], install: EpochInstall, changes: dict[str, object]
) -> None:
    site.plane.prepare(replace(install, epoch=2, **changes))  # type: ignore[arg-type]  # any field may be wrong


def test_tcp_of_full_size_flows(pair: Pair) -> None:
    """Path MTU and segment sizes fit: megabytes pass, without one fragment lost."""
    pair.rotate()
    blob = MARKER * 40_000

    def listen() -> socket.socket:
        one = socket.create_server((pair.far.inner, 4001))
        one.settimeout(10)
        return one

    def connect() -> socket.socket:
        return socket.create_connection((pair.far.inner, 4001), timeout=10)

    with (
        Tap(pair) as tap,
        pair.far.call(listen) as server,
        pair.near.call(connect) as client,
    ):
        accepted, _ = server.accept()
        sender = threading.Thread(target=client.sendall, args=(blob,))
        sender.start()
        received = 0
        accepted.settimeout(10)
        while received < len(blob):
            received += len(accepted.recv(65536))
        sender.join(timeout=10)
        accepted.close()
    assert received == len(blob)
    assert tap.leaks == 0


def test_only_exempt_sockets_reach_a_peer_inside_its_own_prefix(pair: Pair) -> None:
    """The control channel never runs inside the tunnel it keys."""
    for site, peer in (pair.sites, pair.sites[::-1]):
        spec = replace(site.spec, remote_subnets=(f"{peer.outer}/32",))
        site.call(site.plane.update_tunnel, spec)

    def make(site: Site[EspPlane]) -> socket.socket:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, OUTER_MARK)
        one.bind((site.outer, 51810))
        one.settimeout(0.3)
        return one

    with pair.near.call(make, pair.near) as near, pair.far.call(make, pair.far) as far:
        if not pair.has_interface:
            with pytest.raises(PermissionError):
                near.sendto(b"hello", far.getsockname())
        exempt_socket(near)
        near.sendto(b"hello", far.getsockname())
        with pytest.raises(TimeoutError):
            far.recv(16)
        exempt_socket(far)
        near.sendto(b"hello", far.getsockname())
        assert far.recv(16) == b"hello"
        pair.rotate()
        far.sendto(b"again", near.getsockname())
        assert near.recv(16) == b"again"


def test_an_unmarked_socket_does_not_reach_a_peer_inside_its_own_prefix(
    pair: Pair,
) -> None:
    for site, peer in (pair.sites, pair.sites[::-1]):
        spec = replace(site.spec, remote_subnets=(f"{peer.outer}/32",))
        site.call(site.plane.update_tunnel, spec)
    with Tap(pair) as tap:
        pair.expect_closed(pair.far.outer)
    assert tap.leaks == 0


def test_without_its_interface_the_prefix_is_refused(pair: Pair) -> None:
    """And not sent by the default route."""
    pair.rotate()
    kind = "xfrm if_id 0x51570007" if pair.has_interface else "dummy"
    assert kind in pair.near.ip("-d", "link", "show", "qgw-paris")
    pair.near.ip("route", "add", "default", "via", pair.far.outer)
    for site in pair.sites:
        site.call(site.plane.block, "paris")
    pair.near.ip("link", "delete", "qgw-paris")
    with Tap(pair) as tap:
        assert not pair.near.send_once(pair.far.inner, pair.near.inner)
    assert (tap.leaks, tap.esp) == (0, 0)
