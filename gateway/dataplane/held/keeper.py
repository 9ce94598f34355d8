"""The one place that makes what is wanted so, and keeps it so.

Belongs to the planes' thread. Requests carry many changes with one system call; what
a rotation moves needs no dump.
"""

import errno
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from pyroute2.netlink import NETLINK_ROUTE

from gateway.dataplane.accepted import AcceptedNetworks
from gateway.dataplane.held.compare import (
    NOBODY,
    Difference,
    MissingRoute,
    SurplusRoute,
    Surroundings,
    compare,
    own_guards,
    routes_of,
    surroundings,
    thrown,
)
from gateway.dataplane.held.interfaces import LinkMaker
from gateway.dataplane.held.inventory import Inventory
from gateway.dataplane.held.patience import RepairPatience
from gateway.dataplane.held.repair import Repairer, route_change
from gateway.dataplane.held.restored import Loss, Restoration, loss_of
from gateway.dataplane.held.rules import ensure_rules
from gateway.dataplane.held.sites import SiteGuards
from gateway.dataplane.held.snapshot import (
    FoundLink,
    Snapshot,
    is_local,
    path_mtu,
    read_addresses,
    take_snapshot,
)
from gateway.dataplane.held.spans import canonical_address, span_of, text_of
from gateway.dataplane.held.unrouted import forget_unrouted
from gateway.dataplane.held.wanted import (
    GUARD_METRIC,
    IPV6_METRIC,
    DesiredState,
    Route,
    WantedLink,
    WantedTunnel,
)
from gateway.dataplane.netlink import rtnetlink as rt
from gateway.dataplane.netlink.connection import NetlinkConnection
from gateway.dataplane.refusals import kernel_call
from gateway.dataplane.view import DeviceView
from gateway.errors import DataPlaneError, PlaneConflictError

SETTLING = 30.0
"""Seconds after the first tunnel in which others may say what they want: until then
a route of an earlier run that nobody wants yet is left."""

PASSES = 3
"""Comparisons in a row: what hangs on an interface follows once that is back."""

READING_SHARE = 20
"""A reading of this host's addresses serves for this many times what it cost."""


