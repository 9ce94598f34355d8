"""What cannot be an address, a prefix or an endpoint is refused when it is read."""

from collections.abc import Callable

import pytest

from gateway.config.addresses import (
    parse_interface_address,
    parse_network,
    parse_peer,
)
from gateway.config.values import BadValueError, parse_interface_name


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        (parse_peer, "0.0.0.0:51810", "the address of a host"),
        (parse_peer, "[::]:51810", "the address of a host"),
        (parse_peer, "224.0.0.1", "the address of a host"),
        (parse_peer, "[ff02::1]:51810", "the address of a host"),
        (parse_peer, "255.255.255.255", "the address of a host"),
        (parse_interface_address, "0.0.0.0/0", "/0 is every address"),
        (parse_interface_address, "10.9.0.1/0", "/0 is every address"),
        (parse_interface_address, "::1/0", "/0 is every address"),
        (parse_interface_address, "10.9.0.0/30", "whose first is its own"),
        (parse_interface_address, "fd00:9::/64", "whose first is its own"),
        (parse_interface_address, "10.9.0.3/30", "whose last is for all"),
        (parse_interface_address, "::1", "a host can have"),
        (parse_interface_address, "127.0.0.1/8", "a host can have"),
        (parse_interface_address, "224.0.0.9/24", "a host can have"),
        (parse_interface_address, "255.255.255.255", "a host can have"),
        (parse_network, "127.0.0.0/8", "127.0.0.0/8 is none's"),
        (parse_network, "127.1.0.0/16", "127.0.0.0/8 is none's"),
        (parse_network, "224.0.0.0/4", "224.0.0.0/4 is none's"),
        (parse_network, "239.1.0.0/16", "224.0.0.0/4 is none's"),
        (parse_network, "0.0.0.0/8", "0.0.0.0/8 is none's"),
        (parse_network, "255.255.255.255/32", "255.255.255.255/32 is none's"),
        (parse_network, "::1/128", "::/127 is none's"),
        (parse_network, "ff02::/16", "ff00::/8 is none's"),
        (parse_network, "10.2.0.0", "a prefix with its length"),
        (parse_network, "fd00:2::%wan/64", "without a zone"),
        (parse_network, "fe80::/10", "link-local ones are of a link"),
        (parse_interface_address, "fe80::1%wan/64", "without a zone"),
        (parse_interface_address, "::ffff:10.1.1.1/128", "not within IPv6"),
        (parse_network, "fd00:2::", "a prefix with its length"),
        (parse_interface_name, "lo", "nothing else to the kernel"),
        (parse_interface_name, "all", "nothing else to the kernel"),
        (parse_interface_name, "default", "nothing else to the kernel"),
    ],
)
def test_what_cannot_work_is_refused(
    parse: Callable[[object], object], text: str, expected: str
) -> None:
    with pytest.raises(BadValueError, match=expected):
        parse(text)


@pytest.mark.parametrize(
    ("parse", "text", "shown"),
    [
        (parse_peer, "vpn.example.org", "vpn.example.org:51810"),
        (parse_peer, "127.0.0.1:51810", "127.0.0.1:51810"),
        (parse_peer, "[fe80::1]:51810", "[fe80::1]:51810"),
        (parse_interface_address, "10.9.0.0/31", "10.9.0.0/31"),
        (parse_interface_address, "10.9.0.1/31", "10.9.0.1/31"),
        (parse_interface_address, "10.9.0.0", "10.9.0.0/32"),
        (parse_interface_address, "fd00:9::/127", "fd00:9::/127"),
        (parse_interface_address, "fd00:9::1/64", "fd00:9::1/64"),
        (parse_network, "0.0.0.0/0", "0.0.0.0/0"),
        (parse_network, "0.0.0.0/1", "0.0.0.0/1"),
        (parse_network, "::/0", "::/0"),
        (parse_network, "10.2.0.5", "10.2.0.5/32"),
        (parse_network, "10.2.0.0/32", "10.2.0.0/32"),
        (parse_interface_name, "qgw-paris", "qgw-paris"),
    ],
)
def test_what_can_is_taken(
    parse: Callable[[object], object], text: str, shown: str
) -> None:
    assert str(parse(text)) == shown
