"""Interfaces, their addresses and MTU, for every plane.

What we make carries our mark, so that a restarted daemon adopts it and nothing
else is ever touched: an interface has an alias ``qgw:TUNNEL``, a route has the
protocol number `ROUTE_PROTOCOL`. An address is ours when its interface is.

All calls block. One `Links` belongs to the thread that uses it: pyroute2 keeps
an event loop of its own for each thread, which does not meet the daemon's.
"""

import errno
from collections.abc import Iterable
from ipaddress import ip_address, ip_interface

from pyroute2 import IPRoute
from pyroute2.netlink import NETLINK_ROUTE, nlmsg
from pyroute2.netlink.exceptions import NetlinkError

from gateway.dataplane.held.rules import ensure_rules
from gateway.dataplane.netlink.connection import NetlinkConnection
from gateway.dataplane.refusals import explain_refusal, kernel_call
from gateway.dataplane.routes import Routes, address_family, interface_index
from gateway.dataplane.view import DeviceView
from gateway.errors import DataPlaneError, PlaneConflictError

ALIAS_PREFIX = "qgw:"
"""Start of the alias (`ip link show`) of every interface we made."""

MAX_INTERFACE_NAME = 15
"""Bytes in an interface name: IFNAMSIZ less the terminating zero."""


class Links:
    """The part of the kernel's link, address and route tables that is ours."""

    def __init__(self) -> None:
        with kernel_call("open a routing socket"):
            self._route = IPRoute()
        self.routes = Routes(self._route)
        self._has_rules = False

    def close(self) -> None:
        """Close the socket; leave interfaces and routes as they are."""
        self._route.close()

    def lead_to_table(self) -> None:
        """Make the rules that lead packets to our routes, once."""
        if not self._has_rules:
            connection = NetlinkConnection(NETLINK_ROUTE)
            try:
                ensure_rules(connection)
            finally:
                connection.close()
            self._has_rules = True

    def find_interface(self, name: str) -> int | None:
        """Return the interface's index, or None when there is none by that name."""
        link = self._get_link(name)
        return None if link is None else int(link["index"])

    def owner_of(self, name: str) -> str | None:
        """Return the tunnel for which we made the interface, or None."""
        link = self._get_link(name)
        return None if link is None else _owner(link)

    def ensure_interface(
        self, name: str, kind: str, owner: str, *, needs: str = "", **settings: object
    ) -> int:
        """Make an interface, or adopt the one that we made before; bring it up.

        Args:
            name: Interface name, at most 15 bytes.
            kind: ``xfrm``, ``dummy``, ``wireguard``, ...
            owner: Name of the tunnel (or of the gateway's part) it is made for.
            needs: What to install if the kernel has no such kind.
            settings: More attributes for a new interface, in pyroute2's names.

        Returns:
            The interface's index.

        Raises:
            PlaneConflictError: An interface of that name is not ours.
            PlaneUnsupportedError: The kernel has no such kind.
        """
        link = self._get_link(name)
        if link is None:
            self._make_interface(name, kind, needs, settings)
            with kernel_call(f"mark interface {name} as ours"):
                index = interface_index(name)
                self._route.link(
                    "set", index=index, ifalias=ALIAS_PREFIX + owner, state="up"
                )
            return index
        if _owner(link) != owner or _kind(link) != kind:
            raise PlaneConflictError(
                f"interface {name} is there and was not made for tunnel {owner}",
                f"remove it (ip link delete {name}) or set another `interface`",
            )
        index = int(link["index"])
        if not link["flags"] & _IFF_UP:
            with kernel_call(f"bring interface {name} up"):
                self._route.link("set", index=index, state="up")
        return index

    def remove_interface(self, name: str, owner: str) -> None:
        """Remove an interface of ours; one that is not ours, or gone, is left."""
        link = self._get_link(name)
        if link is None or _owner(link) != owner:
            return
        with kernel_call(f"remove interface {name}"):
            try:
                self._route.link("del", index=link["index"])
            except NetlinkError as error:
                if abs(error.code) != errno.ENODEV:
                    raise

    def set_mtu(self, name: str, mtu: int) -> None:
        """Set an interface's MTU in bytes."""
        link = self._get_link(name)
        if link is not None and link.get_attr("IFLA_MTU") == mtu:
            return
        with kernel_call(f"set the MTU of {name} to {mtu}"):
            self._route.link("set", index=interface_index(name), mtu=mtu)

    def mtu_of(self, name: str) -> int:
        """Return an interface's MTU in bytes."""
        link = self._get_link(name)
        if link is None:
            raise explain_refusal(f"read the MTU of {name}", errno.ENODEV)
        return int(link.get_attr("IFLA_MTU"))

    def describe(self, name: str) -> DeviceView | None:
        """Return what an operator wants to see of an interface; None if it is gone."""
        link = self._get_link(name)
        if link is None:
            return None
        return DeviceView(
            name=name,
            addresses=self.addresses_of(name),
            mtu=int(link.get_attr("IFLA_MTU")),
            is_up=bool(link["flags"] & _IFF_UP),
        )

    def addresses_of(self, name: str) -> tuple[str, ...]:
        """Return the interface's addresses as ``ADDRESS/LENGTH``, no link-local."""
        with kernel_call(f"read the addresses of {name}"):
            index = interface_index(name)
            found = [
                f"{entry.get_attr('IFA_LOCAL') or entry.get_attr('IFA_ADDRESS')}"
                f"/{entry['prefixlen']}"
                for entry in self._route.get_addr(index=index)
            ]
        return tuple(a for a in found if not ip_interface(a).is_link_local)

    def all_addresses(self) -> tuple[str, ...]:
        """Return every address of this host as ``ADDRESS/LENGTH``."""
        with kernel_call("read this host's addresses"):
            return tuple(
                f"{entry.get_attr('IFA_LOCAL') or entry.get_attr('IFA_ADDRESS')}"
                f"/{entry['prefixlen']}"
                for entry in self._route.get_addr()
            )

    def set_addresses(self, name: str, wanted: Iterable[str]) -> None:
        """Give an interface of ours exactly these addresses.

        Raises:
            PlaneConflictError: Another interface of this host has one of them.
        """
        addresses = {str(ip_interface(address)) for address in wanted}
        there = set(self.addresses_of(name))
        for address in sorted(addresses - there):
            self.ensure_address(name, address)
        for address in sorted(there - addresses):
            self.remove_address(name, address)

    def ensure_address(self, name: str, address: str) -> None:
        """Put ``ADDRESS/LENGTH`` on an interface of ours, if it is not there.

        Raises:
            PlaneConflictError: Another interface of this host has the address.
        """
        parsed = ip_interface(address)
        with kernel_call(f"add address {address} to {name}"):
            index = interface_index(name)
            for entry in self._route.get_addr(family=address_family(parsed.version)):
                found = entry.get_attr("IFA_LOCAL") or entry.get_attr("IFA_ADDRESS")
                if ip_address(found) != parsed.ip:
                    continue
                if entry["index"] != index:
                    raise PlaneConflictError(
                        f"address {parsed.ip} is on another interface of this host",
                        "give the tunnel another address",
                    )
                if entry["prefixlen"] == parsed.network.prefixlen:
                    return
            # No duplicate detection: nobody else is on a tunnel interface, and
            # an address must be usable as a source at once.
            flags = {"flags": _IFA_F_NODAD} if ":" in address else {}
            self._route.addr(
                "add",
                index=index,
                address=str(parsed.ip),
                prefixlen=parsed.network.prefixlen,
                **flags,
            )

    def remove_address(self, name: str, address: str) -> None:
        """Take ``ADDRESS/LENGTH`` off an interface; absence is fine."""
        parsed = ip_interface(address)
        with kernel_call(f"remove address {address} from {name}"):
            try:
                self._route.addr(
                    "del",
                    index=interface_index(name),
                    address=str(parsed.ip),
                    prefixlen=parsed.network.prefixlen,
                )
            except NetlinkError as error:
                if abs(error.code) != errno.EADDRNOTAVAIL:
                    raise

    def _get_link(self, name: str) -> nlmsg | None:
        if not name or len(name.encode()) > MAX_INTERFACE_NAME:
            raise DataPlaneError(
                f"{name!r} cannot be an interface's name",
                f"use 1 to {MAX_INTERFACE_NAME} bytes",
            )
        with kernel_call(f"read interface {name}"):
            try:
                (link,) = self._route.link("get", ifname=name)
            except NetlinkError as error:
                if abs(error.code) != errno.ENODEV:
                    raise
                return None
            return link

    def _make_interface(
        self, name: str, kind: str, needs: str, settings: dict[str, object]
    ) -> None:
        with kernel_call(
            f"make {kind} interface {name}",
            needs=needs or f"this kernel has no {kind} interfaces",
        ):
            self._route.link("add", ifname=name, kind=kind, **settings)


_IFF_UP = 1
_IFA_F_NODAD = 2


def _owner(link: nlmsg) -> str | None:
    alias = link.get_attr("IFLA_IFALIAS") or ""
    if not alias.startswith(ALIAS_PREFIX):
        return None
    return str(alias.removeprefix(ALIAS_PREFIX))


def _kind(link: nlmsg) -> str | None:
    info = link.get_attr("IFLA_LINKINFO")
    return None if info is None else info.get_attr("IFLA_INFO_KIND")
