"""Bundles that are arriving: shares wait for those of the other paths."""

from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from gateway.errors import RelayError, RelayFault
from gateway.relay.combine import combine_bundle
from gateway.relay.events import RelayedKeys
from gateway.relay.messages import RelayKeys
from gateway.relay.paths import check_disjoint
from gateway.secret import Secret

MAX_ARRIVING: Final = 256
"""Bundles that wait for a path: 8 MiB of shares; a further one is refused."""

ARRIVAL_TIMEOUT: Final = 60.0
"""Seconds; an origin gives up before."""


@dataclass(slots=True)
class _Arriving:
    deadline: float
    paths: int
    count: int
    routes: dict[int, tuple[str, ...]] = field(default_factory=dict)
    shares: dict[int, list[Secret]] = field(default_factory=dict)

    def wipe(self) -> None:
        for row in self.shares.values():
            for share in row:
                share.wipe()


class Arrivals:
    """Shares at their destination, in memory only: a crash forgets them."""

    def __init__(self) -> None:
        self._arriving: dict[tuple[str, UUID], _Arriving] = {}

    def add(
        self, message: RelayKeys, shares: list[Secret], *, now: float
    ) -> RelayedKeys | None:
        """Add one path's shares; return the keys once all paths have come.

        Raises:
            RelayError: ``busy``; ``malformed`` when the paths do not belong together.
                The bundle is forgotten, its shares are erased.
        """
        origin = message.route[0]
        name = (origin, message.bundle)
        bundle = self._arriving.get(name)
        if bundle is None:
            if len(self._arriving) >= MAX_ARRIVING:
                _wipe(shares)
                raise RelayError("too many bundles wait", fault=RelayFault.BUSY)
            bundle = _Arriving(now + ARRIVAL_TIMEOUT, message.paths, len(shares))
            self._arriving[name] = bundle
        fits = (bundle.paths, bundle.count) == (message.paths, len(shares))
        if not fits or message.path in bundle.shares:
            _wipe(shares)
            self._forget(name)
            raise RelayError(
                "the paths of a bundle do not belong together",
                fault=RelayFault.MALFORMED,
            )
        bundle.routes[message.path] = message.route
        bundle.shares[message.path] = shares
        if len(bundle.shares) < bundle.paths:
            return None
        return self._finish(name, bundle)

    def _finish(self, name: tuple[str, UUID], bundle: _Arriving) -> RelayedKeys:
        routes = tuple(bundle.routes[path] for path in range(bundle.paths))
        try:
            check_disjoint(routes)
            rows = [bundle.shares[path] for path in range(bundle.paths)]
            keys = tuple(combine_bundle(name[1], routes, rows))
        finally:
            self._forget(name)
        return RelayedKeys(name[1], name[0], routes, keys, confirmed=False)

    def get_timer(self) -> float | None:
        """When `expire` has something to do, or None."""
        return min((each.deadline for each in self._arriving.values()), default=None)

    def expire(self, now: float) -> None:
        """Erase bundles whose other paths did not come."""
        due = [name for name, each in self._arriving.items() if each.deadline <= now]
        for name in due:
            self._forget(name)

    def clear(self) -> None:
        """Erase every bundle."""
        for name in list(self._arriving):
            self._forget(name)

    def _forget(self, name: tuple[str, UUID]) -> None:
        self._arriving.pop(name).wipe()


def _wipe(shares: list[Secret]) -> None:
    for share in shares:
        share.wipe()
