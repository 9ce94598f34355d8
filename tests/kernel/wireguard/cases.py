"""What every WireGuard plane must do; the two lanes run these over their kind."""

import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.dataplane.base import EpochInstall, PlaneKeys
from gateway.dataplane.wireguard.backend import PeerSettings
from gateway.errors import DataPlaneError, PlaneConflictError
from gateway.secret import Secret
from tests.dataplane_contract import DataPlaneContract, Ends
from tests.kernel.cable import run
from tests.kernel.pace import IN_FORCE_LIMIT, PACKET_INTERVAL, POLL_INTERVAL
from tests.kernel.tap import Tap
from tests.kernel.traffic import Traffic
from tests.kernel.wireguard.sites import Pair, make_pair, make_plane

ROTATIONS = 6
BETWEEN_ROTATIONS = 0.3

OUTAGE = 0.5


class PlaneCases:
    """Sets up the pair; subclasses name the plane."""

    kind = ""

    @pytest.fixture
    def pair(self) -> Iterator[Pair]:
        with make_pair(self.kind) as pair:
            yield pair


class ContractCases(DataPlaneContract):
    kind = ""

    @pytest.fixture
    def ends(self) -> Iterator[Ends]:
        with make_pair(self.kind) as pair:
            yield pair


class RotationCases(PlaneCases):
    def test_rotations_lose_nothing_and_show_nothing(self, pair: Pair) -> None:
        pair.rotate()
        with Tap(pair) as tap, Traffic(pair, PACKET_INTERVAL) as traffic:
            for _ in range(ROTATIONS):
                time.sleep(BETWEEN_ROTATIONS)
                pair.rotate()
            time.sleep(BETWEEN_ROTATIONS)
        assert min(traffic.sent) > ROTATIONS * BETWEEN_ROTATIONS / PACKET_INTERVAL / 4
        assert traffic.lost == 0
        assert traffic.refused == [0, 0]
        assert tap.frames >= sum(traffic.sent)
        assert tap.leaks == 0

    def test_ipv6_outside_and_inside(self) -> None:
        with make_pair(self.kind, v6=True) as pair:
            pair.rotate()
            with Tap(pair) as tap, Traffic(pair, PACKET_INTERVAL) as traffic:
                pair.rotate()
                pair.rotate()
            assert traffic.sent[0] > 0
            assert (traffic.lost, tap.leaks) == (0, 0)
            assert "mtu 1420" in pair.near.routes()

    def test_hosts_with_strict_reverse_path_filters(self, pair: Pair) -> None:
        setting = Path("/proc/sys/net/ipv4/conf/all/rp_filter")
        for site in pair.sites:
            site.call(setting.write_text, "1")
            assert site.call(setting.read_text) == "1\n"
        pair.rotate()
        with Traffic(pair, PACKET_INTERVAL) as traffic:
            pair.rotate()
            pair.rotate()
        assert traffic.lost == 0

    def test_prepare_sends_nothing(self, pair: Pair) -> None:
        pair.prepare()
        with Tap(pair) as tap:
            time.sleep(OUTAGE)
        assert tap.udp == 0
        pair.wait_in_force(pair.activate())

    def test_prepare_and_activate_twice_change_nothing(self, pair: Pair) -> None:
        pair.rotate()
        pair.prepare()
        pair.wait_in_force(pair.activate())
        pair.activate()
        assert pair.is_in_force()

    def test_epochs_beyond_a_failed_one(self, pair: Pair) -> None:
        pair.rotate()
        with Traffic(pair, PACKET_INTERVAL) as traffic:
            pair.prepare(unequal=True)
            committed = pair.activate()
            while time.monotonic() < committed + 2.2:
                assert not pair.is_in_force()
                for site in pair.sites:
                    wrong = {e.epoch: e for e in site.poll().epochs}[pair.epoch]
                    assert not wrong.received
                    assert not wrong.active
                time.sleep(POLL_INTERVAL)
            pair.retire(pair.epoch)
            pair.rotate()
            pair.retire(1)
        assert traffic.lost == 0

    def test_wrong_psk_at_first_lets_nothing_through(self, pair: Pair) -> None:
        pair.prepare(unequal=True)
        committed = pair.activate()
        with Traffic(pair, 0.05) as traffic:
            while time.monotonic() < committed + 2.2:
                assert not pair.is_in_force()
                assert all(site.poll().blocked for site in pair.sites)
                time.sleep(POLL_INTERVAL)
        assert traffic.lost == sum(traffic.sent) > 0


