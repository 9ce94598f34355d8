"""Routes, addresses and filters of two devices that all tunnels share.

`gateway.dataplane.links` gives one interface to one tunnel. Here a tunnel's
addresses are on both devices, without the routes that the kernel would add for
them, so that a source address stays valid whichever device carries the tunnel; and
each prefix has a second route that refuses packets when a device, and with it the
first route, vanishes.
"""

import errno
import socket
import struct
from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv6Address,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink import NLM_F_ACK, NLM_F_REQUEST, nlmsg
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl import RTM_SETLINK

from gateway.dataplane.links import ALIAS_PREFIX
from gateway.dataplane.marks import ROUTE_PROTOCOL, ROUTE_TABLE
from gateway.dataplane.refusals import kernel_call
from gateway.dataplane.routes import address_family
from gateway.errors import PlaneConflictError

REFUSAL_METRIC = 0x7FFF0000
"""Metric of the routes that refuse: any other route to the same prefix wins."""

LOOSE = 2
"""rp_filter: a packet is right if its source is reachable by any interface. For one
round trip the two ends use different devices; WireGuard itself has checked the
source against the peer's prefixes, which is stricter than any reverse path."""

_IPV4_DEVCONF_RP_FILTER = 8
_IFLA_INET_CONF = 1
_IFA_F_NODAD = 0x02
_IFA_F_NOPREFIXROUTE = 0x200


class inet_link(nlmsg):  # type: ignore[misc]  # noqa: N801  # untyped; its style
    """RTM_SETLINK with per-interface IPv4 settings, which pyroute2 only decodes."""

    fields = (
        ("family", "B"),
        ("__align", "x"),
        ("ifi_type", "H"),
        ("index", "i"),
        ("flags", "I"),
        ("change", "I"),
    )
    nla_map = ((26, "IFLA_AF_SPEC", "cdata"),)


class _Route(IPRoute):  # type: ignore[misc]  # untyped
    def set_link(self, message: inet_link) -> None:
        """Send an RTM_SETLINK that pyroute2 has no words for."""
        flags = NLM_F_REQUEST | NLM_F_ACK
        request = self.asyncore.nlm_request
        self._run_sync_cleanup(request, message, RTM_SETLINK, flags)


