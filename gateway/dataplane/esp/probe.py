"""Probes through an idle tunnel, by which its keys can be seen to work.

A probe is an empty UDP datagram from the gateway itself to an address behind the
peer, with a hop limit of 1: it goes through the tunnel like any packet, is counted
by the peer's SA once its ICV was checked, and dies there. The tunnel's policies
keep it from ever leaving in clear.
"""

import contextlib
import socket
from ipaddress import ip_interface, ip_network

from gateway.dataplane.base import TunnelSpec
from gateway.host.marks import PROBE_MARK

PROBE_PORT = 9
"""The discard service (RFC 863): whoever captures one sees what it is."""

HOP_LIMIT = 1
"""The peer's gateway opens it; it goes no further."""

DOCUMENTATION = {4: "192.0.2.1", 6: "2001:db8::1"}
"""Where to aim when the remote prefix is everything (RFC 5737, RFC 3849)."""


def probe_target(spec: TunnelSpec) -> str | None:
    """Return an address behind the peer, the tunnel's own far end if it has one."""
    for address in spec.addresses:
        inside = ip_interface(address)
        if inside.network.num_addresses > 1:
            low, high = inside.network[0], inside.network[-1]
            for candidate in (inside.ip + 1, inside.ip - 1):
                if candidate in inside.network and (
                    candidate not in (low, high) or inside.network.num_addresses == 2  # noqa: PLR2004  # RFC 3021: a /31 has no broadcast
                ):
                    return str(candidate)
    for prefix in spec.remote_subnets:
        network = ip_network(prefix)
        if network.prefixlen == 0:
            return DOCUMENTATION[network.version]
        return str(network[min(1, network.num_addresses - 1)])
    return None


class Prober:
    """Sends probes. Never waits, never fails: the next one is a moment away."""

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}

    def send(self, target: str) -> None:
        """Send one probe to an address behind the peer."""
        with contextlib.suppress(OSError):
            self._socket(6 if ":" in target else 4).sendto(b"", (target, PROBE_PORT))

    def close(self) -> None:
        """Close the sockets."""
        for opened in self._sockets.values():
            opened.close()
        self._sockets.clear()

    def _socket(self, version: int) -> socket.socket:
        if version not in self._sockets:
            family = socket.AF_INET6 if version == 6 else socket.AF_INET  # noqa: PLR2004  # IP version
            opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, PROBE_MARK)
            if family == socket.AF_INET6:
                opened.setsockopt(
                    socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, HOP_LIMIT
                )
            else:
                opened.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, HOP_LIMIT)
            self._sockets[version] = opened
        return self._sockets[version]
