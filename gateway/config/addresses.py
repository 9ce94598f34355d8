"""Parsers of addresses, prefixes and endpoints, as `gateway.config.values` has them.

What no host and no site can have is refused here: it would be taken, and never work.
"""

import re
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Final

from gateway.config.model import DEFAULT_PORT, Endpoint
from gateway.config.values import MAX_PORT, BadValueError, parse_text

IPV4: Final = 4
_TWO: Final = 2
"""Addresses of a /31 or /127, in which both are hosts (RFC 3021, RFC 6164)."""

NOBODYS: Final = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "127.0.0.0/8",
            "224.0.0.0/4",
            "255.255.255.255/32",
            "::/127",
            "ff00::/8",
        ),
    )
)
"""This host, loopback, multicast, broadcast (RFC 6890): never another host's."""

_HOST: Final = re.compile(
    r"(?=.{1,253}$)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.)*"
    r"[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?"
)
"""DNS names (RFC 1123), the last label starting with a letter: 10.0.0.256 is none."""


def parse_address(value: object) -> str:
    """Take an IP address without a prefix length."""
    try:
        return str(ip_address(parse_text(value)))
    except ValueError:
        raise BadValueError("an IPv4 or IPv6 address") from None


def parse_interface_address(value: object) -> IPv4Interface | IPv6Interface:
    """Take an address with its prefix length; without one it stands for itself.

    It must be one that a host can have: no network's own, no broadcast.
    """
    text = parse_text(value)
    _refuse_zone(text)
    try:
        found = ip_interface(text)
    except ValueError:
        raise BadValueError("an address and prefix, such as 10.9.0.1/30") from None
    network = found.network
    if found.version != IPV4 and found.ip.ipv4_mapped is not None:
        raise BadValueError("an IPv4 address as such, 10.9.0.1/30, not within IPv6")
    if not network.prefixlen:
        raise BadValueError("a prefix of some length: /0 is every address there is")
    if not _is_hosts(found.ip):
        raise BadValueError("an address that a host can have, such as 10.9.0.1/30")
    if network.num_addresses > _TWO and found.ip == network.network_address:
        raise BadValueError(f"a host's address in {network}, whose first is its own")
    is_last = found.version == IPV4 and found.ip == network.broadcast_address
    if network.num_addresses > _TWO and is_last:
        raise BadValueError(f"a host's address in {network}, whose last is for all")
    return found


def parse_network(value: object) -> IPv4Network | IPv6Network:
    """Take a prefix; host bits are refused, since they are a typing error."""
    text = parse_text(value)
    _refuse_zone(text)
    try:
        network = ip_network(text)
    except ValueError:
        pass
    else:
        return _as_site(network, text)
    try:
        meant = f"{ip_network(text, strict=False)}"
    except ValueError:
        meant = "10.1.0.0/16"
    raise BadValueError(f"a prefix without host bits, such as {meant}")


def _refuse_zone(text: str) -> None:
    """Refuse ``%eth0``: a prefix is of a site, and a tunnel's address of its device."""
    if "%" in text:
        raise BadValueError("one without a zone (%INTERFACE)")


def _as_site(
    network: IPv4Network | IPv6Network, text: str
) -> IPv4Network | IPv6Network:
    """Refuse what no site has, and a network's address that lost its length."""
    if "/" not in text and text.endswith((".0", "::")):
        raise BadValueError(f"a prefix with its length; {text}/.. or, alone, {network}")
    for nobodys in NOBODYS:
        if network.version == nobodys.version and network.subnet_of(nobodys):  # type: ignore[arg-type]
            raise BadValueError(f"a prefix of some site; {nobodys} is none's")
    if network.version != IPV4 and network.is_link_local:
        raise BadValueError("a prefix of some site; link-local ones are of a link")
    return network


def _is_hosts(address: IPv4Address | IPv6Address) -> bool:
    """Whether a host other than this one can have an address."""
    return not (address.is_multicast or any(address in each for each in NOBODYS))


def parse_peer(value: object) -> Endpoint:
    """Take where a peer is called: a name, or an address that a host can have.

    A loopback address is one of this host, and left: two gateways may share a host.
    """
    endpoint = parse_endpoint(value)
    try:
        address = ip_address(endpoint.host)
    except ValueError:
        return endpoint  # a name
    if not (_is_hosts(address) or address.is_loopback):
        raise BadValueError("the address of a host, or its name")
    return endpoint


def parse_endpoint(value: object) -> Endpoint:
    """Take ``host:port``, ``[IPv6]:port`` or a host alone, with the default port."""
    expected = "HOST:PORT, such as vpn.example.org:51810 or [2001:db8::1]:51810"
    host, port = _split_endpoint(parse_text(value), expected)
    try:
        host = str(ip_address(host))
    except ValueError:
        if not _HOST.fullmatch(host):
            raise BadValueError(expected) from None
    return Endpoint(host, port)


def parse_listen(value: object) -> Endpoint:
    """Take an address to listen on, with or without a port; a name is not one."""
    endpoint = parse_endpoint(value)
    try:
        ip_address(endpoint.host)
    except ValueError:
        raise BadValueError("ADDRESS:PORT, such as 0.0.0.0:51810") from None
    return endpoint


def _split_endpoint(text: str, expected: str) -> tuple[str, int]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in host or (rest and not rest.startswith(":")):
            raise BadValueError(expected)
        port = rest[1:] if rest else str(DEFAULT_PORT)
    elif text.count(":") > 1:
        host, port = text, str(DEFAULT_PORT)
    else:
        host, colon, port = text.partition(":")
        port = port if colon else str(DEFAULT_PORT)
    is_digits = port.isascii() and port.isdigit() and len(port) <= len(str(MAX_PORT))
    if not is_digits or not 1 <= int(port) <= MAX_PORT:
        raise BadValueError(f"a port from 1 to {MAX_PORT}")
    return host, int(port)
