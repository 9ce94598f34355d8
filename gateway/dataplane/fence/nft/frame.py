"""The parts of the table that no configuration changes: names, hooks, exemptions."""

import sys
from collections.abc import Iterable
from typing import Final

from gateway.dataplane.fence.nft import constants as c
from gateway.dataplane.fence.nft import expressions as e
from gateway.dataplane.fence.nft.addresses import VERSIONS, address, is_version
from gateway.dataplane.fence.nft.attributes import nested, number, text, userdata
from gateway.dataplane.fence.nft.homes import HomeSet, home_rules, new_home_set
from gateway.dataplane.fence.nft.objects import (
    chain_message,
    delete_set,
    element,
    elements_message,
    flush_chain,
    rule_message,
    set_message,
)
from gateway.dataplane.fence.nft.passes import PassSet, new_pass_set, pass_rule
from gateway.dataplane.fence.nft.ranges import (
    Names,
    drop_rule,
    foreign_rule,
)
from gateway.host.marks import OUTER_MARK, OUTER_MASK

OUTWARD: Final = "outward"
INPUT: Final = "input"
FORWARD: Final = "forward"

PORTS: Final = "ports"
"""Set of our UDP ports; `FencePlan.ports`."""

OUTWARD_PRIORITY: Final = 500
"""After every translation of addresses (source NAT has 100), so that what is looked at
is what leaves; before conntrack takes note of a packet (2**31 - 1)."""

INWARD_PRIORITY: Final = -500
"""Before every other chain of these hooks: nobody's rules see what is refused."""

_ARPHRD_LOOPBACK: Final = 772
_ERRORS_4: Final = "errors4"
_ERRORS_6: Final = "errors6"
_NEIGHBOURS: Final = "neighbours"
_IPPROTO_ICMP: Final = 1
_IPPROTO_UDP: Final = 17
_IPPROTO_ESP: Final = 50
_IPPROTO_ICMPV6: Final = 58
_NETWORK_ORDER: Final = userdata((0, e.native(2)))

# Numbers by which nft knows how to print a key; the kernel does not look at them.
_TYPE_SERVICE: Final = 13
_TYPE_ICMP: Final = 14
_TYPE_ICMPV6: Final = 29

_CONSTANT_SETS: Final = {
    # Unreachable, time exceeded, bad parameter; packet too big is of IPv6 alone.
    _ERRORS_4: (_TYPE_ICMP, (3, 11, 12)),
    _ERRORS_6: (_TYPE_ICMPV6, (1, 2, 3, 4)),
    # Router and neighbour discovery (RFC 4861).
    _NEIGHBOURS: (_TYPE_ICMPV6, (133, 134, 135, 136, 137)),
}


FIXED_SETS: Final = frozenset({PORTS, *_CONSTANT_SETS})
"""Sets that the frame fills, and makes anew whenever it is made anew."""


def frame_messages(
    ports: tuple[int, ...],
    passes: Iterable[PassSet],
    homes: Iterable[HomeSet],
    names: Names,
    old_sets: Iterable[str] = (),
) -> list[bytes]:
    """Return what makes the table's frame: sets, maps, chains of hooks, their rules.

    Chains that are there get their rules anew, in the same step: a packet is judged by
    all old rules of a chain and the sets they name, or by all new ones and theirs.

    Args:
        ports: Our UDP ports.
        passes: The sets that say what may pass.
        homes: The sets that say what leaves by which device.
        names: The sets of ranges, which are there.
        old_sets: Sets that are there and go, or are made anew.
    """
    passes, homes = tuple(passes), tuple(homes)
    return [
        _hook(OUTWARD, c.NF_INET_POST_ROUTING, OUTWARD_PRIORITY),
        _hook(INPUT, c.NF_INET_LOCAL_IN, INWARD_PRIORITY),
        _hook(FORWARD, c.NF_INET_FORWARD, INWARD_PRIORITY),
        *(flush_chain(name) for name in (OUTWARD, INPUT, FORWARD)),
        *map(delete_set, sorted(old_sets)),
        *_fixed_sets(ports),
        *(new_pass_set(each) for each in passes),
        *(new_home_set(each) for each in homes),
        *_outward_rules(passes, names),
        *_input_rules(ports, passes, names),
        *_forwarded_mark_rules(names),
        *home_rules(FORWARD, homes, names),
        *_pass_rules(FORWARD, "in", passes),
        *_drop_rules(FORWARD, "in", names),
    ]


