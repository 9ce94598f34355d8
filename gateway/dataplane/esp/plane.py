"""The ESP data plane. How it works is said in this folder's `__init__`."""

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace

from gateway.dataplane.base import EpochInstall, PlaneState, PlaneTraits, TunnelSpec
from gateway.dataplane.esp.associations import (
    MIN_SPI,
    SPI_SIZE,
    Pair,
    pair_of,
)
from gateway.dataplane.esp.database import Database, EspInventory
from gateway.dataplane.esp.devices import Devices
from gateway.dataplane.esp.keeper import PolicyKeeper
from gateway.dataplane.esp.probe import Prober, probe_target
from gateway.dataplane.esp.rules import (
    MAX_INDEX,
    Purpose,
    Rule,
    remote_prefixes,
    rules_of,
)
from gateway.dataplane.esp.tunnel import EspTunnel
from gateway.dataplane.fence.base import Passage
from gateway.dataplane.held.exchanged import change_all, moving_prefixes
from gateway.dataplane.held.keeper import Keeper
from gateway.dataplane.held.patience import RepairPatience
from gateway.dataplane.held.restored import Loss, Restoration, Scope
from gateway.dataplane.view import TunnelView
from gateway.errors import DataPlaneError, GatewayError

MAX_OFFERS = 16
"""Offers kept for each tunnel: handshakes that may be under way at once, and more
than a peer can have pending. The oldest is forgotten."""


