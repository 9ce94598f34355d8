"""The reason why a network of this host is not connected: for a while, or for good.

A network whose interface is down, unplugged or without carrier comes back with it. One
that an interface lost while it is up was taken away, and one that has a route of its
own by now lies elsewhere.
"""

import errno
from contextlib import closing
from ipaddress import ip_network

from pyroute2.netlink import NETLINK_ROUTE

from gateway.dataplane.held.snapshot import parse_route
from gateway.dataplane.netlink import rtnetlink as rt
from gateway.dataplane.netlink.connection import (
    READ_SIZE,
    NetlinkConnection,
    RequestError,
)
from gateway.dataplane.refusals import kernel_call
from gateway.host import marks

_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES})
_WORKS = rt.IFF_UP | rt.IFF_RUNNING


def is_to_return(network: str, devices: tuple[str, ...]) -> bool:
    """Whether a network that went comes back once an interface of it works again.

    Args:
        network: The network, ``"10.1.0.0/24"``.
        devices: Names of the interfaces that held it.

    Raises:
        DataPlaneError: The kernel refused.
    """
    with (
        kernel_call("look why a network is away"),
        closing(NetlinkConnection(NETLINK_ROUTE)) as connection,
    ):
        is_down = any(_is_down(connection, device) for device in devices)
        return is_down and not _is_routed(connection, network)


def _is_down(connection: NetlinkConnection, device: str) -> bool:
    """Whether an interface is there and does not work."""
    try:
        (answer,) = connection.ask([rt.link_question(name=device)], READ_SIZE)
    except RequestError as error:
        if error.errno == errno.ENODEV:
            return False
        raise
    if answer is None:
        return False
    _, _, _, flags, _ = rt.IFINFO.unpack_from(answer, rt.HEADER.size)
    return int(flags) & _WORKS != _WORKS


def _is_routed(connection: NetlinkConnection, network: str) -> bool:
    """Whether a route leads to just this network."""
    first = str(ip_network(network).network_address)
    question = rt.route_question(first, marks.OUTER_MARK, rt.RTM_F_FIB_MATCH)
    try:
        (answer,) = connection.ask([question], READ_SIZE)
    except RequestError as error:
        if error.errno in _NO_ROUTE:
            return False
        raise
    if answer is None:
        return False
    route = parse_route(answer)
    return route.kind == rt.RTN_UNICAST and route.prefix == network
