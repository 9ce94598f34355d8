"""Advice to make a schedule hold: a QKD key in fewer epochs, or longer intervals.

Tunnels that fail and share a link, at once or by way of others, are stretched by the
same factor: what one alone would need depends on what the others do.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from gateway.config.model import MAX_QKD_EVERY, MAX_ROTATION_INTERVAL
from gateway.planner.model import Plan, PlannedTunnel
from gateway.planner.result import Advice
from gateway.planner.stock import PlannedStock

MAX_STRETCH: Final = 1800
"""Of an interval: from the shortest that is allowed to the longest."""

_FINE: Final = 100
"""Steps of a factor that intervals are stretched by: 1 %."""


def advise(
    plan: Plan, stocks: Mapping[str, PlannedStock], failing: Sequence[PlannedTunnel]
) -> dict[str, Advice]:
    """Return what would make each of the failing tunnels hold, by name.

    Args:
        plan: The plan.
        stocks: By link.
        failing: Tunnels that do not hold with the plan's probability.
    """
    found = {}
    for group in _groups(failing):
        search = _Search(plan, stocks, group)
        times = _least(search.holds_with_every, 1, MAX_QKD_EVERY)
        percent = _least(search.holds_with_interval, _FINE, _FINE * MAX_STRETCH)
        for each in group:
            found[each.name] = Advice(
                _every(each, times),
                _interval(each, percent),
                tuple(one.name for one in group if one is not each),
            )
    return found


def _groups(tunnels: Iterable[PlannedTunnel]) -> list[list[PlannedTunnel]]:
    """Part tunnels into those that share links."""
    groups: list[list[PlannedTunnel]] = []
    for each in tunnels:
        joined, apart = [each], []
        for group in groups:
            links = {link for one in group for link in one.links}
            if links.isdisjoint(each.links):
                apart.append(group)
            else:
                joined = group + joined
        groups = [*apart, joined]
    return groups


class _Search:
    """Asks whether a group would hold, stretched so or so."""

    def __init__(
        self,
        plan: Plan,
        stocks: Mapping[str, PlannedStock],
        group: Sequence[PlannedTunnel],
    ) -> None:
        self._plan, self._group = plan, group
        links = {link for each in group for link in each.links}
        self._stocks = {name: stocks[name] for name in sorted(links)}
        inside = {each.name for each in group}
        # What the tunnels take that hold as they are.
        self._others = {
            name: math.fsum(
                each.demand for each in plan.users(name) if each.name not in inside
            )
            for name in self._stocks
        }

    def holds_with_every(self, times: int) -> bool:
        """Say whether all hold with so many times the epochs on one QKD key."""
        return self._hold(
            [dataclasses.replace(e, every=e.every * times) for e in self._group]
        )

    def holds_with_interval(self, percent: int) -> bool:
        """Say whether all hold with intervals stretched to so many percent."""
        return self._hold(
            [
                dataclasses.replace(e, interval=e.interval * percent / _FINE)
                for e in self._group
            ]
        )

    def _hold(self, tunnels: Sequence[PlannedTunnel]) -> bool:
        wanted = {
            name: others + math.fsum(e.demand for e in tunnels if name in e.links)
            for name, others in self._others.items()
        }
        held = {name: each.holds(wanted[name]) for name, each in self._stocks.items()}
        for each in tunnels:
            of_hops = np.broadcast_arrays(*(held[name] for name in each.links))
            if np.all(of_hops, axis=0).mean() < self._plan.probability:
                return False
        return True


def _least(holds: Callable[[int], bool], low: int, high: int) -> int | None:
    """Return the least number that holds; less demand never makes one fail."""
    if not holds(high):
        return None
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _every(tunnel: PlannedTunnel, times: int | None) -> int | None:
    if times is None or tunnel.every * times > MAX_QKD_EVERY:
        return None
    return tunnel.every * times


def _interval(tunnel: PlannedTunnel, percent: int | None) -> int | None:
    if percent is None:
        return None
    seconds = math.ceil(tunnel.interval * percent / _FINE)
    return seconds if seconds <= MAX_ROTATION_INTERVAL else None
