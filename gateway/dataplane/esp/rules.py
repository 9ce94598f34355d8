"""Packets of a tunnel, and the SA that they must use.

Pure: a `TunnelSpec` goes in, the policies of the kernel's database come out.

With an xfrm interface, routing decides what goes out, and its policies (told apart
by if_id) take everything; policies without if_id only refuse what claims to come
from the peer and did not come through the interface. Without one, policies decide.
"""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_interface, ip_network
from typing import Any

from gateway.dataplane.base import TunnelSpec
from gateway.dataplane.held.spans import covers, span_of
from gateway.dataplane.xfrm import constants as c

PRIORITY_BASE = 0x00515700
"""Where our priorities start (lower wins); those of a key daemon beside us, which
starts near 400,000 or lower, keep winning or losing as a block."""

REQID_BASE = 0x51570000
"""Upper half of our reqids and if_ids; the lower half is the tunnel's index."""

MAX_INDEX = 0xFFFF
"""TunnelSpec.index has 16 bits."""


class Purpose(Enum):
    """What a policy does with the packets it matches."""

    SEND = "send"
    """Encrypt under the active epoch; refuse while there is none."""
    RECEIVE = "receive"
    """Require that it came through one of the tunnel's SAs."""
    REFUSE = "refuse"
    """Drop."""
    PASS = "pass"  # noqa: S105  # not a password
    """Let through as if there were no tunnel."""


PolicyKey = tuple[int, str, str, int]
"""What makes two policies the same one for the kernel."""

MAX_PRIORITY = PRIORITY_BASE + 2 * 128 + 1


@dataclass(frozen=True, slots=True)
class Rule:
    """One policy of the kernel's database.

    Attributes:
        purpose: What it does.
        direction: XFRM_POLICY_IN, _OUT or _FWD.
        source: Prefix that packets come from.
        destination: Prefix that packets go to.
        if_id: xfrm interface it belongs to, 0 for none.
    """

    purpose: Purpose
    direction: int
    source: str
    destination: str
    if_id: int = 0

    @property
    def family(self) -> int:
        """AF_INET or AF_INET6."""
        return int(socket.AF_INET6 if ":" in self.destination else socket.AF_INET)

    @property
    def key(self) -> PolicyKey:
        """What makes two policies the same one for the kernel."""
        return self.direction, self.source, self.destination, self.if_id

    def selector(self) -> dict[str, Any]:
        """Return the value of the policy's xfrm_selector."""
        source, _, source_length = self.source.partition("/")
        destination, _, destination_length = self.destination.partition("/")
        return {
            "saddr": source,
            "prefixlen_s": int(source_length),
            "daddr": destination,
            "prefixlen_d": int(destination_length),
            "family": self.family,
        }

    def priority(self) -> int:
        """Return the policy's priority: the longer prefix wins, as in routing."""
        network = ip_network(
            self.destination if self.direction == c.XFRM_POLICY_OUT else self.source
        )
        spare = network.max_prefixlen - network.prefixlen
        return PRIORITY_BASE + 2 * spare + (self.purpose is not Purpose.PASS)


def reqid_of(spec: TunnelSpec) -> int:
    """Return the reqid (and if_id) of a tunnel's SAs and policies."""
    return REQID_BASE | spec.index


def remote_prefixes(spec: TunnelSpec) -> tuple[str, ...]:
    """Return what lies at the peer: its prefixes and the tunnel's own networks."""
    inside = (ip_interface(address).network for address in spec.addresses)
    networks = [
        *(ip_network(prefix) for prefix in spec.remote_subnets),
        *(network for network in inside if network.num_addresses > 1),
    ]
    return tuple(dict.fromkeys(str(network) for network in networks))


def rules_of(
    spec: TunnelSpec, *, interface: bool, connected: tuple[str, ...] = ()
) -> tuple[Rule, ...]:
    """Return the policies of a tunnel, in the order in which to install them.

    Args:
        spec: The tunnel.
        interface: Whether it has an xfrm interface.
        connected: Networks to which this host is connected for good.
    """
    remotes = remote_prefixes(spec)
    rules: list[Rule] = []
    for remote in remotes:
        inward = Purpose.REFUSE if interface else Purpose.RECEIVE
        rules += _inward(inward, remote)
        if not interface:
            rules.append(_outward(Purpose.SEND, remote))
    for local in _kept_local(spec, remotes, connected):
        rules += _inward(Purpose.PASS, local)
        if not interface:
            rules.append(_outward(Purpose.PASS, local))
    if interface:
        if_id = reqid_of(spec)
        for everything in dict.fromkeys(_everything(remote) for remote in remotes):
            rules += _inward(Purpose.RECEIVE, everything, if_id)
            rules.append(_outward(Purpose.SEND, everything, if_id))
    return tuple(rules)


def _kept_local(
    spec: TunnelSpec, remotes: tuple[str, ...], connected: tuple[str, ...]
) -> Iterator[str]:
    """Yield our own prefixes that a remote prefix covers, as a hub's 10/8 does."""
    networks = [span_of(remote) for remote in remotes]
    own = [*spec.local_subnets, *connected]
    own += [str(ip_network(ip_interface(address).ip)) for address in spec.addresses]
    for prefix in dict.fromkeys(own):
        if any(covers(network, span_of(prefix)) for network in networks):
            yield prefix


def _everything(prefix: str) -> str:
    return "::/0" if ":" in prefix else "0.0.0.0/0"


def _inward(purpose: Purpose, prefix: str, if_id: int = 0) -> list[Rule]:
    return [
        Rule(purpose, direction, prefix, _everything(prefix), if_id)
        for direction in (c.XFRM_POLICY_IN, c.XFRM_POLICY_FWD)
    ]


def _outward(purpose: Purpose, prefix: str, if_id: int = 0) -> Rule:
    return Rule(purpose, c.XFRM_POLICY_OUT, _everything(prefix), prefix, if_id)
