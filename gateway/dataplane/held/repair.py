"""Differences carried out: each is put back by one request, or it is said why not."""

import os
from collections.abc import Iterable

from gateway.dataplane import marks
from gateway.dataplane.held.compare import (
    ChangedLink,
    Difference,
    MissingAddress,
    MissingLink,
    MissingRoute,
    MissingRule,
    SurplusRoute,
)
from gateway.dataplane.held.links import LinkMaker
from gateway.dataplane.held.rules import rule_creation
from gateway.dataplane.held.wanted import Route
from gateway.dataplane.netlink import rtnetlink as rt
from gateway.dataplane.netlink.connection import NetlinkConnection
from gateway.errors import DataPlaneError

ONLY_ITS_PLANE = "what it held went with it; its plane makes it anew"


def route_change(route: Route, *, delete: bool = False) -> bytearray:
    """Return a request that sets a route of our table, or deletes anybody's."""
    return rt.route_request(
        route.prefix,
        route.kind,
        table=marks.ROUTE_TABLE,
        protocol=0 if delete else marks.ROUTE_PROTOCOL,
        index=route.index,
        source=route.source,
        mtu=route.mtu,
        metric=route.metric,
        delete=delete,
    )


class Repairer:
    """Puts things back, one at a time."""

    def __init__(self, connection: NetlinkConnection, links: LinkMaker) -> None:
        self._connection = connection
        self._links = links

    def repair(self, difference: Difference) -> str:  # noqa: PLR0911  # a table
        """Put something back; return why it cannot be, or nothing."""
        try:
            match difference:
                case MissingLink(link) if link.makable:
                    self._links.ensure(link)
                case MissingLink():
                    return ONLY_ITS_PLANE
                case ChangedLink(link, found):
                    self._links.adjust(link, found)
                case MissingAddress(_, index, address):
                    return self._send(rt.address_request(index, address))
                case MissingRoute(_, route):
                    return self._send(route_change(route))
                case SurplusRoute(route):
                    return self._send(route_change(route, delete=True))
                case MissingRule(family):
                    return self._send(rule_creation(family))
        except DataPlaneError as error:
            return error.message
        return ""

    def quietly(self, requests: Iterable[bytearray]) -> None:
        """Carry out what can be, after a failure that is being reported."""
        self._connection.send(list(requests))

    def _send(self, request: bytearray) -> str:
        errors = self._connection.send([request])
        return os.strerror(errors[0].errno or 0) if errors else ""
