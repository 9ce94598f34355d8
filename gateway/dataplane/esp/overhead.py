"""The bytes that ESP takes from a packet."""

IPV4_HEADER = 20
IPV6_HEADER = 40
UDP_HEADER = 8
ESP_HEADER = 8
"""SPI and sequence number, RFC 4303 clause 2."""
GCM_IV = 8
"""Explicit IV, RFC 4106 clause 3.1."""
GCM_ICV = 16
"""Full-length ICV, RFC 4106 clause 6."""
ESP_TRAILER = 2
"""Pad length and next header; together with the packet they fill 4-byte words."""

MIN_MTU = 576
"""What every IPv4 host can take (RFC 791)."""

MIN_IPV6_MTU = 1280
"""What every IPv6 link must take (RFC 8200 clause 5): below it the kernel switches
IPv6 off on an interface, so the outer packet is fragmented instead."""


def tunnel_mtu(path_mtu: int, *, outer_ipv6: bool, encap: bool, ipv6: bool) -> int:
    """Return the largest inner packet in bytes that fits one outer packet.

    Args:
        path_mtu: MTU of the outer path in bytes.
        outer_ipv6: Whether the outer packets are IPv6.
        encap: Whether ESP travels in UDP.
        ipv6: Whether IPv6 travels inside, which needs 1280 bytes.
    """
    outer = IPV6_HEADER if outer_ipv6 else IPV4_HEADER
    if encap:
        outer += UDP_HEADER
    room = path_mtu - outer - ESP_HEADER - GCM_IV - GCM_ICV
    return max(room // 4 * 4 - ESP_TRAILER, MIN_IPV6_MTU if ipv6 else MIN_MTU)
