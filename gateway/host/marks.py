"""Numbers by which the kernel, and whoever looks into it, knows what is ours.

All of them spell 5157, "QW" in ASCII, so that a listing shows at once whose they are.
"""

from typing import Final

OUTER_MARK: Final = 0x5157_0000
"""Mark of the packets around a tunnel: control sockets (SO_MARK), WireGuard devices
(fwmark), outbound SAs of ESP (XFRMA_SET_MARK). Our routes and the fence are not for
them: a peer may be reached although a remote prefix covers its address."""

OUTER_MASK: Final = 0xFFFF_0000
"""Bits of a mark that are ours. Others keep the lower half, where firewalls count."""

PROBE_MARK: Final = 0x5158_0000
"""Mark of ESP's probes, under `OUTER_MASK` too: they go through the tunnel."""

ROUTE_TABLE: Final = 5157
"""Routing table of all our routes: foreign ones in table main cannot divert them."""

RULE_PRIORITY: Final = 5157
"""Preference of the rule that leads there: before main (32766), after local (0)."""

ROUTE_PROTOCOL: Final = 181
"""rtm_protocol of our routes and rules (`ip route show proto 181`): above the
kernel's and below the numbers that routing daemons registered in rt_protos."""