class LossCases(PlaneCases):
    @pytest.mark.parametrize("end", ["near", "far"])
    def test_lost_handshake_packet(self, pair: Pair, end: str) -> None:
        """The initiation is lost at the near end, the response at the far end."""
        pair.rotate()
        # A queue without room drops all that this end sends.
        queue = ("dev", "cable", "root", "pfifo", "limit", "0")
        site = getattr(pair, end)
        pair.prepare()
        run("tc", "-n", site.namespace, "qdisc", "add", *queue)
        committed = pair.activate()
        while time.monotonic() < committed + OUTAGE:
            assert not pair.is_in_force()
            time.sleep(POLL_INTERVAL)
        run("tc", "-n", site.namespace, "qdisc", "delete", *queue[:3])
        assert OUTAGE < pair.wait_in_force(committed) < IN_FORCE_LIMIT

    def test_lost_last_keepalive(self, pair: Pair) -> None:
        """The initiator has its session; the responder must hear of it."""
        pair.rotate()
        pair.prepare()
        committed = pair.activate()
        # Not polled, the near end sends no more than its first packets.
        time.sleep(OUTAGE)
        state = pair.near.poll()
        assert state.epochs[-1].received
        pair.wait_in_force(committed)

    def test_responder_helps_itself(self, pair: Pair) -> None:
        """The initiator does not start: its own firewall, or a lost M4."""
        pair.rotate()
        pair.prepare()
        committed = pair.activate(pair.far)
        with Traffic(pair, PACKET_INTERVAL) as traffic:
            while not pair.far.poll().epochs[-1].active:
                assert time.monotonic() < committed + IN_FORCE_LIMIT
                time.sleep(POLL_INTERVAL)
            pair.wait_in_force(pair.activate(pair.near), 1.0)
        assert traffic.lost == 0

    def test_initiator_behind_an_address_translator(self, pair: Pair) -> None:
        """The responder knows no address at which the initiator can be reached."""
        for _ in range(2):
            pair.prepare(near_seen_at="192.0.2.99")
            pair.wait_in_force(pair.activate())

    def test_peer_moves(self, pair: Pair) -> None:
        pair.rotate()
        pair.far.ip("address", "delete", "192.0.2.2/24", "dev", "cable")
        pair.far.ip("address", "add", "192.0.2.3/24", "dev", "cable")
        pair.near.call(pair.near.plane.move_peer, "paris", ("192.0.2.3", 51810))
        # What is on its way during a move may be lost; a moment later nothing is.
        with Traffic(pair, PACKET_INTERVAL):
            time.sleep(0.1)
        with Traffic(pair, PACKET_INTERVAL) as traffic:
            time.sleep(OUTAGE)
        assert traffic.lost == 0


class FailClosedCases(PlaneCases):
    def expect_closed(self, pair: Pair) -> None:
        with Tap(pair) as tap, Traffic(pair, 0.02) as traffic:
            pair.near.send_once(pair.far.inner)
            time.sleep(OUTAGE)
        assert tap.leaks == 0
        assert not traffic.seen[1]
        assert traffic.sent[0] > 0

    def test_before_the_first_epoch(self, pair: Pair) -> None:
        assert pair.near.poll().blocked
        self.expect_closed(pair)

    def test_blocked_and_back(self, pair: Pair) -> None:
        pair.rotate()
        pair.near.call(pair.near.plane.block, "paris")
        state = pair.near.poll()
        assert state.blocked
        assert state.epochs == ()
        self.expect_closed(pair)
        pair.rotate()
        with Traffic(pair, PACKET_INTERVAL) as traffic:
            time.sleep(OUTAGE)
        assert traffic.lost == 0

    def test_device_vanishes_and_comes_back(self, pair: Pair) -> None:
        pair.rotate()
        for device in pair.near.plane._devices.names:
            pair.near.ip("link", "delete", device)
        time.sleep(POLL_INTERVAL)
        assert pair.near.poll().blocked
        assert not pair.near.send_once(pair.far.inner)
        self.expect_closed(pair)
        pair.rotate()
        with Traffic(pair, PACKET_INTERVAL) as traffic:
            time.sleep(OUTAGE)
        assert traffic.lost == 0


