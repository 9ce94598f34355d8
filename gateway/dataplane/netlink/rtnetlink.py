"""Requests of rtnetlink(7): links, addresses, routes, neighbours, rules, as bytes.

Layouts follow include/uapi/linux/rtnetlink.h, if_addr.h, if_link.h, neighbour.h and
fib_rules.h.
Prefixes and addresses are text, sizes bytes, indexes the kernel's.
"""

import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_interface, ip_network

from pyroute2.netlink import NLM_F_ACK, NLM_F_REQUEST

RTM_NEWLINK = 16
RTM_DELLINK = 17
RTM_GETLINK = 18
RTM_NEWADDR = 20
RTM_DELADDR = 21
RTM_GETADDR = 22
RTM_NEWROUTE = 24
RTM_DELROUTE = 25
RTM_GETROUTE = 26
RTM_DELNEIGH = 29
RTM_GETNEIGH = 30
RTM_NEWRULE = 32
RTM_DELRULE = 33
RTM_GETRULE = 34

NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400

RTN_UNICAST = 1
RTN_UNREACHABLE = 7
RTN_THROW = 9

RT_SCOPE_UNIVERSE = 0
RT_SCOPE_LINK = 253
RT_SCOPE_NOWHERE = 255

RT_TABLE_MAIN = 254
RT_TABLE_COMPAT = 252
"""What stands in rtmsg for a table whose number does not fit its byte."""

IFLA_MTU = 4
IFLA_IFNAME = 3
IFLA_LINKINFO = 18
IFLA_IFALIAS = 20
IFLA_AF_SPEC = 26
IFLA_EXT_MASK = 29
IFLA_INFO_KIND = 1
IFLA_INFO_DATA = 2
IFLA_XFRM_LINK = 1
IFLA_XFRM_IF_ID = 2
IFLA_INET_CONF = 1
IPV4_DEVCONF_RP_FILTER = 8

IFA_ADDRESS = 1
IFA_LOCAL = 2
IFA_FLAGS = 8
IFA_F_NODAD = 0x02
IFA_F_TENTATIVE = 0x40
IFA_F_PERMANENT = 0x80
IFA_F_NOPREFIXROUTE = 0x200

RTA_DST = 1
RTA_OIF = 4
RTA_GATEWAY = 5
RTA_PRIORITY = 6
RTA_PREFSRC = 7
RTA_METRICS = 8
RTA_TABLE = 15
RTA_MARK = 16
RTA_VIA = 18
RTAX_MTU = 2

FRA_PRIORITY = 6
FRA_FWMARK = 10
FRA_TABLE = 15
FRA_FWMASK = 16
FRA_PROTOCOL = 21
FR_ACT_TO_TBL = 1
FIB_RULE_INVERT = 2

NDA_DST = 1
NUD_INCOMPLETE = 0x01

IFF_UP = 1
IFF_RUNNING = 0x40
RTM_F_FIB_MATCH = 0x2000
"""The answer is the route as it stands in its table, with its prefix."""

RTEXT_FILTER_SKIP_STATS = 8

HEADER = struct.Struct("=IHHII")
IFINFO = struct.Struct("=BxHiII")
"""struct ifinfomsg: family, type, index, flags, change."""
IFADDR = struct.Struct("=BBBBI")
"""struct ifaddrmsg: family, prefix length, flags, scope, index."""
RTMSG = struct.Struct("=BBBBBBBBI")
"""struct rtmsg: family, destination and source length, tos, table, protocol, scope,
type, flags."""
NDMSG = struct.Struct("=BxxxiHBB")
"""struct ndmsg: family, index, state, flags, type."""
RULE = struct.Struct("=BBBBBxxBI")
"""struct fib_rule_hdr: family, destination and source length, tos, table, action,
flags."""

_ATTRIBUTE = struct.Struct("=HH")
_U32 = struct.Struct("=I")
_TYPE_MASK = 0x3FFF
_NESTED = 0x8000

FAMILIES: tuple[int, int] = (int(socket.AF_INET), int(socket.AF_INET6))


def u32(value: int) -> bytes:
    """Return a 32-bit attribute's payload."""
    return _U32.pack(value)


def attribute(kind: int, payload: bytes) -> bytes:
    """Return one attribute, padded to 4 bytes."""
    size = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(size, kind) + payload + bytes(-size % 4)


def nested(kind: int, *inner: bytes) -> bytes:
    """Return an attribute that holds others."""
    return attribute(kind | _NESTED, b"".join(inner))


