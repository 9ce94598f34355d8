"""Differences carried out: each by one request, or it is said why not."""

import errno
import os
from collections.abc import Iterable, Sequence

from gateway.dataplane.held.compare import (
    ChangedLink,
    Difference,
    MissingAddress,
    MissingLink,
    MissingRoute,
    MissingRule,
    SurplusRoute,
)
from gateway.dataplane.held.interfaces import LinkMaker
from gateway.dataplane.held.rules import rule_creation
from gateway.dataplane.held.wanted import Route
from gateway.dataplane.netlink import rtnetlink as rt
from gateway.dataplane.netlink.connection import NetlinkConnection
from gateway.errors import DataPlaneError
from gateway.host import marks

ONLY_ITS_PLANE = "what it held went with it; its plane makes it anew"


def route_change(route: Route, *, delete: bool = False) -> bytearray:
    """Return a request that sets a route of our table, or deletes anybody's."""
    return rt.route_request(
        route.prefix,
        route.kind,
        table=marks.ROUTE_TABLE,
        protocol=0 if delete else marks.ROUTE_PROTOCOL,
        index=route.device,
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

    def repair(self, differences: Sequence[Difference]) -> list[str]:
        """Put things back, in order; return for each why it cannot be, or nothing.

        Interfaces one at a time, all else with as few system calls as can be.
        """
        reasons = [""] * len(differences)
        requests: list[bytearray] = []
        places: list[int] = []
        for place, difference in enumerate(differences):
            request = _request(difference)
            if request is None:
                reasons[place] = self._repair_link(difference)
            else:
                requests.append(request)
                places.append(place)
        for error in self._connection.send(requests):
            if error.errno not in _DONE.get(
                type(differences[places[error.position]]), ()
            ):
                reasons[places[error.position]] = os.strerror(error.errno or 0)
        return reasons

    def _repair_link(self, difference: Difference) -> str:
        try:
            match difference:
                case MissingLink(link) if link.makable:
                    self._links.ensure(link)
                case MissingLink():
                    return ONLY_ITS_PLANE
                case ChangedLink(link, found):
                    self._links.adjust(link, found)
                case _:
                    pass
        except DataPlaneError as error:
            return error.message
        return ""

    def quietly(self, requests: Iterable[bytearray]) -> None:
        """Carry out what can be, after a failure that is being reported."""
        self._connection.send(list(requests))


_DONE: dict[type, tuple[int, ...]] = {
    SurplusRoute: (errno.ESRCH,),
    MissingRule: (errno.EEXIST,),
}
"""Refusals that say that it is done already."""


def _request(difference: Difference) -> bytearray | None:
    """Return the request that puts something back; None for interfaces."""
    match difference:
        case MissingAddress(_, index, address):
            return rt.address_request(index, address)
        case MissingRoute(_, route):
            return route_change(route)
        case SurplusRoute(route):
            return route_change(route, delete=True)
        case MissingRule(family):
            return rule_creation(family)
        case _:
            return None