CHAINS: Final = frozenset({OUTWARD, INPUT, FORWARD})


def _fixed_sets(ports: tuple[int, ...]) -> list[bytes]:
    made = [set_message(PORTS, _TYPE_SERVICE, 2, notes=_NETWORK_ORDER)]
    if ports:
        elements = (element(port.to_bytes(2)) for port in ports)
        made.append(elements_message(c.NFT_MSG_NEWSETELEM, PORTS, *elements))
    for name, (key_type, values) in _CONSTANT_SETS.items():
        elements = (element(bytes((value,))) for value in values)
        made += [
            set_message(name, key_type, 1, notes=_NETWORK_ORDER),
            elements_message(c.NFT_MSG_NEWSETELEM, name, *elements),
        ]
    return made


def _hook(name: str, hook: int, priority: int) -> bytes:
    return chain_message(
        name,
        nested(
            c.NFTA_CHAIN_HOOK,
            number(c.NFTA_HOOK_HOOKNUM, hook),
            number(c.NFTA_HOOK_PRIORITY, priority & 0xFFFF_FFFF),
        ),
        number(c.NFTA_CHAIN_POLICY, c.NF_ACCEPT),
        text(c.NFTA_CHAIN_TYPE, "filter"),
    )


def _outward_rules(passes: tuple[PassSet, ...], names: Names) -> list[bytes]:
    """Judge what leaves: most packets are around a tunnel or inside, so these first."""
    return [
        *_around_rules(),
        *_pass_rules(OUTWARD, "out", passes),
        *_foreign_rules(OUTWARD, "out", names),
        _loopback_rule(OUTWARD, c.NFT_META_OIFTYPE, "stays here"),
        _neighbour_rule(OUTWARD),
        *_drop_rules(OUTWARD, "out", names),
    ]


def _around_rules() -> list[bytes]:
    """Let out what is around a tunnel: our sockets' datagrams, and the kernel's own.

    The mark alone proves nothing: CAP_NET_RAW is enough to set it, or somebody's rule.
    Our ports are bound, so that no other UDP socket sends from them; a raw socket can
    forge one (docs/adr/0303).
    """
    udp = (
        e.meta(c.NFT_META_L4PROTO),
        e.is_equal(bytes((_IPPROTO_UDP,))),
        e.payload(c.NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2),
        e.in_set(PORTS),
    )
    esp = (e.meta(c.NFT_META_L4PROTO), e.is_equal(bytes((_IPPROTO_ESP,))))
    return [
        rule_message(
            OUTWARD,
            *_is_marked(),
            *kind,
            e.verdict(c.NF_ACCEPT),
            comment="around a tunnel",
        )
        for kind in (udp, esp)
    ]


def _forwarded_mark_rules(names: Names) -> list[bytes]:
    """Refuse what is forwarded under our mark: nothing around a tunnel is.

    Rules of others set it before this hook, as they do to choose a route.
    """
    return [
        rule_message(
            FORWARD,
            *_is_marked(),
            *is_version(version),
            address("out", version),
            e.in_set(names["out", version]),
            e.verdict(c.NF_DROP),
            comment="not around a tunnel",
        )
        for version in VERSIONS
    ]


def _is_marked() -> tuple[bytes, ...]:
    return (
        e.meta(c.NFT_META_MARK),
        e.masked(e.native(OUTER_MASK)),
        e.is_equal(e.native(OUTER_MARK)),
    )


