"""The kernel's state: dumps of links, addresses, routes and rules, read raw.

Full decoding takes 0.3 ms a message; a hub of thousands is compared in the
processor time of some milliseconds a thousand.
"""

import errno
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from socket import AF_INET, inet_ntop

from gateway.dataplane.held.wanted import Route
from gateway.dataplane.netlink import rtnetlink as rt
from gateway.dataplane.netlink.connection import NetlinkConnection, RequestError
from gateway.host import marks

_HEAD = rt.HEADER.size
_U32 = struct.Struct("=I")
_RTMSG = rt.RTMSG
_ATTRIBUTE = struct.Struct("=HH")
_ROUTE_ATTRIBUTES = _HEAD + rt.RTMSG.size
_DST, _OIF, _PRIORITY = rt.RTA_DST, rt.RTA_OIF, rt.RTA_PRIORITY
_PREFSRC, _METRICS, _UNICAST = rt.RTA_PREFSRC, rt.RTA_METRICS, rt.RTN_UNICAST

_FOREIGN = frozenset({5, 9, 18, 30})
"""RTA_GATEWAY, RTA_MULTIPATH, RTA_VIA, RTA_NH_ID: never in a route of ours."""


@dataclass(frozen=True, slots=True)
class FoundLink:
    """An interface; see `WantedLink` for what is not said here.

    Attributes:
        index: The kernel's number for it.
        is_up: Whether it is up, administratively.
    """

    index: int
    name: str
    alias: str
    kind: str
    mtu: int
    if_id: int
    is_up: bool


@dataclass(frozen=True, slots=True)
class FoundAddress:
    """An address: ``10.9.0.1/30`` on an interface, with its IFA_F_ flags."""

    index: int
    address: str
    flags: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The kernel's tables at one moment, as far as they concern us.

    Attributes:
        links: Interfaces by index.
        addresses: Addresses of this host.
        routes: Routes of our table, everybody's.
        rules: Families that have our rule.
    """

    links: dict[int, FoundLink]
    addresses: tuple[FoundAddress, ...]
    routes: tuple[Route, ...] = ()
    rules: frozenset[int] = frozenset(rt.FAMILIES)


def take_snapshot(connection: NetlinkConnection) -> Snapshot:
    """Read all that is compared.

    Raises:
        OSError: The kernel refused.
    """
    return Snapshot(
        links=read_links(connection),
        addresses=tuple(read_addresses(connection)),
        routes=tuple(read_routes(connection, marks.ROUTE_TABLE)),
        rules=read_rules(connection),
    )


def read_links(connection: NetlinkConnection) -> dict[int, FoundLink]:
    """Return all interfaces by index."""
    found = map(parse_link, connection.dump(rt.link_question()))
    return {link.index: link for link in found}


def parse_link(message: bytes) -> FoundLink:
    """Read an RTM_NEWLINK."""
    _, _, index, flags, _ = rt.IFINFO.unpack_from(message, _HEAD)
    name = alias = kind = ""
    mtu = if_id = 0
    for number, payload in rt.walk(message, _HEAD + rt.IFINFO.size):
        if number == rt.IFLA_IFNAME:
            name = payload.rstrip(b"\0").decode("utf-8", "replace")
        elif number == rt.IFLA_MTU:
            (mtu,) = _U32.unpack(payload)
        elif number == rt.IFLA_IFALIAS:
            alias = payload.rstrip(b"\0").decode("utf-8", "replace")
        elif number == rt.IFLA_LINKINFO:
            kind, if_id = _parse_link_info(payload)
    return FoundLink(index, name, alias, kind, mtu, if_id, bool(flags & rt.IFF_UP))


def _parse_link_info(payload: bytes) -> tuple[str, int]:
    kind, if_id = "", 0
    for number, inner in rt.walk(payload, 0):
        if number == rt.IFLA_INFO_KIND:
            kind = inner.rstrip(b"\0").decode("ascii", "replace")
        elif number == rt.IFLA_INFO_DATA and kind == "xfrm":
            for field, value in rt.walk(inner, 0):
                if field == rt.IFLA_XFRM_IF_ID:
                    (if_id,) = _U32.unpack(value)
    return kind, if_id


def read_addresses(connection: NetlinkConnection) -> Iterator[FoundAddress]:
    """Yield this host's addresses."""
    for message in connection.dump(rt.address_question()):
        family, length, flags, _, index = rt.IFADDR.unpack_from(message, _HEAD)
        if family not in rt.FAMILIES:
            continue
        address = local = b""
        for number, payload in rt.walk(message, _HEAD + rt.IFADDR.size):
            if number == rt.IFA_LOCAL:
                local = payload
            elif number == rt.IFA_ADDRESS:
                address = payload
            elif number == rt.IFA_FLAGS:
                (flags,) = _U32.unpack(payload)
        text = inet_ntop(family, local or address)
        yield FoundAddress(index, f"{text}/{length}", flags)


