"""Grants that end, tables that change: never a gap, never a packet too many."""

import itertools
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from gateway.dataplane.fence.base import FencedTunnel, FencePlan, Passage
from gateway.dataplane.fence.nft.fence import NftFence
from gateway.errors import DataPlaneError, PlaneConflictError
from tests.kernel.fence.place import (
    DEVICE,
    NAME,
    PATIENCE,
    PLAN,
    PORT,
    REMOTE,
    TUNNEL,
    Place,
    turnless,
)

WIDE = FencedTunnel(NAME, ("10.2.0.0/15", "fd00:2::/32"), ("10.3.7.0/24",))
OTHER = FencedTunnel("a-c", ("10.4.0.0/16", "192.168.0.0/16"))


class Stream:
    """Packets sent all the time by the LAN's host, and where each arrived."""

    def __init__(self, place: Place, version: int) -> None:
        self._place, self._version = place, version
        self._stop = threading.Event()
        self.sent = 0
        self.arrived: dict[str, int] = {"far": 0, "wan": 0}
        self._threads = [threading.Thread(target=self._send)] + [
            threading.Thread(target=self._count, args=(host,)) for host in self.arrived
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        with self._place.sender("lan", self._version) as sock:
            sock.connect((REMOTE[self._version], 4000))
            while not self._stop.is_set():
                sock.send(b"packet")
                self.sent += 1
                # Some thousand a second, and room for what changes the table.
                time.sleep(0.0002)

    def _count(self, host: str) -> None:
        sock = self._place.sockets[host, self._version]
        sock.settimeout(PATIENCE)
        while True:
            try:
                sock.recv(2048)
            except TimeoutError:
                if self._stop.is_set():
                    return
                continue
            self.arrived[host] += 1


@contextmanager
def stream(place: Place, version: int = 4) -> Iterator[Stream]:
    running = Stream(place, version)
    running.start()
    try:
        yield running
    finally:
        running.stop()


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("seconds", [0.4, 1.0])
def test_a_grant_ends_to_the_tenth_of_a_second(
    place: Place, fence: NftFence, version: int, seconds: float
) -> None:
    passed, refused = 0, 0
    with place.sender("gateway", version) as sock:
        sock.connect((REMOTE[version], PORT))
        asked = time.monotonic()
        fence.grant(NAME, DEVICE, seconds)
        granted = time.monotonic()
        fence.close()  # as if every process of ours were dead
        while (before := time.monotonic()) < granted + seconds + 0.3:
            try:
                sock.send(b"packet")
            except PermissionError:
                refused += 1
                assert time.monotonic() > asked + seconds - 0.1, "it ended early"
            else:
                passed += 1
                assert before < granted + seconds + 0.1, "it ended late"
            time.sleep(0.001)
    assert passed > 1
    assert refused > 1
    assert place.received(b"packet", version) == {"far"}


@pytest.mark.lossless
@pytest.mark.parametrize("owned", [True, False])
def test_renewals_lose_nothing(place: Place, *, owned: bool) -> None:
    fence = place.fence(owned=owned)
    fence.load(PLAN)
    place.divert()
    place.ip("gateway", "route del 10.2.0.10/32")
    fence.grant(NAME, DEVICE, 30)
    with stream(place) as packets:
        for turn in range(150):
            fence.grant(NAME, DEVICE, 1 + turn % 5)
            time.sleep(0.01)
    assert packets.sent > 500
    assert packets.arrived == {"far": packets.sent, "wan": 0}
    fence.close()


def test_a_renewal_after_the_end_passes_again(place: Place, fence: NftFence) -> None:
    for _ in range(3):
        fence.grant(NAME, DEVICE, 0.1)
        assert place.arrivals("gateway", REMOTE[4]) == {"far"}
        time.sleep(0.2)
        assert place.arrivals("gateway", REMOTE[4]) == {"refused"}


def test_renewals_that_meet_the_end_pass(place: Place, fence: NftFence) -> None:
    for wait in (0.10, 0.14, 0.148, 0.152, 0.16, 0.2):
        fence.grant(NAME, DEVICE, 0.15)
        time.sleep(wait)
        fence.grant(NAME, DEVICE, 20)
        time.sleep(0.1)
        assert place.arrivals("gateway", REMOTE[4]) == {"far"}, wait


def test_an_older_kernel_renews_by_removing_and_adding(
    place: Place, fence: NftFence
) -> None:
    fence._renewal.refreshes = False
    fence.grant(NAME, DEVICE, 30)
    for wait in (0.10, 0.148, 0.152, 0.2):
        fence.grant(NAME, DEVICE, 0.15)
        time.sleep(wait)
        fence.grant(NAME, DEVICE, 20)
        time.sleep(0.1)
        assert place.arrivals("gateway", REMOTE[4]) == {"far"}, wait
    assert 0.15 < fence.read().tunnels[NAME].granted < 20


@pytest.mark.older
@pytest.mark.lossless
def test_reloads_lose_nothing_and_keep_grants(place: Place, fence: NftFence) -> None:
    fence.grant(NAME, DEVICE, 300)
    plans = itertools.cycle(
        [
            (FencePlan((TUNNEL, OTHER), ("10.2.7.0/24",), (51810,)), PLAN),
            (FencePlan((WIDE, OTHER), (), (51810, 51811)), None),
            (FencePlan((OTHER, WIDE), ("10.2.1.0/24",), (51810,)), None),
            (PLAN, FencePlan((WIDE, OTHER))),
            (PLAN, None),
        ]
    )
    place.nft("add table inet others")
    with stream(place) as packets:
        for _ in range(60):
            plan, before = next(plans)
            fence.load(plan, before)
            time.sleep(0.01)
    assert packets.sent > 300
    assert packets.arrived == {"far": packets.sent, "wan": 0}
    assert 200 < fence.read().tunnels[NAME].granted < 300


@pytest.mark.older
@pytest.mark.parametrize("version", [4, 6])
def test_no_change_lets_a_packet_slip_through(place: Place, version: int) -> None:
    place.divert()
    fence = place.fence()
    fence.load(PLAN)
    plans = itertools.cycle([FencePlan((WIDE, OTHER)), PLAN, FencePlan((OTHER, WIDE))])
    with stream(place, version) as packets:
        for turn in range(40):
            fence.load(next(plans))
            fence.grant(NAME, DEVICE, 5)
            if turn % 4 == 0:
                # A daemon that dies and starts.
                fence.close()
                fence = place.fence()
                fence.load(next(plans), PLAN)
    assert packets.sent > 100
    assert packets.arrived == {"far": 0, "wan": 0}
    fence.close()


def test_a_new_prefix_passes_as_the_old_ones_do(place: Place, fence: NftFence) -> None:
    narrow = FencedTunnel(NAME, ("10.2.7.0/24",))
    fence.load(FencePlan((narrow,)))
    fence.grant(NAME, DEVICE, 30)
    fence.load(PLAN, FencePlan((narrow,)))
    assert place.arrivals("gateway", REMOTE[4]) == {"far"}
    assert fence.read().tunnels[NAME].granted > 29


def test_a_prefix_that_moves_takes_no_grant_along(
    place: Place, fence: NftFence
) -> None:
    fence.grant(NAME, DEVICE, 30)
    new = FencePlan((FencedTunnel("a-c", ("10.2.0.0/16",)),))
    fence.load(new, PLAN)
    assert place.arrivals("gateway", REMOTE[4]) == {"refused"}
    assert place.arrivals("gateway", REMOTE[6]) == {"far"}
    fence.load(new)
    assert place.arrivals("gateway", REMOTE[4]) == {"refused"}
    fence.grant("a-c", DEVICE, 30)
    assert place.arrivals("gateway", REMOTE[4]) == {"far"}


def test_a_tunnel_that_is_removed_is_fenced_no_more(
    place: Place, fence: NftFence
) -> None:
    place.divert()
    fence.grant(NAME, DEVICE, 30)
    fence.load(FencePlan((OTHER,)))
    assert place.arrivals("gateway", REMOTE[4]) == {"wan"}
    assert NAME not in place.listing()
    assert set(fence.read().tunnels) == {"a-c"}


@pytest.mark.lossless
def test_a_daemon_that_starts_again_keeps_what_passes(place: Place) -> None:
    passage = Passage(("tun0", "qgw9"), 0x5157_0001)
    first = place.fence()
    first.load(PLAN)
    first.grant(NAME, passage, 30)
    listed = place.listing()
    first.close()
    second = place.fence()
    with stream(place) as packets:
        second.load(PLAN, PLAN)
        time.sleep(0.05)
    assert packets.arrived == {"far": packets.sent, "wan": 0}
    assert 25 < second.read().tunnels[NAME].granted < 30
    assert second.repair(touched=True) is False
    assert timeless(place.listing()) == timeless(listed)
    second.close()


def test_two_daemons_do_not_share_a_table(place: Place, fence: NftFence) -> None:
    if "flags owner" not in place.listing():
        pytest.skip("this kernel's tables have no owners: needs Linux 6.9")
    second = place.fence()
    for act in (partial(second.load, PLAN), second.remove):
        with pytest.raises(PlaneConflictError, match="another process"):
            act()
    second.close()
    assert fence.repair(touched=True) is False


def test_a_table_of_another_make_is_replaced(place: Place) -> None:
    place.nft("add table inet qgw { flags dormant; }")
    place.nft("add chain inet qgw outward { type filter hook input priority 7; }")
    place.nft("add set inet qgw out4 { type inet_service; }")
    fence = place.fence()
    fence.load(PLAN)
    place.divert()
    assert place.arrivals("gateway", REMOTE[4]) == {"refused"}
    fence.close()


@pytest.mark.parametrize("starts", [True, False], ids=["a start", "a reload"])
def test_a_load_that_was_cut_short_is_done_anew(place: Place, *, starts: bool) -> None:
    fence = place.fence(owned=False)
    fence.load(PLAN)
    # What a process leaves that dies between filling sets and using them.
    kind = "type ipv4_addr; flags interval; counter; elements = { 203.0.113.0/24 };"
    place.nft(f"add set inet qgw out4-b {{ {kind} }}")
    if starts:
        fence.close()
        fence = place.fence(owned=False)
        assert fence.read().tunnels.keys() == {NAME}, "only what rules use is the fence"
    fence.load(FencePlan((WIDE, OTHER)))
    listed = place.listing()
    assert len(re.findall(r"set out4(?:-b)? \{", listed)) == 1
    assert place.arrivals("gateway", REMOTE[4]) == {"refused"}
    assert "203.0.113.0/24" not in listed
    assert fence.repair(touched=True) is False
    fence.close()


BENT = """
add set inet qgw out4-b { type ipv4_addr; flags interval; }
add set inet qgw out4 { type ipv4_addr; flags interval; counter; }
add chain inet qgw stranger
add rule inet qgw stranger ip daddr @out4-b ip daddr @out4 accept
"""
"""A table that cannot be mended in place: rules that are not ours hold both names."""


@pytest.mark.older
@pytest.mark.lossless
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("granted", [True, False])
def test_a_bent_table_is_replaced_without_a_gap(
    place: Place, version: int, *, granted: bool
) -> None:
    fence = place.fence(owned=False)
    fence.load(PLAN)
    if granted:
        fence.grant(NAME, DEVICE, 300)
    else:
        place.divert()
    handles = set()
    with stream(place, version) as packets:
        for _ in range(4):
            place.nft(BENT)
            assert fence.repair(touched=True)
            handles.add(place.handle())
    assert len(handles) == 4, "each time another table"
    assert packets.sent > 100
    assert packets.arrived == {"far": packets.sent if granted else 0, "wan": 0}
    tables = place.run("gateway", "nft", "list", "tables")
    assert tables.split() == ["table", "inet", "qgw"]
    fence.close()


def test_a_cover_that_was_left_goes_with_the_next_load(place: Place) -> None:
    place.nft("add table inet qgw-cover")
    fence = place.fence()
    fence.load(PLAN)
    tables = place.run("gateway", "nft", "list", "tables")
    assert tables.split() == ["table", "inet", "qgw"]
    fence.close()


def test_what_was_refused_is_counted_and_never_less(
    place: Place, fence: NftFence
) -> None:
    for _ in range(3):
        place.outward(4)
        place.inward(6, "wan")
    state = fence.read().tunnels[NAME]
    # One from the LAN and one of our own; one for each, of IPv6.
    assert (state.dropped_out, state.dropped_in) == (6, 6)
    fence.load(FencePlan((WIDE,)))
    fence.load(PLAN)
    place.outward(6)
    state = fence.read().tunnels[NAME]
    assert (state.dropped_out, state.dropped_in) == (8, 6)


def test_nobody_knows_a_tunnel_that_was_not_loaded(fence: NftFence) -> None:
    with pytest.raises(DataPlaneError, match="knows no tunnel"):
        fence.grant("nobody", DEVICE, 1)
    fence.revoke("nobody")


def test_a_fence_that_is_removed_is_gone(place: Place, fence: NftFence) -> None:
    fence.remove()
    fence.remove()
    assert not fence.read().present
    with pytest.raises(RuntimeError, match="No such file"):
        place.listing()
    place.divert()
    assert place.arrivals("gateway", REMOTE[4]) == {"wan"}


def test_a_listing_can_be_loaded_again(place: Place) -> None:
    fence = place.fence(owned=False)
    fence.load(FencePlan((TUNNEL, WIDE), ("10.9.0.0/30",), (51810, 51811)))
    fence.grant(NAME, Passage(("tun0",), 0x5157_0001), 30)
    fence.close()
    listed = place.listing()
    place.nft("delete table inet qgw")
    place.nft(listed)
    assert timeless(place.listing()) == timeless(listed)


def timeless(listed: str) -> list[str]:
    """Leave out how much time is left, who owns the table, whose name's turn it is."""
    is_time = re.compile(r"(\d+(h|ms|m|s))+,?")
    return sorted(
        " ".join(word for word in line.split() if not is_time.fullmatch(word))
        for line in turnless(listed).splitlines()
        if line and "progname" not in line and "flags owner" not in line
    )