class AdoptionCases(PlaneCases):
    def test_restart_interrupts_nothing(self, pair: Pair) -> None:
        pair.rotate()
        with Tap(pair) as tap, Traffic(pair, PACKET_INTERVAL) as traffic:
            for site in pair.sites:
                site.restart()
                (adopted,) = site.poll().epochs
                assert (adopted.epoch, adopted.active, adopted.received) == (
                    0,
                    True,
                    True,
                )
            pair.rotate()
            pair.retire(0)
            pair.rotate()
        assert (traffic.lost, tap.leaks) == (0, 0)
        assert [e.epoch for e in pair.near.poll().epochs] == [pair.epoch]

    def test_restart_in_the_middle_of_a_rotation(self, pair: Pair) -> None:
        pair.rotate()
        pair.prepare()
        pair.activate()
        with Traffic(pair, PACKET_INTERVAL) as traffic:
            while not pair.far.poll().epochs[-1].active:
                time.sleep(POLL_INTERVAL)
            pair.near.restart()
            assert not pair.near.poll().blocked
            pair.rotate()
            pair.retire(0)
            pair.rotate()
        assert traffic.lost == 0

    def test_what_no_tunnel_claims_is_removed(self, pair: Pair) -> None:
        pair.rotate()
        near = pair.near
        old, near.plane = (
            near.plane,
            type(near.plane)(
                type(near.plane._backend)(),
                near.plane._devices.names,
                near.plane._devices.ports,
                lambda: time.monotonic() + skip[0],
            ),
        )
        skip = [0.0]
        near.call(old.close)
        near.call(near.plane.open)
        other = replace(near.spec, name="rome", remote_subnets=(), addresses=())
        near.call(near.plane.add_tunnel, other)
        device = near.plane._devices.names[1]
        near.call(near.plane.poll, "rome")
        assert near.call(near.plane._backend.read_peers, device)
        skip[0] = 31.0
        near.call(near.plane.poll, "rome")
        assert not near.call(near.plane._backend.read_peers, device)


