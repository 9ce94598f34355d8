"""Routes of every plane, and what the kernel knows of outer paths."""

import errno
import socket
from collections.abc import Iterable
from ipaddress import ip_interface, ip_network
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink import nlmsg
from pyroute2.netlink.exceptions import NetlinkError

from gateway.dataplane.marks import OUTER_MARK, ROUTE_PROTOCOL, ROUTE_TABLE
from gateway.dataplane.refusals import kernel_call
from gateway.errors import PlaneConflictError

GUARD_METRIC = 0xFFFF_0000
"""Metric of the routes that refuse a prefix when its tunnel has no route: worse
than any an operator would choose for a real one."""


class Routes:
    """The routes in our own table. Reached as `Links.routes`."""

    def __init__(self, route: IPRoute) -> None:
        self._route = route

    def set(
        self,
        name: str,
        wanted: Iterable[str],
        *,
        sources: Iterable[str] = (),
        mtu: int | None = None,
    ) -> None:
        """Give an interface exactly these routes of ours, and no other of ours."""
        prefixes = {str(ip_network(prefix)) for prefix in wanted}
        sources = tuple(sources)
        for prefix in sorted(prefixes):
            self.replace(prefix, name, source=_source(prefix, sources), mtu=mtu)
        for prefix in self.prefixes(name):
            if prefix not in prefixes:
                self.delete(prefix, name)

    def replace(
        self,
        prefix: str,
        name: str,
        *,
        source: str | None = None,
        mtu: int | None = None,
    ) -> None:
        """Point a prefix at an interface, atomically if the route is ours already.

        Args:
            prefix: ``10.2.0.0/16``.
            name: The interface.
            source: Source address for packets of this host, or None.
            mtu: Route MTU in bytes, or None for the interface's.

        Raises:
            PlaneConflictError: A route to exactly this prefix is not ours.
        """
        settings = self._route_settings(prefix, name)
        if source is not None:
            settings["prefsrc"] = source
        if mtu is not None:
            settings["metrics"] = {"mtu": mtu}
        with kernel_call(f"route {prefix} to {name}"):
            try:
                self._route.route("add", **settings)
            except NetlinkError as error:
                if abs(error.code) != errno.EEXIST:
                    raise
                self._refuse_foreign_route(prefix)
                self._route.route("replace", **settings)

    def guard(self, prefix: str) -> None:
        """Refuse a prefix (ICMP unreachable) while no other route leads there."""
        with kernel_call(f"guard {prefix} with an unreachable route"):
            self._route.route("replace", **self._guard_settings(prefix))

    def remove_guard(self, prefix: str) -> None:
        """Remove what `guard` made; absence is fine."""
        with kernel_call(f"remove the unreachable route to {prefix}"):
            try:
                self._route.route("del", **self._guard_settings(prefix))
            except NetlinkError as error:
                if _number(error) != errno.ESRCH:
                    raise

    def delete(self, prefix: str, name: str) -> None:
        """Remove our route to a prefix by this interface; absence is fine."""
        with kernel_call(f"remove the route to {prefix}"):
            try:
                self._route.route("del", **self._route_settings(prefix, name))
            except (NetlinkError, OSError) as error:
                if _number(error) not in {errno.ESRCH, errno.ENODEV}:
                    raise

    def prefixes(self, name: str) -> tuple[str, ...]:
        """Return the prefixes that routes of ours point at the interface."""
        with kernel_call(f"read the routes of {name}"):
            found = self._route.get_routes(
                oif=interface_index(name),
                proto=ROUTE_PROTOCOL,
                table=ROUTE_TABLE,
            )
            return tuple(_destination(route) for route in found)

    def path_mtu(self, peer: str) -> int:
        """Return the MTU in bytes of the outer path to an address.

        What the kernel has learnt of the path counts, else the MTU of the
        interface the route leaves by. With the mark of what goes outside: the address
        may lie inside a remote prefix.
        """
        with kernel_call(f"look up the route to {peer}"):
            (route,) = self._route.route("get", dst=peer, mark=OUTER_MARK)
            metrics = route.get_attr("RTA_METRICS")
            learnt = metrics.get_attr("RTAX_MTU") if metrics is not None else None
            if learnt:
                return int(learnt)
            (link,) = self._route.link("get", index=route.get_attr("RTA_OIF"))
            return int(link.get_attr("IFLA_MTU"))

    def _route_settings(self, prefix: str, name: str) -> dict[str, Any]:
        network = ip_network(prefix)
        return {
            "dst": str(network),
            "oif": interface_index(name),
            "proto": ROUTE_PROTOCOL,
            "family": address_family(network.version),
            "table": ROUTE_TABLE,
        }

    def _guard_settings(self, prefix: str) -> dict[str, Any]:
        network = ip_network(prefix)
        return {
            "dst": str(network),
            "type": "unreachable",
            "priority": GUARD_METRIC,
            "proto": ROUTE_PROTOCOL,
            "family": address_family(network.version),
            "table": ROUTE_TABLE,
        }

    def _refuse_foreign_route(self, prefix: str) -> None:
        network = ip_network(prefix)
        for route in self._route.get_routes(family=address_family(network.version)):
            if (
                route["proto"] == ROUTE_PROTOCOL
                and route.get_attr("RTA_PRIORITY") != GUARD_METRIC
                and route.get_attr("RTA_TABLE") == ROUTE_TABLE
                and _destination(route) == str(network)
            ):
                return
        raise PlaneConflictError(
            f"a route to {prefix} is there and is not ours",
            f"remove it (ip route delete {prefix}) or change `remote_subnets`",
        )


def address_family(version: int) -> int:
    """Return AF_INET or AF_INET6 for IP version 4 or 6."""
    return int({4: socket.AF_INET, 6: socket.AF_INET6}[version])


def interface_index(name: str) -> int:
    """Return an interface's index.

    Raises:
        OSError: With ENODEV, there is no such interface.
    """
    try:
        return socket.if_nametoindex(name)
    except OSError:
        # The C library's error carries no number.
        raise OSError(errno.ENODEV, f"no interface {name}") from None


def _destination(route: nlmsg) -> str:
    default = "0.0.0.0" if route["family"] == socket.AF_INET else "::"  # noqa: S104  # a route's destination, not a bind
    return f"{route.get_attr('RTA_DST') or default}/{route['dst_len']}"


def _source(prefix: str, sources: tuple[str, ...]) -> str | None:
    """Return the first of our inside addresses in the prefix's family."""
    version = ip_network(prefix).version
    for source in sources:
        if ip_interface(source).version == version:
            return str(ip_interface(source).ip)
    return None


def _number(error: NetlinkError | OSError) -> int:
    """Return the errno value of either kind of refusal."""
    if isinstance(error, NetlinkError):
        return abs(int(error.code or 0))
    return error.errno or 0