def _input_rules(
    ports: tuple[int, ...], passes: tuple[PassSet, ...], names: Names
) -> list[bytes]:
    """Judge what comes in for the gateway itself, in the same order."""
    return [
        rule_message(
            INPUT,
            e.meta(c.NFT_META_L4PROTO),
            e.is_equal(bytes((_IPPROTO_UDP,))),
            e.payload(c.NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2),
            e.in_set(PORTS),
            e.verdict(c.NF_ACCEPT),
            comment="around a tunnel",
        ),
        rule_message(
            INPUT,
            e.meta(c.NFT_META_L4PROTO),
            e.is_equal(bytes((_IPPROTO_ESP,))),
            e.verdict(c.NF_ACCEPT),
            comment="around a tunnel",
        ),
        *_pass_rules(INPUT, "in", passes),
        *_foreign_rules(INPUT, "in", names),
        _loopback_rule(INPUT, c.NFT_META_IIFTYPE, "comes from here"),
        _neighbour_rule(INPUT),
        *_error_rules(4, _IPPROTO_ICMP, _ERRORS_4, ports),
        *_error_rules(6, _IPPROTO_ICMPV6, _ERRORS_6, ports),
        *_drop_rules(INPUT, "in", names),
    ]


def _loopback_rule(chain: str, key: int, comment: str) -> bytes:
    return rule_message(
        chain,
        e.meta(key),
        e.is_equal(_ARPHRD_LOOPBACK.to_bytes(2, sys.byteorder)),
        e.verdict(c.NF_ACCEPT),
        comment=comment,
    )


def _neighbour_rule(chain: str) -> bytes:
    """Let neighbours find each other by their global addresses too.

    The hop limit of 255 says that no router has passed it on.
    """
    return rule_message(
        chain,
        *is_version(6),
        e.meta(c.NFT_META_L4PROTO),
        e.is_equal(bytes((_IPPROTO_ICMPV6,))),
        e.payload(c.NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1),
        e.in_set(_NEIGHBOURS),
        e.payload(c.NFT_PAYLOAD_NETWORK_HEADER, 7, 1),
        e.is_equal(b"\xff"),
        e.verdict(c.NF_ACCEPT),
        comment="neighbours",
    )


def _error_rules(
    version: int, protocol: int, types: str, ports: tuple[int, ...]
) -> list[bytes]:
    """Let routers on the way speak of the packets around a tunnel: ESP, our UDP.

    An error holds the header of the packet that it is about, behind 8 bytes of its
    own; without options, since ours have none.
    """
    header, where = {4: (20, 9), 6: (40, 6)}[version]
    start = (
        *is_version(version),
        e.meta(c.NFT_META_L4PROTO),
        e.is_equal(bytes((protocol,))),
        e.payload(c.NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1),
        e.in_set(types),
        e.payload(c.NFT_PAYLOAD_TRANSPORT_HEADER, 8 + where, 1),
    )
    accept = e.verdict(c.NF_ACCEPT)
    comment = "an error about a packet around a tunnel"
    about_esp = e.is_equal(bytes((_IPPROTO_ESP,)))
    rules = [rule_message(INPUT, *start, about_esp, accept, comment=comment)]
    for port in ports:
        about_udp = (
            e.is_equal(bytes((_IPPROTO_UDP,))),
            e.payload(c.NFT_PAYLOAD_TRANSPORT_HEADER, 8 + header, 2),
            e.is_equal(port.to_bytes(2)),
        )
        rules.append(rule_message(INPUT, *start, *about_udp, accept, comment=comment))
    return rules


def _pass_rules(chain: str, direction: str, passes: tuple[PassSet, ...]) -> list[bytes]:
    """Accept what may pass: one rule or two, whose sets hold all tunnels."""
    return [pass_rule(chain, direction, each) for each in passes]


def _foreign_rules(chain: str, direction: str, names: Names) -> list[bytes]:
    """Accept what belongs to no tunnel before what only few packets need looked at."""
    return [foreign_rule(chain, direction, version, names) for version in VERSIONS]


def _drop_rules(chain: str, direction: str, names: Names) -> list[bytes]:
    """Drop what belongs to a tunnel, whatever is left of it."""
    return [drop_rule(chain, direction, version, names) for version in VERSIONS]