def request(kind: int, head: bytes, *attributes: bytes, flags: int = 0) -> bytearray:
    """Return a request, sequence number 0.

    Args:
        kind: RTM_...
        head: The structure that the message starts with.
        attributes: Encoded, in order.
        flags: NLM_F_... in addition to NLM_F_REQUEST and NLM_F_ACK.
    """
    body = head + b"".join(attributes)
    flags |= NLM_F_REQUEST | NLM_F_ACK
    return bytearray(HEADER.pack(HEADER.size + len(body), kind, flags, 0, 0) + body)


def walk(data: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """Yield (type, payload) of the attributes from `start` to the end."""
    size = len(data)
    while start + 4 <= size:
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _TYPE_MASK, data[start + 4 : start + length]
        start += (length + 3) & ~3


def family_of(text: str) -> int:
    """Return AF_INET or AF_INET6 of an address or prefix."""
    return int(socket.AF_INET6 if ":" in text else socket.AF_INET)


# -- Links


def link_creation(name: str, kind: str, mtu: int | None, if_id: int) -> bytearray:
    """Return a request for a new interface; `if_id` is for xfrm interfaces."""
    info = [attribute(IFLA_INFO_KIND, kind.encode())]
    if if_id:
        info.append(nested(IFLA_INFO_DATA, attribute(IFLA_XFRM_IF_ID, u32(if_id))))
    return request(
        RTM_NEWLINK,
        IFINFO.pack(0, 0, 0, 0, 0),
        attribute(IFLA_IFNAME, name.encode() + b"\0"),
        *((attribute(IFLA_MTU, u32(mtu)),) if mtu is not None else ()),
        nested(IFLA_LINKINFO, *info),
        flags=NLM_F_CREATE | NLM_F_EXCL,
    )


def link_change(
    index: int,
    *,
    name: str | None = None,
    alias: str | None = None,
    mtu: int | None = None,
    up: bool | None = None,
) -> bytearray:
    """Return a request that changes what is given, and nothing else."""
    attributes = []
    if name is not None:
        attributes.append(attribute(IFLA_IFNAME, name.encode() + b"\0"))
    if alias is not None:
        attributes.append(attribute(IFLA_IFALIAS, alias.encode()))
    if mtu is not None:
        attributes.append(attribute(IFLA_MTU, u32(mtu)))
    flags = IFF_UP if up else 0
    change = 0 if up is None else IFF_UP
    return request(RTM_NEWLINK, IFINFO.pack(0, 0, index, flags, change), *attributes)


def reverse_path_change(index: int, value: int) -> bytearray:
    """Return a request that sets an interface's rp_filter.

    By netlink, since a hardened service cannot write to /proc/sys.
    """
    setting = attribute(IPV4_DEVCONF_RP_FILTER, u32(value))
    conf = attribute(IFLA_INET_CONF, setting)
    return request(
        RTM_NEWLINK,
        IFINFO.pack(0, 0, index, 0, 0),
        attribute(IFLA_AF_SPEC, attribute(int(socket.AF_INET), conf)),
    )


def link_deletion(index: int) -> bytearray:
    """Return a request that removes an interface."""
    return request(RTM_DELLINK, IFINFO.pack(0, 0, index, 0, 0))


def link_question(*, index: int = 0, name: str = "") -> bytearray:
    """Return a request for one interface, or for a dump of all."""
    attributes = [attribute(IFLA_EXT_MASK, u32(RTEXT_FILTER_SKIP_STATS))]
    if name:
        attributes.append(attribute(IFLA_IFNAME, name.encode() + b"\0"))
    return request(RTM_GETLINK, IFINFO.pack(0, 0, index, 0, 0), *attributes)


# -- Addresses


def address_request(index: int, address: str, *, delete: bool = False) -> bytearray:
    """Return a request that puts ``ADDRESS/LENGTH`` on an interface, or takes it off.

    Without a route for its network, which is routed in our own table, and without
    duplicate detection: nobody else is on a tunnel's interface, and an address must
    be usable as a source at once.
    """
    parsed = ip_interface(address)
    family, packed = family_of(address), parsed.ip.packed
    flags = IFA_F_NOPREFIXROUTE | IFA_F_PERMANENT
    if family == socket.AF_INET6:
        flags |= IFA_F_NODAD
    length = parsed.network.prefixlen
    return request(
        RTM_DELADDR if delete else RTM_NEWADDR,
        IFADDR.pack(family, length, 0, 0, index),
        attribute(IFA_LOCAL, packed),
        attribute(IFA_ADDRESS, packed),
        *(() if delete else (attribute(IFA_FLAGS, u32(flags)),)),
        flags=0 if delete else NLM_F_CREATE | NLM_F_REPLACE,
    )


def address_question() -> bytearray:
    """Return a request for a dump of all addresses."""
    return request(RTM_GETADDR, IFADDR.pack(0, 0, 0, 0, 0))


# -- Routes


def route_request(
    prefix: str,
    kind: int,
    *,
    table: int,
    protocol: int,
    index: int = 0,
    source: str = "",
    mtu: int = 0,
    metric: int = 0,
    delete: bool = False,
    is_new: bool = False,
) -> bytearray:
    """Return a request that sets a route, replacing what is there, or deletes one.

    Args:
        prefix: ``10.2.0.0/16``.
        kind: RTN_UNICAST, RTN_UNREACHABLE or RTN_THROW.
        table: Routing table.
        protocol: rtm_protocol.
        index: Interface, for RTN_UNICAST.
        source: Source address for packets of this host.
        mtu: Route MTU in bytes, 0 for the interface's.
        metric: RTA_PRIORITY; 0 leaves it to the kernel (0 for IPv4, 1024 for IPv6).
        delete: Whether to delete.
        is_new: Whether to refuse rather than to replace one that is there.
    """
    network = ip_network(prefix)
    family, length = family_of(prefix), network.prefixlen
    attributes = [attribute(RTA_TABLE, u32(table))]
    if length:
        attributes.append(attribute(RTA_DST, network.network_address.packed))
    if index:
        attributes.append(attribute(RTA_OIF, u32(index)))
    if metric:
        attributes.append(attribute(RTA_PRIORITY, u32(metric)))
    if source and not delete:
        attributes.append(attribute(RTA_PREFSRC, socket.inet_pton(family, source)))
    if mtu and not delete:
        attributes.append(nested(RTA_METRICS, attribute(RTAX_MTU, u32(mtu))))
    scope = RT_SCOPE_UNIVERSE
    if delete:
        scope = RT_SCOPE_NOWHERE
    elif kind == RTN_UNICAST and family == socket.AF_INET:
        scope = RT_SCOPE_LINK
    making = NLM_F_CREATE | (NLM_F_EXCL if is_new else NLM_F_REPLACE)
    return request(
        RTM_DELROUTE if delete else RTM_NEWROUTE,
        RTMSG.pack(family, length, 0, 0, _short(table), protocol, scope, kind, 0),
        *attributes,
        flags=0 if delete else making,
    )


def route_dump(family: int, table: int, protocol: int = 0) -> bytearray:
    """Return a request for a dump of one table, 0 for the routes of any protocol."""
    return request(
        RTM_GETROUTE,
        RTMSG.pack(family, 0, 0, 0, _short(table), protocol, 0, 0, 0),
        attribute(RTA_TABLE, u32(table)),
    )


def route_question(address: str, mark: int, flags: int = 0) -> bytearray:
    """Return a request for the route that a packet with a mark would take."""
    family = family_of(address)
    packed = socket.inet_pton(family, address)
    return request(
        RTM_GETROUTE,
        RTMSG.pack(family, 8 * len(packed), 0, 0, 0, 0, 0, 0, flags),
        attribute(RTA_DST, packed),
        attribute(RTA_MARK, u32(mark)),
    )


# -- Neighbours


def neighbour_question(family: int) -> bytearray:
    """Return a request for a dump of the neighbours of one family."""
    return request(RTM_GETNEIGH, NDMSG.pack(family, 0, 0, 0, 0))


def neighbour_deletion(index: int, address: str) -> bytearray:
    """Return a request to forget a neighbour, and what waits for its answer."""
    family = family_of(address)
    packed = socket.inet_pton(family, address)
    head = NDMSG.pack(family, index, 0, 0, 0)
    return request(RTM_DELNEIGH, head, attribute(NDA_DST, packed))


# -- Rules


def rule_request(
    family: int,
    *,
    priority: int,
    table: int,
    mark: int,
    mask: int,
    protocol: int,
    delete: bool = False,
) -> bytearray:
    """Return a request for a rule: whatever lacks the mark looks into the table."""
    return request(
        RTM_DELRULE if delete else RTM_NEWRULE,
        RULE.pack(family, 0, 0, 0, _short(table), FR_ACT_TO_TBL, FIB_RULE_INVERT),
        attribute(FRA_PRIORITY, u32(priority)),
        attribute(FRA_FWMARK, u32(mark)),
        attribute(FRA_FWMASK, u32(mask)),
        attribute(FRA_TABLE, u32(table)),
        attribute(FRA_PROTOCOL, bytes([protocol])),
        flags=0 if delete else NLM_F_CREATE | NLM_F_EXCL,
    )


def rule_dump(family: int) -> bytearray:
    """Return a request for a dump of the rules of one family."""
    return request(RTM_GETRULE, RULE.pack(family, 0, 0, 0, 0, 0, 0))


def _short(table: int) -> int:
    return table if table < 256 else RT_TABLE_COMPAT  # noqa: PLR2004  # one byte