class SharedLinks:
    """What `Links` does not do, with a routing socket of its own."""

    def __init__(self) -> None:
        with kernel_call("open a routing socket"):
            self._route = _Route()

    def close(self) -> None:
        """Close the socket; leave everything as it is."""
        self._route.close()

    def mark(self, device: str, owner: str) -> None:
        """Mark an interface that a process of ours made as ours."""
        with kernel_call(f"mark interface {device} as ours"):
            index = socket.if_nametoindex(device)
            self._route.link("set", index=index, ifalias=ALIAS_PREFIX + owner)

    def bring_up(self, device: str) -> None:
        """Bring a device up."""
        with kernel_call(f"bring interface {device} up"):
            index = socket.if_nametoindex(device)
            self._route.link("set", index=index, state="up")

    def loosen_reverse_path(self, device: str) -> None:
        """Set a device's rp_filter to `LOOSE`.

        By netlink, since a hardened service cannot write to /proc/sys.
        """
        setting = struct.pack("=HHI", 8, _IPV4_DEVCONF_RP_FILTER, LOOSE)
        conf = struct.pack("=HH", 4 + len(setting), _IFLA_INET_CONF) + setting
        inet = struct.pack("=HH", 4 + len(conf), socket.AF_INET) + conf
        with kernel_call(f"set rp_filter of {device}"):
            message = inet_link()
            message["index"] = socket.if_nametoindex(device)
            message["attrs"].append(("IFLA_AF_SPEC", inet))
            self._route.set_link(message)

    def refuse_taken(self, addresses: Iterable[str], own: Iterable[str]) -> None:
        """See that no interface but our own has one of these addresses.

        Raises:
            PlaneConflictError: One has; the message names it.
        """
        taken = [ip for a in addresses if _is_ours(ip := ip_interface(a).ip)]
        if not taken:
            return  # the usual case: a hub's thousands of addresses are not read
        with kernel_call("read this host's addresses"):
            indexes = {socket.if_nametoindex(device) for device in own}
            for entry in self._route.get_addr():
                found = entry.get_attr("IFA_LOCAL") or entry.get_attr("IFA_ADDRESS")
                if entry["index"] not in indexes and ip_address(found) in taken:
                    holder = socket.if_indextoname(entry["index"])
                    raise PlaneConflictError(
                        f"address {found} is on interface {holder} of this host",
                        "give the tunnel another address",
                    )

    def ensure_addresses(self, device: str, addresses: Iterable[str]) -> None:
        """Put addresses on a device, without routes for their networks."""
        with kernel_call(f"add addresses to {device}"):
            index = socket.if_nametoindex(device)
            for address in addresses:
                parsed = ip_interface(address)
                # No duplicate detection: nobody else is on a tunnel's device.
                self._route.addr(
                    "replace",
                    index=index,
                    address=str(parsed.ip),
                    prefixlen=parsed.network.prefixlen,
                    flags=_IFA_F_NOPREFIXROUTE
                    | (_IFA_F_NODAD if parsed.version == 6 else 0),  # noqa: PLR2004  # IP version
                )

    def remove_addresses(self, device: str, addresses: Iterable[str]) -> None:
        """Take addresses off a device; absence is fine, of the device too."""
        for address in addresses:
            parsed = ip_interface(address)
            with kernel_call(f"remove address {address} from {device}"):
                try:
                    self._route.addr(
                        "del",
                        index=socket.if_nametoindex(device),
                        address=str(parsed.ip),
                        prefixlen=parsed.network.prefixlen,
                    )
                except (NetlinkError, OSError) as error:
                    _forgive(error, errno.EADDRNOTAVAIL, errno.ENODEV)

    def move_route(
        self, prefix: str, device: str, *, source: str | None, mtu: int | None
    ) -> None:
        """Point a prefix at a device, in one step that loses nothing.

        Unlike `Routes.replace` it does not look for a foreign route first, which
        would read the whole table at each rotation; `add_tunnel` has looked.
        """
        settings: dict[str, Any] = {
            **self._prefix(prefix),
            "oif": socket.if_nametoindex(device),
        }
        if source is not None:
            settings["prefsrc"] = source
        if mtu is not None:
            settings["metrics"] = {"mtu": mtu}
        with kernel_call(f"route {prefix} to {device}"):
            self._route.route("replace", **settings)

    def refuse(self, prefix: str) -> None:
        """Refuse packets to a prefix for which no better route is there."""
        with kernel_call(f"refuse {prefix}"):
            self._route.route("replace", **self._refusal(prefix))

    def stop_refusing(self, prefix: str) -> None:
        """Undo `refuse`; absence is fine."""
        with kernel_call(f"stop refusing {prefix}"):
            try:
                self._route.route("del", **self._refusal(prefix))
            except NetlinkError as error:
                _forgive(error, errno.ESRCH)

    def routed_devices(self, devices: Iterable[str]) -> dict[str, str]:
        """Return which device each prefix that we routed leads to."""
        found: dict[str, str] = {}
        with kernel_call("read routes"):
            names = {socket.if_nametoindex(device): device for device in devices}
            for route in self._route.get_routes(table=ROUTE_TABLE):
                device = names.get(route.get_attr("RTA_OIF"))
                if device is not None and route["proto"] == ROUTE_PROTOCOL:
                    default = "0.0.0.0" if route["family"] == socket.AF_INET else "::"  # noqa: S104  # a destination
                    prefix = route.get_attr("RTA_DST") or default
                    found[f"{prefix}/{route['dst_len']}"] = device
        return found

    def _prefix(self, prefix: str) -> dict[str, Any]:
        network = ip_network(prefix)
        return {
            "dst": str(network),
            "proto": ROUTE_PROTOCOL,
            "family": address_family(network.version),
            "table": ROUTE_TABLE,
        }

    def _refusal(self, prefix: str) -> dict[str, Any]:
        return {
            **self._prefix(prefix),
            "type": "unreachable",
            "priority": REFUSAL_METRIC,
        }


def _forgive(error: NetlinkError | OSError, *numbers: int) -> None:
    """Raise unless the refusal is one of these."""
    if isinstance(error, NetlinkError):
        number = abs(int(error.code))
    else:
        # if_nametoindex has no errno for an interface that is not there.
        number = error.errno or errno.ENODEV
    if number not in numbers:
        raise error


def _is_ours(address: IPv4Address | IPv6Address) -> bool:
    """Whether this host has an address: only then can a socket be bound to it."""
    with socket.socket(address_family(address.version), socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True