class Keeper:
    """Holds links, addresses, routes and rules of all tunnels of all planes.

    Attributes:
        wanted: What the planes declared.
    """

    def __init__(
        self,
        accepted: AcceptedNetworks | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open a routing socket; nothing is made before it is asked for.

        Args:
            accepted: Networks of this host that may pass beside a tunnel; without it,
                all that are connected for good.
            clock: Seconds that only grow.

        Raises:
            DataPlaneError: The kernel refused.
        """
        self._clock = clock
        self._accepted = AcceptedNetworks() if accepted is None else accepted
        with kernel_call("open a routing socket"):
            self._connection = NetlinkConnection(NETLINK_ROUTE)
        self.wanted = DesiredState()
        self._links = LinkMaker(self._connection)
        self._repairer = Repairer(self._connection, self._links)
        self._inventory: Inventory | None = None
        self._sites = SiteGuards(self._connection)
        self._patience = RepairPatience()
        self._prefixes: Counter[str] = Counter()
        self._local: Counter[str] = Counter()
        self._guarded: set[str] = set()
        self._around = Surroundings()
        self._around_until = 0.0
        self._settled_at: float | None = None
        self._exchanging: frozenset[str] = frozenset()
        self._thrown: set[str] = set()

    @property
    def port(self) -> int:
        """The port id under which our changes are notified."""
        return self._connection.port

    def close(self) -> None:
        """Close the socket; leave everything as it is."""
        self._connection.close()

    # -- What planes ask

    def make_link(self, link: WantedLink) -> int:
        """Make an interface, or adopt ours, whatever its name; return its index.

        Raises:
            PlaneConflictError: An interface of that name is not ours.
            PlaneUnsupportedError: The kernel has no such kind.
        """
        index = self._links.ensure(link)
        self.wanted.links[link.alias] = link
        return index

    def seek_link(self, link: WantedLink) -> FoundLink | None:
        """Return our interface as it is, whatever its name; None if there is none.

        Raises:
            PlaneConflictError: An interface of that name is not ours.
        """
        return self._links.seek(link)

    def keep_mtu(self, link: WantedLink) -> WantedLink:
        """Return a link with the MTU that it has, if it is there."""
        found = self._links.seek(link)
        return link if found is None else replace(link, mtu=found.mtu)

    def claim_link(self, link: WantedLink) -> None:
        """Mark an interface that a process of ours made as ours, by its name.

        Raises:
            DataPlaneError: It is not there.
        """
        self._links.mark(link)

    def change_link(self, alias: str, *, mtu: int) -> None:
        """Give an interface another MTU."""
        link = replace(self.wanted.links[alias], mtu=mtu)
        if link == self.wanted.links[alias]:
            return
        self._links.ensure(link)
        self.wanted.links[alias] = link

    def drop_link(self, alias: str) -> None:
        """Remove an interface of ours; absence is fine."""
        self.wanted.links.pop(alias, None)
        self._links.remove(alias)

    def forget_link(self, alias: str) -> None:
        """Hold an interface no longer, and leave it."""
        self.wanted.links.pop(alias, None)

    def index_of(self, alias: str) -> int | None:
        """Return the index of an interface of ours, None if it is gone."""
        return self._links.find(alias)

    def hold(self, tunnel: WantedTunnel) -> None:
        """Make a tunnel's addresses and routes so; what was before goes last.

        Raises:
            PlaneConflictError: An address is on somebody else's interface.
            DataPlaneError: The kernel refused. What was before stands.
        """
        inventory = self._begin()
        tunnel = _canonical(tunnel)
        old = self.wanted.tunnels.get(tunnel.name)
        self._refuse_taken(tunnel, old)
        self._want(tunnel.name, tunnel)
        try:
            self._make(tunnel)
        except DataPlaneError:
            self._return_to(old, tunnel)
            raise
        if self._local.keys() != self._guarded:
            self._guard_sites()
        if old is None:
            index = self.index_of(tunnel.link)
            self._send(inventory.take_over(tunnel, index), ignore={errno.ESRCH})
        else:
            self._unmake(old)

    def move(self, name: str, alias: str, mtu: int) -> None:
        """Lead a tunnel's prefixes to another interface, each in one step."""
        tunnel = replace(self.wanted.tunnels[name], link=alias, mtu=mtu)
        self._want(name, tunnel)
        index = self.index_of(alias)
        routes = routes_of(replace(tunnel, is_guarded=False), index, self._around)
        self._set_routes(tunnel, routes)

    def release(self, name: str) -> None:
        """Remove a tunnel's addresses and routes."""
        old = self.wanted.tunnels.get(name)
        if old is not None:
            self._want(name, None)
            self._unmake(old)
            if self._local.keys() != self._guarded:
                self._guard_sites()

    @contextmanager
    def exchanging(
        self, prefixes: Iterable[str], names: Iterable[str]
    ) -> Iterator[None]:
        """Keep what moves from one tunnel to another until it has arrived there.

        Args:
            prefixes: Prefixes that one of the tunnels gives up and another one takes.
            names: The tunnels, which may take each other's addresses, too.
        """
        moving = [text_of(span_of(prefix)) for prefix in prefixes]
        self._prefixes.update(moving)
        self._exchanging = frozenset(names)
        try:
            yield
        finally:
            _subtract(self._prefixes, moving)
            self._exchanging = frozenset()

    def routed_links(self) -> dict[str, str]:
        """Return where prefixes led when we started: alias by prefix, in our table."""
        indexes = {self._links.find(alias): alias for alias in self.wanted.links}
        return {
            route.prefix: indexes[route.device]
            for route in self._begin().routes
            if route.is_ours and route.device in indexes
        }

    def connected(self) -> tuple[str, ...]:
        """Return the networks, connected for good, that may pass beside a tunnel."""
        return tuple(text_of(span) for span in self._look_around().connected)

    def path_mtu(self, peer: str) -> int:
        """Return the MTU in bytes of the outer path to an address.

        Raises:
            DataPlaneError: There is no route.
        """
        with kernel_call(f"look up the route to {peer}"):
            return path_mtu(self._connection, peer)

    def forget_unrouted(self, peers: Collection[str]) -> list[str]:
        """Forget peers that the kernel takes for neighbours for want of a route.

        Raises:
            DataPlaneError: The kernel refused.
        """
        with kernel_call("forget neighbours that are none"):
            return forget_unrouted(self._connection, peers)

    def describe(self, alias: str) -> DeviceView | None:
        """Return what an operator wants to see of an interface; None if it is gone."""
        link = self._links.look(alias)
        if link is None:
            return None
        with kernel_call(f"read the addresses of {link.name}"):
            addresses = tuple(
                found.address
                for found in read_addresses(self._connection)
                if found.index == link.index and not found.address.startswith("fe80")
            )
        return DeviceView(link.name, addresses, link.mtu, link.is_up)

    def settle(self) -> None:
        """Take it that every tunnel has said what it wants: the rest may go."""
        self._settled_at = self._clock()

    # -- Comparing

    def restore(self) -> Restoration:
        """Compare everything with the kernel and put back what is missing.

        Never raises for one thing that cannot be put back: it is named as missing.

        Raises:
            DataPlaneError: The kernel cannot be read.
        """
        result = Restoration()
        if self._inventory is None:
            return result
        now = self._clock()
        for _ in range(PASSES):
            differences, snapshot = self._compare(now)
            self._thrown.update(
                route.prefix for route in snapshot.routes if route.kind == rt.RTN_THROW
            )
            names = {i: link.name for i, link in snapshot.links.items()}
            result.missing.clear()
            if not self._put_back(differences, names, result, now):
                break
        self._guard_sites(result)
        self._patience.forget_calm(now=now)
        if self._is_settled(now):
            self._send(
                self._inventory.take_rest(self._sites.there), ignore={errno.ESRCH}
            )
        return result

    def _guard_sites(self, result: Restoration | None = None) -> None:
        """Guard our own networks, and say whose guard was gone."""
        self._guarded = set(self._local)
        for network in self._sites.keep(self._local, self._around.networks):
            if result is not None:
                what = f"the guard of {network} in table main"
                result.restored[Loss(NOBODY, what)] = None

    def _put_back(
        self,
        differences: list[Difference],
        names: dict[int, str],
        result: Restoration,
        now: float,
    ) -> bool:
        """Put things back; return whether any of that is news."""
        losses = [loss_of(difference, names) for difference in differences]
        allowed = [
            (difference, loss)
            for difference, loss in zip(differences, losses, strict=True)
            if self._patience.may(loss, now=now)
        ]
        for loss in losses:
            if not self._patience.may(loss, now=now):
                result.leave(loss, self._patience.until(loss))
        reasons = self._repairer.repair([difference for difference, _ in allowed])
        is_news = False
        for (difference, loss), reason in zip(allowed, reasons, strict=True):
            if reason:
                result.missing[loss] = reason
            elif isinstance(difference, SurplusRoute) and difference.route.is_ours:
                # Of an earlier run, or past our table for a network that went.
                self._thrown.discard(difference.route.prefix)
            elif self._is_new(difference):
                continue  # a network has come, or has been accepted
            elif loss not in result.restored:
                is_news = True
                result.restored[loss] = None
                if pause := self._patience.put_back(loss, now=now):
                    result.fought[loss] = pause
        return is_news

    def _is_new(self, difference: Difference) -> bool:
        """Whether a way past our table was not there yet; that it is now is noted."""
        if not isinstance(difference, MissingRoute):
            return False
        prefix = difference.route.prefix
        if difference.route.kind != rt.RTN_THROW or prefix in self._thrown:
            return False
        self._thrown.add(prefix)
        return True

    def _compare(self, now: float) -> tuple[list[Difference], Snapshot]:
        with kernel_call("read links, addresses and routes"):
            snapshot = take_snapshot(self._connection)
        self._links.note(snapshot.links, self.wanted.links)
        differences = compare(
            self.wanted,
            snapshot,
            self._links.indexes,
            self._accepted,
            is_settled=self._is_settled(now),
        )
        self._note_around(snapshot)
        return differences, snapshot

    def _is_settled(self, now: float) -> bool:
        return self._settled_at is not None and now >= self._settled_at

    # -- Making

    def _begin(self) -> Inventory:
        """Take down what an earlier run left, and make the rules, once."""
        if self._inventory is None:
            with kernel_call("read links, addresses and routes"):
                self._inventory = Inventory(self._connection)
            ensure_rules(self._connection)
            self._settled_at = self._clock() + SETTLING
        return self._inventory

    def _look_around(self, *, is_fresh: bool = False) -> Surroundings:
        started = self._clock()
        if is_fresh or started >= self._around_until:
            with kernel_call("read this host's addresses"):
                addresses = tuple(read_addresses(self._connection))
            own = frozenset(self._links.indexes.values())
            self._around = surroundings(addresses, own, self._accepted)
            ended = self._clock()
            self._around_until = ended + READING_SHARE * (ended - started)
        return self._around

    def _note_around(self, snapshot: Snapshot) -> None:
        own = frozenset(self._links.indexes.values())
        self._around = surroundings(snapshot.addresses, own, self._accepted)

    def _refuse_taken(self, tunnel: WantedTunnel, old: WantedTunnel | None) -> None:
        """See that no other interface has one of a tunnel's new addresses."""
        before = () if old is None else old.addresses
        taken = {
            address.partition("/")[0]
            for address in tunnel.addresses
            if address not in before and is_local(address.partition("/")[0])
        }
        if not taken:
            return  # the usual case: a hub's thousands of addresses are not read
        holders = {
            self.index_of(alias)
            for each in (tunnel, *self._exchanged())
            for alias in each.holders
        }
        with kernel_call("read this host's addresses"):
            for found in read_addresses(self._connection):
                ip = found.address.partition("/")[0]
                if ip in taken and found.index not in holders:
                    name = self._links.name_of(found.index)
                    raise PlaneConflictError(
                        f"address {ip} is on interface {name} of this host",
                        "give the tunnel another address",
                    )

    def _exchanged(self) -> Iterator[WantedTunnel]:
        """Yield the tunnels that may have what another one takes from them now."""
        for name in self._exchanging:
            if name in self.wanted.tunnels:
                yield self.wanted.tunnels[name]

    def _make(self, tunnel: WantedTunnel) -> None:
        for alias in tunnel.holders:
            index = self.index_of(alias)
            if index is None:
                continue
            self._send(
                (rt.address_request(index, one) for one in tunnel.addresses),
                f"add addresses of tunnel {tunnel.name}",
            )
        around = self._look_around()
        routes = [
            *own_guards(tunnel),
            *routes_of(tunnel, self.index_of(tunnel.link), around),
        ]
        own = [r for r in thrown([tunnel], around) if r.prefix not in self._prefixes]
        self._set_routes(tunnel, [*routes, *own])
        self._thrown.update(route.prefix for route in own)

    def _set_routes(self, tunnel: WantedTunnel, routes: Iterable[Route]) -> None:
        self._send(
            (route_change(route) for route in routes),
            f"set the routes of tunnel {tunnel.name}",
        )

    def _return_to(self, old: WantedTunnel | None, failed: WantedTunnel) -> None:
        """Undo what was made of a tunnel, as far as it can be."""
        self._want(failed.name, old)
        if old is not None:
            index = self.index_of(old.link)
            routes = (*own_guards(old), *routes_of(old, index, self._around))
            self._repairer.quietly(map(route_change, routes))
        self._unmake(failed)

    def _want(self, name: str, tunnel: WantedTunnel | None) -> None:
        """Take down what a tunnel wants from now on, None for nothing."""
        before = self.wanted.tunnels.pop(name, None)
        if before is not None:
            _subtract(self._prefixes, before.prefixes)
            _subtract(self._local, before.local)
        if tunnel is not None:
            self.wanted.tunnels[name] = tunnel
            self._prefixes.update(tunnel.prefixes)
            self._local.update(tunnel.local)

    def _unmake(self, old: WantedTunnel) -> None:
        """Remove what a tunnel had and no tunnel wants any more."""
        going = [
            route
            for prefix in old.prefixes
            if prefix not in self._prefixes
            for route in (
                Route(prefix, metric=IPV6_METRIC if ":" in prefix else 0),
                Route(prefix, rt.RTN_UNREACHABLE, metric=GUARD_METRIC),
            )
        ]
        kept_here = {
            route
            for tunnel in self.wanted.tunnels.values()
            if set(tunnel.addresses) & set(old.addresses)
            for route in own_guards(tunnel)
        }
        going += (route for route in own_guards(old) if route not in kept_here)
        own = [r for r in thrown([old], self._around) if r.prefix not in self._prefixes]
        if own:
            kept = set(thrown(self.wanted.tunnels.values(), self._around))
            own = [route for route in own if route not in kept]
            going += own
            self._thrown.difference_update(route.prefix for route in own)
        self._send(
            (route_change(route, delete=True) for route in going),
            f"remove routes of tunnel {old.name}",
            ignore={errno.ESRCH, errno.ENODEV},
        )
        for alias in old.holders:
            index = self.index_of(alias)
            gone = [
                address
                for address in old.addresses
                if index and not self.wanted.wants_address(alias, address)
            ]
            self._send(
                (rt.address_request(index or 0, one, delete=True) for one in gone),
                f"remove addresses of tunnel {old.name}",
                ignore={errno.EADDRNOTAVAIL, errno.ENODEV},
            )

    def _send(
        self,
        requests: Iterable[bytearray],
        action: str = "change routes",
        *,
        ignore: Iterable[int | None] = (),
    ) -> None:
        with kernel_call(action):
            for error in self._connection.send(list(requests)):
                if error.errno not in ignore:
                    raise error


def _subtract(counted: Counter[str], going: Iterable[str]) -> None:
    """Count down, and forget what is not there any more."""
    for one in going:
        counted[one] -= 1
        if not counted[one]:
            del counted[one]


def _canonical(tunnel: WantedTunnel) -> WantedTunnel:
    """Spell prefixes and addresses as the kernel's dumps are read."""
    return replace(
        tunnel,
        prefixes=tuple(text_of(span_of(prefix)) for prefix in tunnel.prefixes),
        addresses=tuple(map(canonical_address, tunnel.addresses)),
    )
