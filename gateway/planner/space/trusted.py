"""The trusted satellite: a key with each station, and the XOR of the two published.

A station that holds its own key and the XOR has the other's key; who sees the XOR alone
learns nothing, as long as no bit of a key is used for two XORs. Bits are counted here,
none are made: each pair's keys come from what its own stations' passes gave.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gateway.errors import OrbitError, OrbitFault
from gateway.planner.space.key import KeyModel
from gateway.planner.space.passes import SatellitePass
from gateway.planner.space.weather import Weather


@dataclass(frozen=True, slots=True)
class SpaceDelivery:
    """Keys that a pair of stations can use from now on.

    Attributes:
        time: End of the pass that completed them, UTC seconds since 1970.
        bits: New secret bits, over 0.
        waiting: Bits kept for later at each station after it, at least one of them 0.
        completed_by: The pass.
    """

    time: float
    bits: int
    waiting: tuple[int, int]
    completed_by: SatellitePass


class TrustedSatellite:
    """Counts what it shares with each of two stations, and what is left of that.

    Args:
        first: Name of one station.
        second: Name of the other.
    """

    def __init__(self, first: str, second: str) -> None:
        if first == second:
            raise OrbitError(
                f"{first} cannot share keys with itself", fault=OrbitFault.STATION
            )
        self._pools = {first: 0, second: 0}
        self._last: dict[str, float] = {}

    @property
    def waiting(self) -> tuple[int, int]:
        """Bits that wait for the other station's pass."""
        first, second = self._pools.values()
        return first, second

    def add(self, each: SatellitePass, bits: int) -> SpaceDelivery | None:
        """Take in what a pass gave; return what became usable by it, if anything.

        Raises:
            OrbitError: The pass is another station's, or was counted before.
        """
        name = each.station.name
        if name not in self._pools:
            raise OrbitError(
                f"{name} is not a station of this pair", fault=OrbitFault.STATION
            )
        if bits < 0 or each.set <= self._last.get(name, float("-inf")):
            raise OrbitError(
                f"a pass over {name} was counted before", fault=OrbitFault.TIME
            )
        self._last[name] = each.set
        self._pools[name] += bits
        usable = min(self._pools.values())
        if not usable:
            return None
        for station in self._pools:
            self._pools[station] -= usable
        return SpaceDelivery(each.set, usable, self.waiting, each)


def deliveries(
    first: Iterable[SatellitePass],
    second: Iterable[SatellitePass],
    weather: Weather | None = None,
    model: KeyModel | None = None,
) -> Iterator[SpaceDelivery]:
    """Yield what a pair of stations can use, in the order of time.

    Args:
        first: Passes over one station, of one orbit.
        second: Passes over the other, of the same.
        weather: The sky; None for always clear.
        model: How much key a pass gives; by default Jinan-1's figures.

    Raises:
        OrbitError: Both are the same station's, or a pass comes twice.
    """
    model = model or KeyModel()
    mine, others = list(first), list(second)
    if not mine or not others:
        return
    satellite = TrustedSatellite(mine[0].station.name, others[0].station.name)
    for each in sorted((*mine, *others), key=lambda each: each.set):
        if weather is None or weather.is_clear(each):
            delivery = satellite.add(each, model.bits(each))
            if delivery is not None:
                yield delivery