class EspPlane:
    """ESP tunnels through XFRM netlink, for one call at a time.

    XFRM answers within the request, so most calls are `quick`. Interfaces, routes and
    MTU go through pyroute2, whose sockets belong to the thread that opened the plane.

    `move_peer` only takes note: an SA's addresses are part of it, and the epoch
    that the daemon starts when a peer has moved brings SAs for the new address.
    """

    name = "esp"
    kind = "esp"
    quick = True
    counts_packets = True
    traits = PlaneTraits(
        probes=True, has_encap=True, one_tunnel_a_peer=False, capture="ip proto 50"
    )

    def __init__(self, keeper: Keeper | None = None) -> None:
        """Take the keeper of all planes; without one, the plane has its own."""
        self._given = keeper
        self._connected: tuple[str, ...] = ()
        self._patience = RepairPatience()
        self._tunnels: dict[str, EspTunnel] = {}
        self._spis: set[int] = set()
        self._inventory = EspInventory()
        self._opened = ExitStack()

    def open(self) -> None:
        """See `DataPlane.open`."""
        with ExitStack() as opened:
            self._database = opened.enter_context(closing(Database()))
            self._database.try_esp()
            self._inventory = self._database.take_inventory()
            keeper = self._given or opened.enter_context(closing(Keeper()))
            self._devices = Devices(keeper)
            self._prober = opened.enter_context(closing(Prober()))
            self._policies = PolicyKeeper(
                self._database, self._inventory, self._tunnels
            )
            self._opened = opened.pop_all()

    def close(self) -> None:
        """See `DataPlane.close`. A plane that is not open is left as it is."""
        self._opened.close()

    def add_tunnel(self, spec: TunnelSpec) -> None:
        """See `DataPlane.add_tunnel`."""
        if spec.name in self._tunnels:
            self.update_tunnel(spec)
            return
        self._check_index(spec)
        tunnel = EspTunnel(spec, self._rules(spec), probe_target(spec))
        policies = self._inventory.policies.get(tunnel.reqid, [])
        tunnel.adopt(self._inventory.associations.get(tunnel.reqid, []), policies)
        self._spis.update(sa.spi for sa in tunnel.all_associations())
        there = {policy.key for policy in policies}
        self._policies.settle(tunnel, there)
        try:
            self._devices.settle(spec)
        except GatewayError:
            if not policies:
                self._dismantle(tunnel)
            raise
        wanted = {rule.key for rule in tunnel.rules}
        self._database.delete_policies(
            policy.rule for policy in policies if policy.key not in wanted
        )
        self._tunnels[spec.name] = tunnel
        self._inventory.forget(tunnel.reqid)

    def update_tunnel(self, spec: TunnelSpec) -> None:
        """See `DataPlane.update_tunnel`; another index starts afresh."""
        tunnel = self._tunnel(spec.name)
        old = tunnel.spec
        if spec == old:
            return
        if spec.index != old.index:
            self.remove_tunnel(spec.name)
            self.add_tunnel(spec)
            return
        before = tunnel.rules
        self._change(tunnel, spec)
        try:
            self._devices.settle(spec)
        except GatewayError:
            after = tunnel.rules
            self._change(tunnel, old)
            self._policies.drop(after, keep=before)
            raise
        self._policies.drop(before, keep=tunnel.rules)

    def update_tunnels(self, specs: Sequence[TunnelSpec]) -> None:
        """See `DataPlane.update_tunnels`."""
        old = [self._tunnel(spec.name).spec for spec in specs]
        prefixes = moving_prefixes(old, specs, remote_prefixes)
        rules = [rule for spec in specs for rule in self._rules(spec)]
        self._policies.moving = frozenset(
            rule.key
            for tunnel in self._tunnels.values()
            if tunnel.spec in old
            for rule in tunnel.rules
            if rule in rules and not rule.if_id and rule.purpose is not Purpose.PASS
        )
        try:
            with self._devices.keeper.exchanging(
                prefixes, [spec.name for spec in specs]
            ):
                change_all(self.update_tunnel, old, specs)
        finally:
            self._policies.moving = frozenset()

    def listen_on(self, ports: tuple[int, int]) -> None:
        """See `DataPlane.listen_on`: ESP listens nowhere, or with the control plane."""

    def remove_tunnel(self, name: str) -> None:
        """See `DataPlane.remove_tunnel`."""
        tunnel = self._tunnels.pop(name, None)
        if tunnel is not None:
            self._dismantle(tunnel)

    def offer(self, name: str, epoch: int) -> bytes:  # noqa: ARG002  # an SPI is as good for any epoch
        """Return an inbound SPI that is not in use here, 4 bytes."""
        tunnel = self._tunnel(name)
        while True:
            spi = int.from_bytes(os.urandom(SPI_SIZE))
            if spi >= MIN_SPI and spi not in self._spis:
                break
        self._spis.add(spi)
        tunnel.offers.append(spi)
        if len(tunnel.offers) > MAX_OFFERS:
            self._spis.discard(tunnel.offers.pop(0))
        return spi.to_bytes(SPI_SIZE)

    def prepare(self, install: EpochInstall) -> None:
        """Add both SAs of an epoch; no policy names the one for sending yet."""
        tunnel = self._tunnel(install.tunnel)
        pair = pair_of(install)
        known = tunnel.pairs.get(install.epoch)
        if known is not None and known.associations() == pair.associations():
            return
        self._database.install(
            pair,
            install,
            reqid=tunnel.reqid,
            if_id=self._if_id(tunnel),
            encap=tunnel.spec.encap,
        )
        if known is not None:
            self._replace(tunnel, known)
        tunnel.pairs[install.epoch] = pair
        for association in pair.associations():
            self._spis.add(association.spi)
            if association.spi in tunnel.offers:
                tunnel.offers.remove(association.spi)
        self._follow_path(tunnel, install)

    def prepares_quickly(self, install: EpochInstall) -> bool:
        """Whether the MTU need not be set: this path was the last epoch's too."""
        tunnel = self._tunnels.get(install.tunnel)
        return tunnel is not None and tunnel.path == _path_of(install)

    def activate(self, name: str, epoch: int) -> None:
        """Point the sending policies at the epoch's SA, and send a probe."""
        tunnel = self._tunnel(name)
        pair = tunnel.pairs.get(epoch)
        if pair is None or pair.outbound is None:
            raise DataPlaneError(f"epoch {epoch} of tunnel {name} is not prepared")
        if tunnel.sending != pair.outbound:
            self._database.update_policies(
                tunnel.sending_rules(), tunnel.reqid, pair.outbound
            )
            tunnel.active, tunnel.sending = epoch, pair.outbound
        self._probe(tunnel)

    def poll(self, name: str) -> PlaneState:
        """Read the state; send a probe unless traffic flows anyway.

        Epochs that sending has left, and that have proved themselves, keep the
        counters of the last `read_state`.
        """
        tunnel = self._tunnel(name)
        state = self._ask(
            tunnel,
            [
                pair
                for pair in tunnel.pairs.values()
                if pair.epoch == tunnel.active or not pair.received
            ],
        )
        for epoch in state.epochs:
            if epoch.active:
                pair = tunnel.pairs[epoch.epoch]
                # One more than last time is our own probe.
                if epoch.packets_out <= pair.sent + 1:
                    self._probe(tunnel)
                pair.sent = epoch.packets_out
        return state

    def read_state(self, name: str) -> PlaneState:
        """Ask the kernel for the SAs' counters; an expired SA is a missing one."""
        tunnel = self._tunnel(name)
        return self._ask(tunnel, list(tunnel.pairs.values()))

    def describe(self, name: str) -> TunnelView:
        """See `DataPlane.describe`: SPIs and outer addresses are the SAs' own."""
        tunnel = self._tunnel(name)
        self.read_state(name)
        device = self._devices.describe(tunnel.spec)
        return TunnelView(
            devices=() if device is None else (device,),
            sessions=tunnel.sessions(),
            mtu=None if device is None else device.mtu,
        )

    def move_peer(self, name: str, address: tuple[str, int]) -> None:
        """Do nothing: the next epoch's SAs bring the new address."""

    def passage(self, name: str) -> Passage:
        """Return the tunnel's reqid, and its xfrm interface if it has one.

        Behind such an interface packets pass the filters once more, on their way to
        the SA: then only the reqid tells. A dummy interface protects nothing.
        """
        tunnel = self._tunnel(name)
        devices = (tunnel.spec.interface,) if self._devices.has_xfrm else ()
        return Passage(devices, tunnel.reqid)

    def retire(self, name: str, epoch: int) -> None:
        """Delete an epoch's SAs; if it is the active one, refuse to send first."""
        tunnel = self._tunnel(name)
        pair = tunnel.pairs.get(epoch)
        if pair is None and not tunnel.leftovers:
            return
        if epoch == tunnel.active:
            self._refuse(tunnel)
        going = list(tunnel.leftovers)
        if pair is not None:
            going += pair.associations()
        self._database.delete(going)
        tunnel.pairs.pop(epoch, None)
        tunnel.leftovers.clear()
        self._spis.difference_update(sa.spi for sa in going)

    def block(self, name: str) -> None:
        """Refuse to send, then delete every SA of the tunnel."""
        tunnel = self._tunnel(name)
        self._refuse(tunnel)
        self._drop_associations(tunnel)

    def restore(self, scope: Scope = Scope.ALL) -> Restoration:
        """See `DataPlane.restore`."""
        result = Restoration()
        if Scope.ROUTING in scope:
            result = self._devices.keeper.restore()
            self._follow_networks()
        if Scope.XFRM in scope:
            self._restore_policies(result)
            there = self._database.read_names()
            result.keyless |= {
                name
                for name, tunnel in self._tunnels.items()
                if tunnel.active in tunnel.pairs
                and any(
                    sa.name not in there
                    for sa in tunnel.pairs[tunnel.active].associations()
                )
            }
        return result

    def look(self) -> Restoration:
        """Find nothing: the kernel notifies of all that concerns ESP."""
        return Restoration()

    def ports(self) -> tuple[int, ...]:
        """See `DataPlane.ports`."""
        return (self._database.port,)

    def udp_ports(self) -> tuple[int, ...]:
        """Return none: ESP in UDP comes by the port of handshakes."""
        return ()

    def port_in(self, offer: bytes) -> None:
        """Return none: an offer names SPIs alone."""

    def _restore_policies(self, result: Restoration) -> None:
        now = time.monotonic()
        for name in self._policies.find_changed():
            loss = Loss(name, "IPsec policies")
            if not self._patience.may(name, now=now):
                result.leave(loss, self._patience.until(name))
                continue
            self._policies.set_again(name)
            result.restored[loss] = None
            pause = self._patience.put_back(name, now=now)
            if pause:
                result.fought[loss] = pause

    def _follow_networks(self) -> None:
        """Let networks pass that this host was connected to since we last looked."""
        connected = self._devices.keeper.connected()
        if connected == self._connected:
            return
        for tunnel in self._tunnels.values():
            before = tunnel.rules
            if self._rules(tunnel.spec) != before:
                self._change(tunnel, tunnel.spec)
                self._policies.drop(before, keep=tunnel.rules)
        self._connected = connected

    def _tunnel(self, name: str) -> EspTunnel:
        try:
            return self._tunnels[name]
        except KeyError:
            raise DataPlaneError(f"there is no tunnel {name}") from None

    def _ask(self, tunnel: EspTunnel, pairs: list[Pair]) -> PlaneState:
        associations = [sa for pair in pairs for sa in pair.associations()]
        answers = self._database.ask(associations)
        tunnel.note(pairs, dict(zip(associations, answers, strict=True)))
        return tunnel.report()

    def _rules(self, spec: TunnelSpec) -> tuple[Rule, ...]:
        return rules_of(
            spec,
            interface=self._devices.has_xfrm,
            connected=self._devices.keeper.connected(),
        )

    def _if_id(self, tunnel: EspTunnel) -> int:
        return tunnel.reqid if self._devices.has_xfrm else 0

    def _check_index(self, spec: TunnelSpec) -> None:
        if not 1 <= spec.index <= MAX_INDEX:
            raise DataPlaneError(f"tunnel index {spec.index} is not 1 to {MAX_INDEX}")
        for other in self._tunnels.values():
            if other.spec.index == spec.index:
                raise DataPlaneError(
                    f"tunnels {spec.name} and {other.spec.name} have one index"
                )

    def _change(self, tunnel: EspTunnel, spec: TunnelSpec) -> None:
        """Give a tunnel another specification, and the policies it lacks for that."""
        there = {rule.key for rule in tunnel.rules}
        rules = self._rules(spec)
        self._policies.settle(replace(tunnel, spec=spec, rules=rules), there)
        if (tunnel.spec.mtu, tunnel.spec.encap) != (spec.mtu, spec.encap):
            tunnel.path = None
        tunnel.spec, tunnel.rules = spec, rules
        tunnel.probe_target = probe_target(spec)

    def _replace(self, tunnel: EspTunnel, known: Pair) -> None:
        """Put aside the SAs of an epoch that is being installed a second time.

        An active epoch stays in force, and its packets on the way welcome, until
        the new SAs are activated and something is retired.
        """
        if tunnel.active == known.epoch:
            tunnel.leftovers += known.associations()
        else:
            self._database.delete(known.associations())
            self._spis.difference_update(sa.spi for sa in known.associations())

    def _refuse(self, tunnel: EspTunnel) -> None:
        self._database.update_policies(tunnel.sending_rules(), tunnel.reqid, None)
        tunnel.active = tunnel.sending = None

    def _drop_associations(self, tunnel: EspTunnel) -> None:
        going = tunnel.all_associations()
        self._database.delete(going)
        self._spis.difference_update(sa.spi for sa in going)
        tunnel.pairs.clear()
        tunnel.leftovers.clear()
        tunnel.active = tunnel.sending = None

    def _dismantle(self, tunnel: EspTunnel) -> None:
        """Remove all that was made for a tunnel; the policies go last."""
        self._devices.remove(tunnel.spec)
        self._drop_associations(tunnel)
        self._policies.drop(tunnel.rules)
        self._spis.difference_update(tunnel.offers)

    def _follow_path(self, tunnel: EspTunnel, install: EpochInstall) -> None:
        path = _path_of(install)
        if tunnel.path != path:
            self._devices.follow_path(tunnel.spec, path[1])
            tunnel.path = path

    def _probe(self, tunnel: EspTunnel) -> None:
        if tunnel.probe_target is not None:
            self._prober.send(tunnel.probe_target)


def _path_of(install: EpochInstall) -> tuple[str, str]:
    return install.local_address[0], install.peer_address[0]