class OwnershipCases(PlaneCases):
    def test_removal_leaves_nothing(self, pair: Pair) -> None:
        before = pair.near.ip("address"), pair.near.routes()
        near = pair.near
        near.call(near.plane.remove_tunnel, "paris")
        near.call(near.plane.remove_tunnel, "paris")
        assert "10.2.0.0/24" in before[1]
        assert near.routes() == ""
        assert "10.9.0." in before[0]
        assert "10.9.0." not in near.ip("address")
        with pytest.raises(DataPlaneError):
            near.poll()

    def test_a_second_tunnel_with_the_peer_is_refused(self, pair: Pair) -> None:
        """Installing it would replace the first one's peer, and its keys."""
        pair.prepare()
        near, far = pair.sites
        prefixes = ("10.6.0.0/24",), ("10.5.0.0/24",)
        offers = []
        for site, remote in zip(pair.sites, prefixes, strict=True):
            rome = replace(
                site.spec, name="rome", index=2, addresses=(), remote_subnets=remote
            )
            site.call(site.plane.add_tunnel, rome)
            offers.append(site.call(site.plane.offer, "rome", 1))
        install = EpochInstall(
            tunnel="rome",
            epoch=1,
            initiator=True,
            local_address=(near.outer, 51810),
            peer_address=(far.outer, 51810),
            local_offer=offers[0],
            peer_offer=offers[1],
            keys=PlaneKeys(*(Secret(bytes(size)) for size in (36, 36, 32))),
            lifetime=360,
        )
        with pytest.raises(PlaneConflictError, match="tunnel paris") as caught:
            near.call(near.plane.prepare, install)
        assert "esp" in caught.value.hint
        pair.wait_in_force(pair.activate())
        assert near.call(near.plane.read_state, "rome").blocked
        near.call(near.plane.block, "paris")
        near.call(near.plane.prepare, install)

    def test_port_taken(self, pair: Pair) -> None:
        near = pair.near
        plane = make_plane(self.kind, "tother")
        with pytest.raises(PlaneConflictError, match="UDP port 51811") as caught:
            near.call(plane.open)
        assert "wireguard_ports" in caught.value.hint
        assert "tother" not in near.ip("link")

    def test_second_port_taken(self, pair: Pair) -> None:
        near = pair.near
        plane = make_plane(self.kind, "tother")
        plane._devices.ports = (51911, 51811)
        with pytest.raises(PlaneConflictError, match="UDP port 51811"):
            near.call(plane.open)
        assert "tother" not in near.ip("link")

    def test_other_ports_of_which_one_is_taken_leave_the_old_ones(
        self, pair: Pair
    ) -> None:
        pair.rotate()
        near = pair.near
        taken = near.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        with taken, Traffic(pair, PACKET_INTERVAL) as traffic:
            taken.bind((near.outer, 51912))
            plane = type(near.plane)(
                type(near.plane._backend)(),
                near.plane._devices.names,
                (51911, 51912),
            )
            with pytest.raises(PlaneConflictError, match="UDP port 51912") as caught:
                near.call(plane.open)
            assert "wireguard_ports" in caught.value.hint
            time.sleep(OUTAGE)
        assert traffic.lost == 0
        pair.rotate()

    def test_name_taken(self, pair: Pair) -> None:
        near = pair.near
        near.ip("link", "add", "tother-0", "type", "veth", "peer", "name", "x")
        plane = make_plane(self.kind, "tother")
        plane._devices.ports = (51911, 51912)
        with pytest.raises(PlaneConflictError, match="tother-0"):
            near.call(plane.open)
        assert "tother-0" in near.ip("link")

    def test_routes_of_somebody_else_lead_nothing_away(self, pair: Pair) -> None:
        pair.rotate()
        near = pair.near
        for prefix in ("10.2.0.0/24", "10.2.0.1/32"):
            near.ip("route", "add", prefix, "via", "192.0.2.2")
        with Tap(pair) as tap, Traffic(pair, PACKET_INTERVAL) as traffic:
            pair.rotate()
            time.sleep(OUTAGE)
        assert (traffic.lost, tap.leaks) == (0, 0)
        near.call(near.plane.remove_tunnel, "paris")
        assert "10.2.0.0/24 via 192.0.2.2" in near.ip("route")

    def test_prefix_of_another_tunnel(self, pair: Pair) -> None:
        near = pair.near
        with pytest.raises(PlaneConflictError, match="belongs to tunnel paris"):
            near.call(near.plane.add_tunnel, replace(near.spec, name="rome"))

    def test_update_keeps_sessions(self, pair: Pair) -> None:
        pair.rotate()
        with Traffic(pair, PACKET_INTERVAL) as traffic:
            for site, net in ((pair.near, "10.22.0.0/24"), (pair.far, "10.11.0.0/24")):
                wider = (*site.spec.remote_subnets, net)
                site.spec = replace(site.spec, remote_subnets=wider, mtu=1300)
                site.call(site.plane.update_tunnel, site.spec)
            time.sleep(OUTAGE)
        assert traffic.lost == 0
        assert "mtu 1300" in pair.near.routes()

    def test_without_the_capability(self) -> None:
        setpriv = shutil.which("setpriv")
        assert setpriv is not None
        code = (
            "from gateway.errors import PlanePermissionError\n"
            "from tests.kernel.wireguard.sites import make_plane\n"
            "try:\n"
            f"    make_plane({self.kind!r}, 'tother').open()\n"
            "except PlanePermissionError as error:\n"
            "    print(error.hint)\n"
        )
        done = subprocess.run(  # noqa: S603  # commands of this file
            (setpriv, "--bounding-set=-net_admin", sys.executable, "-c", code),
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "CAP_NET_ADMIN" in done.stdout, done.stderr


class HeldCases(PlaneCases):
    """What others do to the devices, of which WireGuard notifies nobody."""

    def look(self, pair: Pair) -> list[str]:
        near = pair.near
        near.plane._devices._look_at = 0.0
        return [loss.what for loss in near.call(near.plane.look).restored]

    def test_prefixes_that_a_foreign_peer_took(self, pair: Pair) -> None:
        pair.rotate()
        near = pair.near
        assert self.look(pair) == []
        near.plane._adoption._ends_at = 0.0  # no peer is left to be claimed
        active = near.plane._tunnels["paris"].active
        assert active is not None
        device = near.plane._devices.names[active.device]
        foreign = PeerSettings(
            public_key=secrets.token_bytes(32),
            psk=Secret(bytes(32)),
            endpoint=("192.0.2.99", 51811),
            allowed=near.spec.remote_subnets,
        )
        near.call(near.plane._backend.replace_peer, device, foreign)
        said = self.look(pair)
        assert "the prefixes of its WireGuard peer" in said
        assert f"{device} without a foreign peer" in said
        peers = near.call(near.plane._backend.read_peers, device)
        assert foreign.public_key not in peers
        assert self.look(pair) == []
        with Traffic(pair, PACKET_INTERVAL) as traffic:
            pair.rotate()
        assert traffic.lost == 0

    def test_a_peer_that_somebody_removed_is_a_lost_key(self, pair: Pair) -> None:
        pair.rotate()
        near = pair.near
        active = near.plane._tunnels["paris"].active
        assert active is not None
        device = near.plane._devices.names[active.device]
        near.call(near.plane._backend.remove_peer, device, active.key)
        near.plane._devices._look_at = 0.0
        assert near.call(near.plane.look).keyless == {"paris"}
        assert near.poll().blocked

    def test_port_and_mark(self, pair: Pair) -> None:
        pair.rotate()
        near = pair.near
        backend, devices = near.plane._backend, near.plane._devices
        for name, port in zip(devices.names, devices.ports, strict=True):
            assert not near.call(backend.set_again, name, port)
        near.call(backend.set_again, devices.names[1], 51998)
        said = self.look(pair)
        assert said == [f"port and mark of {devices.names[1]}"]
        assert self.look(pair) == []
