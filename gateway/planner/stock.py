"""A stock in every weather: keys flow out all the time and come in lumps."""

from dataclasses import dataclass

import numpy as np

from gateway.planner.skies import Bools
from gateway.planner.space.times import Floats
from gateway.planner.supply import PlannedSupply


@dataclass(frozen=True, slots=True)
class PlannedStock:
    """One link's stock and what it is fed by. All amounts are keys.

    Attributes:
        supply: What comes in.
        begin: At the start.
        capacity: It holds no more.
        margin: How far it can be from its forecast.
        span: Seconds looked at.
    """

    supply: PlannedSupply
    begin: float
    capacity: float
    margin: float
    span: float

    def holds(self, demand: float) -> Bools:
        """Say in which draws it never falls below its margin.

        Args:
            demand: Keys a second that are taken.
        """
        level, lowest = self._full(), self._full()
        net, last = self.supply.inflow - demand, 0.0
        for time, gain in zip(self.supply.times, self.supply.gains, strict=True):
            level += net * (time - last)
            np.minimum(lowest, level, out=lowest)
            level += gain
            np.minimum(level, self.capacity, out=level)
            last = time
        level += net * (self.span - last)
        return np.asarray(np.minimum(lowest, level) >= self.margin)

    def falls_below(self, demand: float, limit: float) -> Floats:
        """Return when it first falls below a limit in each draw, inf for never.

        What lacks is owed: below zero it goes on down.
        """
        level = self._full()
        found = np.where(level < limit, 0.0, np.inf)
        net, last = self.supply.inflow - demand, 0.0
        events = zip(self.supply.times, self.supply.gains, strict=True)
        for time, gain in (*events, (self.span, 0.0)):
            before = level + net * (time - last)
            new = (before < limit) & np.isinf(found)
            if new.any():
                # It was not below at the last event, so it falls.
                found[new] = last + (level[new] - limit) / -net
            level = np.minimum(before + gain, self.capacity)
            last = time
        return found

    def course(self, demand: float, grid: Floats) -> Floats:
        """Return the stock at some times, shape (grid, draws).

        A delivery counts from its moment on. An empty stock stays at zero: what nobody
        could take is not owed.

        Args:
            demand: Keys a second that are taken.
            grid: Seconds after the start, ascending.
        """
        level = self._full()
        result = np.empty((len(grid), *level.shape))
        net, last = self.supply.inflow - demand, 0.0
        arrivals = [*zip(self.supply.times, self.supply.gains, strict=True)]
        arrivals.append((np.inf, np.zeros(1)))
        place = 0
        for time, gain in arrivals:
            stop = int(np.searchsorted(grid, time, "left"))
            ways = grid[place:stop, None] - last
            result[place:stop] = np.clip(level + net * ways, 0.0, self.capacity)
            if stop == len(grid):
                break
            level = np.maximum(level + net * (time - last), 0.0) + gain
            np.minimum(level, self.capacity, out=level)
            place, last = stop, time
        return result

    def _full(self) -> Floats:
        """Return the stock at the start, one for each draw."""
        draws = self.supply.gains.shape[1]
        return np.full(draws, float(min(self.begin, self.capacity)))
