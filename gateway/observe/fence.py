"""Recent refusals of the fence, and the state of their tunnels then."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.dataplane.fence.base import FenceState, TunnelFence
from gateway.errors import DataPlaneError
from gateway.observe.growth import Growth

INTERVAL: Final = 10.0
"""Seconds between readings that nobody asked for."""

FRESH: Final = 0.2
"""Seconds for which a reading answers whoever asks."""

SELDOM: Final = 50
"""Readings that nobody asked for are this many times what one costs apart, at least:
those of 5,000 tunnels take no more than 2 % of the planes' thread."""

OFTEN: Final = 4
"""The same for readings that are asked for: somebody may ask again and again."""


class _Drop(NamedTuple):
    tunnel: str
    is_outward: bool
    was_up: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """Packets of one tunnel that were refused lately.

    Attributes:
        outward: For its prefixes, while it was up: they took another way.
        inward: From its prefixes, while it was up: they came another way, or would have
            left by an interface that does not hold the local network they are for.
        meanwhile: Either, while it was not up.
    """

    outward: int = 0
    inward: int = 0
    meanwhile: int = 0


class FenceWatch:
    """Reads the fence now and then.

    Attributes:
        state: As last read, None before the first reading.
    """

    def __init__(
        self, read: Callable[[], Awaitable[FenceState]], clock: Callable[[], float]
    ) -> None:
        self._read = read
        self._clock = clock
        self._growth: Growth[_Drop] = Growth()
        self._totals: dict[tuple[str, bool], int] = {}
        self._sums: dict[_Drop, int] = {}
        self._up: frozenset[str] = frozenset()
        self._read_at = 0.0
        self._cost = 0.0
        self.state: FenceState | None = None

    async def look(self, up: Collection[str], *, asked: bool = True) -> None:
        """Read what stands and what it refused, unless that was read a moment ago.

        Args:
            up: Tunnels that are up. A packet counts as refused while its tunnel was up
                only if it is, and was at the reading before.
            asked: Whether somebody wants to see it.
        """
        now = self._clock()
        age, factor = (FRESH, OFTEN) if asked else (INTERVAL, SELDOM)
        is_fresh = now - self._read_at < max(age, factor * self._cost)
        if is_fresh and self.state is not None:
            return
        try:
            self.state = await self._read()
        except DataPlaneError as error:
            self.state = FenceState(present=False, reason=error.message)
        self._read_at = self._clock()
        self._cost = self._read_at - now
        steady, self._up = self._up & frozenset(up), frozenset(up)
        self._count(self.state, steady)

    def of(self, tunnel: str) -> TunnelFence | None:
        """Return what the fence says of a tunnel, None if nothing."""
        return self.state.tunnels.get(tunnel) if self.state is not None else None

    def refused(self) -> dict[str, Refused]:
        """Return what was refused lately, by tunnel."""
        found: dict[str, Refused] = {}
        for drop, count in self._growth.recent(now=self._clock()).items():
            one = found.get(drop.tunnel, Refused())
            outward = count if drop.was_up and drop.is_outward else 0
            inward = count if drop.was_up and not drop.is_outward else 0
            found[drop.tunnel] = Refused(
                one.outward + outward,
                one.inward + inward,
                one.meanwhile + (0 if drop.was_up else count),
            )
        return found

    def _count(self, state: FenceState, steady: frozenset[str]) -> None:
        """Add up what each counter grew by, apart for tunnels that were up and not."""
        for name, fence in state.tunnels.items():
            for is_outward, total in (
                (True, fence.dropped_out),
                (False, fence.dropped_in),
            ):
                before = self._totals.get((name, is_outward))
                self._totals[(name, is_outward)] = total
                drop = _Drop(name, is_outward, name in steady)
                added = total if before is None or total < before else total - before
                self._sums[drop] = self._sums.get(drop, 0) + added
        self._growth.note(self._sums, now=self._clock())
