"""Guards of our own networks: what came out of a tunnel for them leaves no other way.

While the route of a connected network is gone (its cable, its lease, its VRRP address),
table main would send decrypted packets for it along the default route, in clear. So
each network inside a local prefix that was ever connected here keeps an unreachable
route in table main, worse than any other to it.
"""

import errno
from collections.abc import Iterable

from gateway.dataplane.held.spans import Span, contains, span_of, text_of
from gateway.dataplane.held.wanted import GUARD_METRIC
from gateway.dataplane.netlink import rtnetlink as rt
from gateway.dataplane.netlink.connection import NetlinkConnection
from gateway.dataplane.refusals import kernel_call
from gateway.host import marks


class SiteGuards:
    """The guards in table main.

    Attributes:
        there: Networks that have one.
    """

    def __init__(self, connection: NetlinkConnection) -> None:
        self._connection = connection
        self._seen: set[Span] = set()
        self.there: set[str] = set()

    def keep(self, local: Iterable[str], networks: Iterable[Span]) -> list[str]:
        """Make the guards that are not there, and remove those nobody needs.

        Asks for no dump of a table that may have a million routes: the kernel refuses
        a guard that is there.

        Args:
            local: The local prefixes of all tunnels.
            networks: What this host is connected to now.

        Returns:
            The networks whose guard somebody had removed.

        Raises:
            DataPlaneError: The kernel refused.
        """
        self._seen.update(networks)
        prefixes = list(map(span_of, local))
        wanted = sorted(
            text_of(network)
            for network in self._seen
            if any(contains(prefix, network) for prefix in prefixes)
        )
        missing = self._make(wanted)
        gone = self.there.difference(wanted)
        self._send([_guard(one, delete=True) for one in gone], errno.ESRCH)
        removed = [one for one in missing if one in self.there]
        self.there = set(wanted)
        return removed

    def _make(self, wanted: list[str]) -> list[str]:
        """Return those that were not there."""
        present = self._send([_guard(one) for one in wanted], errno.EEXIST)
        return [one for place, one in enumerate(wanted) if place not in present]

    def _send(self, requests: list[bytearray], expected: int) -> set[int]:
        """Carry requests out; return which were refused as expected."""
        refused = set()
        with kernel_call("guard a local network in table main"):
            for error in self._connection.send(requests):
                if error.errno != expected:
                    raise error
                refused.add(error.position)
        return refused


def _guard(prefix: str, *, delete: bool = False) -> bytearray:
    return rt.route_request(
        prefix,
        rt.RTN_UNREACHABLE,
        table=rt.RT_TABLE_MAIN,
        protocol=marks.ROUTE_PROTOCOL,
        metric=GUARD_METRIC,
        delete=delete,
        is_new=True,
    )