def read_routes(
    connection: NetlinkConnection, table: int, protocol: int = 0
) -> Iterator[Route]:
    """Yield the routes of one table; one that is not there has none.

    The kernel itself leaves out other protocols' than the one given: a table main may
    have a million.
    """
    for family in rt.FAMILIES:
        try:
            for message in connection.dump(rt.route_dump(family, table, protocol)):
                yield parse_route(message)
        except RequestError as error:
            if error.errno not in {errno.ENOENT, errno.EAFNOSUPPORT}:
                raise


def parse_route(message: bytes) -> Route:
    """Read an RTM_NEWROUTE. Walks by itself: a hub has tens of thousands."""
    family, length, _, _, _, protocol, _, kind, _ = _RTMSG.unpack_from(message, _HEAD)
    destination = "0.0.0.0" if family == AF_INET else "::"  # noqa: S104  # no bind
    index = mtu = metric = 0
    source = ""
    is_ours = protocol == marks.ROUTE_PROTOCOL
    at, end = _ROUTE_ATTRIBUTES, len(message)
    while at < end:
        size, number = _ATTRIBUTE.unpack_from(message, at)
        if number == _DST:
            destination = inet_ntop(family, message[at + 4 : at + size])
        elif number == _OIF:
            (index,) = _U32.unpack_from(message, at + 4)
        elif number == _PRIORITY:
            (metric,) = _U32.unpack_from(message, at + 4)
        elif number == _PREFSRC:
            source = inet_ntop(family, message[at + 4 : at + size])
        elif number == _METRICS:
            mtu = _parse_metrics(message[at + 4 : at + size])
        elif number in _FOREIGN:
            is_ours = False
        at += (size + 3) & ~3 or end
    if kind != _UNICAST:
        index = 0  # IPv6 shows the loopback interface for those that lead nowhere
    prefix = f"{destination}/{length}"
    return Route(prefix, kind, index, source, mtu, metric, is_ours)


def _parse_metrics(payload: bytes) -> int:
    for number, value in rt.walk(payload, 0):
        if number == rt.RTAX_MTU:
            return int(_U32.unpack(value)[0])
    return 0


def read_rules(connection: NetlinkConnection) -> frozenset[int]:
    """Return the families that have our rule; one without rules counts as well."""
    found = set()
    for family in rt.FAMILIES:
        try:
            messages = list(connection.dump(rt.rule_dump(family)))
        except RequestError as error:
            if error.errno not in {errno.EAFNOSUPPORT, errno.EOPNOTSUPP}:
                raise
            messages = []
        if not messages or any(map(_is_our_rule, messages)):
            found.add(family)
    return frozenset(found)


_RULE_FIELDS = {
    rt.FRA_PRIORITY: marks.RULE_PRIORITY,
    rt.FRA_TABLE: marks.ROUTE_TABLE,
    rt.FRA_FWMARK: marks.OUTER_MARK,
    rt.FRA_FWMASK: marks.OUTER_MASK,
}

_RULE_NARROWING = frozenset({1, 2, 3, 17, 19, 20, 22, 23, 24})
"""FRA_DST, _SRC, _IIFNAME, _OIFNAME, _L3MDEV, _UID_RANGE, _IP_PROTO and ports: a rule
that has one of them does not lead all packets."""


def _is_our_rule(message: bytes) -> bool:
    head = rt.RULE.unpack_from(message, _HEAD)
    if head[5] != rt.FR_ACT_TO_TBL or not head[6] & rt.FIB_RULE_INVERT:
        return False
    right = 0
    for number, payload in rt.walk(message, _HEAD + rt.RULE.size):
        wanted = _RULE_FIELDS.get(number)
        if wanted is not None:
            right += _U32.unpack(payload)[0] == wanted
        elif number in _RULE_NARROWING:
            return False
    return right == len(_RULE_FIELDS)


def path_mtu(connection: NetlinkConnection, peer: str) -> int:
    """Return the MTU in bytes of the outer path to an address.

    What the kernel has learnt of the path counts, else the MTU of the interface that
    the route leaves by. Asked with the mark of what goes outside, since the address
    may lie inside a remote prefix.

    Raises:
        OSError: There is no route.
    """
    (answer,) = connection.ask([rt.route_question(peer, marks.OUTER_MARK)], 1 << 16)
    if answer is None:
        raise OSError(errno.ENETUNREACH, "no route")
    route = parse_route(answer)
    if route.mtu:
        return route.mtu
    (link,) = connection.ask([rt.link_question(index=route.device)], 1 << 16)
    if link is None:
        raise OSError(errno.ENODEV, "no interface")
    return parse_link(link).mtu


def is_local(address: str) -> bool:
    """Whether this host has an address: only then can a socket be bound to it."""
    with socket.socket(rt.family_of(address), socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
