"""The routes that an earlier run left, until tunnels take them over."""

from collections.abc import Collection

from gateway.dataplane.held.snapshot import read_routes
from gateway.dataplane.held.wanted import GUARD_METRIC, Route, WantedTunnel
from gateway.dataplane.netlink import rtnetlink as rt
from gateway.dataplane.netlink.connection import NetlinkConnection
from gateway.host import marks


class Inventory:
    """What was there when we started.

    Attributes:
        routes: Routes of our table.
    """

    def __init__(self, connection: NetlinkConnection) -> None:
        self.routes = tuple(read_routes(connection, marks.ROUTE_TABLE))
        # Releases before our own table kept their routes in table main.
        self._in_main = set(
            read_routes(connection, rt.RT_TABLE_MAIN, marks.ROUTE_PROTOCOL)
        )

    def take_over(self, tunnel: WantedTunnel, index: int | None) -> list[bytearray]:
        """Return deletions of what a tunnel that is made does not want of it.

        Args:
            tunnel: The tunnel.
            index: The interface to which it leads.
        """
        going = [route for route in self._in_main if route.prefix in tunnel.prefixes]
        self._in_main.difference_update(going)
        requests = [_deletion(route, rt.RT_TABLE_MAIN) for route in going]
        if len(tunnel.holders) > 1:
            return requests  # the interface leads into other tunnels, too
        left = {r.prefix for r in self.routes if r.device and r.device == index}
        left -= set(tunnel.prefixes)
        return requests + [
            _deletion(route, marks.ROUTE_TABLE)
            for route in self.routes
            if route.prefix in left
        ]

    def take_rest(self, guarded: Collection[str]) -> list[bytearray]:
        """Return deletions of what nobody took over, once.

        Args:
            guarded: Networks whose guard in table main stays.
        """
        requests = [
            _deletion(route, rt.RT_TABLE_MAIN)
            for route in self._in_main
            if route.metric != GUARD_METRIC or route.prefix not in guarded
        ]
        self._in_main.clear()
        self.routes = ()
        return requests


def _deletion(route: Route, table: int) -> bytearray:
    return rt.route_request(
        route.prefix,
        route.kind,
        table=table,
        protocol=0,
        index=route.device,
        metric=route.metric,
        delete=True,
    )
