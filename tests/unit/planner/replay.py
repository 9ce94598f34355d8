"""The same days lived through key by key: what a forecast is held against.

Shares nothing with the forecast but the plan: deliveries come from
`gateway.planner.space.trusted`, under the weather that the simulated KMEs use,
rotations at the times that the daemon's schedule has, and keys are whole.
"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.config.model import QKDPolicy
from gateway.planner.model import Plan, PlannedTunnel, RateLink, SpaceLink
from gateway.planner.space.passes import passes
from gateway.planner.space.trusted import deliveries
from gateway.planner.space.weather import Weather
from gateway.relay.hop import PADS_OF_MESSAGE
from gateway.rotation.schedule import Schedule


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened. Times are seconds after the start.

    Attributes:
        stocks: Keys of each link at the times asked for.
        first_lack: When each tunnel first asked in vain, inf for never.
    """

    stocks: dict[str, list[int]]
    first_lack: dict[str, float]


class Site:
    """One link's stock of whole keys."""

    def __init__(self, keys: int, capacity: int, rate: float) -> None:
        self.keys, self._capacity, self._rate = keys, capacity, rate
        self._bits, self._time = 0.0, 0.0

    def add_bits(self, bits: float) -> None:
        self._bits += bits
        whole, self._bits = divmod(self._bits, 256)
        self.keys = min(self.keys + int(whole), self._capacity)

    def wait_until(self, time: float) -> None:
        self.add_bits((time - self._time) * self._rate)
        self._time = time


@dataclass
class Rotating:
    """One tunnel: epochs since its last fresh key, and keys relayed ahead."""

    tunnel: PlannedTunnel
    since: int = 0
    relayed: int = 0

    def rotate(self, sites: dict[str, Site]) -> bool:
        """Begin an epoch; say whether it had the key that it needed."""
        tunnel = self.tunnel
        self.since += 1
        if tunnel.qkd is QKDPolicy.OFF or self.since < tunnel.every:
            return True
        hops = [sites[name] for name in tunnel.links]
        relays = len(hops) > 1
        if not (relays and self.relayed):
            cost = tunnel.batch + PADS_OF_MESSAGE if relays else 1
            if any(hop.keys < cost for hop in hops):
                return False
            for hop in hops:
                hop.keys -= cost
            self.relayed += tunnel.batch if relays else 1
        self.relayed -= 1
        self.since = 0
        return True


def replay(plan: Plan, weather: Weather, times: Sequence[float]) -> Outcome:
    """Live through the days of a plan."""
    sites = {
        name: Site(
            link.stock, link.capacity, link.rate if isinstance(link, RateLink) else 0.0
        )
        for name, link in plan.links.items()
    }
    rotating = {name: Rotating(tunnel) for name, tunnel in plan.tunnels.items()}
    events = [(time, 1, "", 0) for time in times]
    for link in plan.links.values():
        if isinstance(link, SpaceLink):
            events += arrivals(plan, link, weather)
    for name, one in rotating.items():
        events.append((Schedule(name, one.tunnel.interval).phase, 2, name, 0))
    stocks: dict[str, list[int]] = {name: [] for name in sites}
    lacks = dict.fromkeys(rotating, math.inf)
    heapq.heapify(events)
    while events and events[0][0] <= plan.span:
        time, kind, name, bits = heapq.heappop(events)
        for site in sites.values():
            site.wait_until(time)
        if kind == 0:
            sites[name].add_bits(bits)
        elif kind == 1:
            for link_name, site in sites.items():
                stocks[link_name].append(site.keys)
        else:
            one = rotating[name]
            if not one.rotate(sites):
                lacks[name] = min(lacks[name], time)
            heapq.heappush(events, (time + one.tunnel.interval, 2, name, 0))
    return Outcome(stocks, lacks)


def arrivals(
    plan: Plan, link: SpaceLink, weather: Weather
) -> list[tuple[float, int, str, int]]:
    """Return what the satellite brings, as events."""
    first, second = (
        passes(
            link.orbit,
            station,
            plan.start,
            plan.end,
            link.model.min_elevation,
            sun_below=link.sun_below,
        )
        for station in link.stations
    )
    return [
        (each.time - plan.start, 0, link.name, each.bits)
        for each in deliveries(first, second, weather, link.model)
        if each.time < plan.end
    ]
