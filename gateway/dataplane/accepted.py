"""The networks of this host that an operator accepted together with a configuration.

An address for good inside a remote prefix takes its network out of the tunnel. The
kernel has no word for who gave it: a DHCP lease without an end looks like an operator's
own. So only what was connected when an operator had the configuration taken in may pass
beside a tunnel; what comes later waits for the next reload.
"""

from collections.abc import Iterable
from typing import Final

from gateway.dataplane.held.spans import span_of

_SHORTEST: Final = {32: 8, 128: 16}
"""Prefix lengths by bits of an address. No site's own network is wider: 10.0.0.0/8 is
the widest private one, and registries hand out no IPv6 block as wide as a /16."""


def is_too_wide(network: str) -> bool:
    """Whether a network is taken for nobody's own unless `local_subnets` names it."""
    bits, _, length = span_of(network)
    return length < _SHORTEST[bits]


class AcceptedNetworks:
    """One list for the fence, the routes and the policies of a daemon.

    Belongs to the planes' thread. Until somebody has decided, every network counts: a
    plane without a daemon has no operator to ask.
    """

    def __init__(self) -> None:
        self._networks: frozenset[str] | None = None

    @property
    def is_decided(self) -> bool:
        """Whether there is a list."""
        return self._networks is not None

    def accept(self, networks: Iterable[str]) -> None:
        """Let these networks count, ``"10.1.0.0/24"``, and no others."""
        self._networks = frozenset(networks)

    def __contains__(self, network: str) -> bool:
        """Whether a network is one of them; one inside of another is not."""
        return self._networks is None or network in self._networks

    def listed(self) -> tuple[str, ...]:
        """Return the list in a fixed order, empty if nobody has decided."""
        return tuple(sorted(self._networks or ()))
