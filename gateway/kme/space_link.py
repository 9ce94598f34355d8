"""A link by satellite that delivers keys when passes over both stations have ended.

**Simulated, NOT quantum keys**: only when and how much is modelled (docs/satellite.md).
Time inside is UTC seconds since 1970, which run `time_scale` times as fast.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.errors import OrbitError, QuantumLinkError
from gateway.kme.link import Block, KmeLinkStatus, LinkState
from gateway.kme.space_figures import MAX_OVERCAST_DAYS
from gateway.planner.space.key import KeyModel
from gateway.planner.space.orbit import Orbit
from gateway.planner.space.passes import NIGHT, SatellitePass, passes_over
from gateway.planner.space.stations import Station
from gateway.planner.space.times import DAY, format_time
from gateway.planner.space.trusted import TrustedSatellite
from gateway.planner.space.weather import Overcast, Weather

MAX_TIME_SCALE: Final = 100_000.0
"""Simulated seconds a second: a day in 0.9 s."""

MAX_CATCH_UP: Final = 60.0
"""Real seconds of a pause that are made up for; a suspended machine makes no keys."""

AHEAD: Final = 10 * DAY
"""Simulated seconds of passes predicted at once, some 50 ms of work."""

MAX_AHEAD: Final = 120 * DAY
"""Simulated seconds looked ahead for the next pass: longer than a polar summer."""

QUIET_QBER: Final = 0.01
"""Of a clear pass; an assumption."""

NOISY_QBER: Final = 0.25
"""What an intercept-resend attack leaves (BB84)."""

RATE_TIME: Final = 30 * DAY
"""Simulated seconds over which the rate is averaged: shorter shows weather only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceStatus(KmeLinkStatus):
    """How a satellite link stands.

    Attributes:
        next_pass: The pass under way or the next, None when none is in sight.
        simulated_time: UTC seconds since 1970 in the simulation.
        waiting: Bits at each station that wait for the other's pass.
        passes_used: Passes that gave key so far.
        passes_clouded: Passes that the weather, or `down`, took away.
        passes_refused: Passes that were counted before, and gave nothing again.
        overcast: Until when it was clouded by hand, UTC seconds, by station.
        time_scale: Simulated seconds in one real second.
    """

    next_pass: SatellitePass | None
    simulated_time: float
    waiting: tuple[int, int]
    passes_used: int
    passes_clouded: int
    passes_refused: int
    overcast: Mapping[str, float]
    time_scale: float


class SatelliteLink:
    """A `gateway.kme.link.LinkModel` by a trusted satellite over two stations.

    Args:
        orbit: Of the satellite.
        stations: The two.
        weather: The sky over them.
        start: When the simulation begins, UTC seconds since 1970.
        model: How much key a pass gives.
        sun_below: Only passes with the sun lower than this, degrees; None for all.
        time_scale: Simulated seconds in one real second.

    Raises:
        QuantumLinkError: The time scale is out of range.
        OrbitError: No orbit, or not at that time.
    """

    def __init__(
        self,
        orbit: Orbit,
        stations: tuple[Station, Station],
        weather: Weather,
        start: float,
        *,
        model: KeyModel | None = None,
        sun_below: float | None = NIGHT,
        time_scale: float = 1.0,
    ) -> None:
        if not 0.0 < time_scale <= MAX_TIME_SCALE:
            raise QuantumLinkError(
                f"time cannot run {time_scale:g} times as fast",
                f"give a time scale above 0 and up to {MAX_TIME_SCALE:g}",
            )
        self._orbit, self._stations, self._weather = orbit, stations, weather
        self._model, self._sun_below = model or KeyModel(), sun_below
        self._satellite = TrustedSatellite(*(station.name for station in stations))
        self._scale = time_scale
        self._begin = self._time = self._known_until = start
        self._now: float | None = None
        self._coming: deque[SatellitePass] = deque()
        self._is_up, self._eavesdropped, self._alarmed = True, False, False
        self._used = self._clouded = self._refused = 0
        self._clouds: dict[str, Overcast] = {}
        self._problem = ""
        self._qber: float | None = None
        self._given: deque[tuple[float, int]] = deque()
        self._predict()

    def blocks_due(self, now: float) -> list[Block]:
        """Return a block for each pass that completed keys since the last call."""
        if self._now is None:
            self._now = now
        passed = min(max(0.0, now - self._now), MAX_CATCH_UP)
        self._now = max(now, self._now)
        until = self._time + passed * self._scale
        blocks = []
        self._look_ahead(until)
        while self._coming and self._coming[0].set <= until:
            block = self._end(self._coming.popleft(), until)
            blocks += [block] if block else []
            self._look_ahead(until)
        self._time = until
        while self._given and self._given[0][0] < until - RATE_TIME:
            self._given.popleft()
        return blocks

    def down(self) -> None:
        """Switch it off: passes that end meanwhile give nothing; keys held stay."""
        self._is_up = False

    def up(self) -> None:
        """Switch it on again."""
        self._is_up = True

    def eavesdrop(self, on: bool) -> None:  # noqa: FBT001  # a switch
        """Let someone listen on the way down: passes meanwhile are thrown away."""
        self._eavesdropped = on
        self._alarmed = self._alarmed and on

    def overcast(self, station: str, days: float) -> None:
        """Cloud a station from now on; one order follows another, it does not add up.

        Args:
            station: Its name, in capitals or not.
            days: Simulated days; 0 ends what was ordered before. The weather that was
                configured stays.

        Raises:
            QuantumLinkError: No such station, or not 0 to 3650 days.
        """
        names = {each.name.casefold(): each.name for each in self._stations}
        names |= {each.name: each.name for each in self._stations}
        name = names.get(station, names.get(station.casefold()))
        if name is None:
            raise QuantumLinkError(
                f"this link has no station {station!r}",
                "it has " + " and ".join(each.name for each in self._stations),
            )
        if not 0.0 <= days <= MAX_OVERCAST_DAYS:
            raise QuantumLinkError(
                f"the sky cannot be overcast for {days:g} days",
                f"give 0 to {MAX_OVERCAST_DAYS:g} simulated days",
            )
        self._clouds[name] = Overcast(name, self._time, self._time + days * DAY)

    def status(self) -> SpaceStatus:
        """Say how the link stands; up between passes, too."""
        state, alarm = LinkState.UP, self._problem
        if not self._is_up:
            state, alarm = LinkState.DOWN, "the satellite link is switched off"
        elif self._alarmed:
            state = LinkState.EAVESDROPPED
            alarm = f"QBER {NOISY_QBER:.0%}: someone listens, the pass is thrown away"
        counted = max(min(self._time - self._begin, RATE_TIME), DAY)
        rate = sum(bits for _, bits in self._given) / counted * self._scale
        return SpaceStatus(
            state=state,
            qber=self._qber,
            secret_rate=rate if state is LinkState.UP else 0.0,
            alarm=alarm,
            description=self._description(),
            next_pass=self._coming[0] if self._coming else None,
            simulated_time=self._time,
            waiting=self._satellite.waiting,
            passes_used=self._used,
            passes_clouded=self._clouded,
            passes_refused=self._refused,
            overcast={name: cloud.end for name, cloud in self._clouded_now()},
            time_scale=self._scale,
        )

    def _end(self, each: SatellitePass, until: float) -> Block | None:
        """Count a pass that has ended."""
        time = (self._now or 0.0) - (until - each.set) / self._scale
        hidden = any(cloud.covers(each) for cloud in self._clouds.values())
        if not self._is_up or hidden or not self._weather.is_clear(each):
            self._clouded += 1
            return None
        if self._eavesdropped:
            self._alarmed, self._qber = True, NOISY_QBER
            return Block(0, NOISY_QBER, time)
        try:
            delivery = self._satellite.add(each, self._model.bits(each))
        except OrbitError as error:
            # Its bits went into keys already: given again, keys would be used twice.
            self._refused += 1
            self._problem = f"a delivery is refused: {error.message}"
            return None
        self._used += 1
        self._qber = QUIET_QBER
        if delivery is None:
            return None
        self._given.append((delivery.time, delivery.bits))
        return Block(delivery.bits, QUIET_QBER, time)

    def _look_ahead(self, until: float) -> None:
        """Know the next pass, and all that end by `until`."""
        try:
            while self._known_until <= until:
                self._predict()
            # Once a call at most, so that the event loop is never held for long.
            if not self._coming and self._known_until - until < MAX_AHEAD:
                self._predict()
        except OrbitError as error:
            # A TLE grows old while the KME runs: it says so and gives nothing more.
            self._problem = error.message
            self._known_until = float("inf")

    def _predict(self) -> None:
        """Predict the passes of the next days; one under way at a seam is one pass."""
        start, end = self._known_until, self._known_until + AHEAD
        found = passes_over(
            self._orbit,
            self._stations,
            start,
            end,
            self._model.min_elevation,
            sun_below=self._sun_below,
        )
        new = sorted(
            (each for each_list in found.values() for each in each_list),
            key=lambda each: each.set,
        )
        cut = [each for each in new if each.set >= end and each.rise > start + 1.0]
        # What the end cuts off is predicted whole from before its rise.
        self._known_until = min([end, *(each.rise - 1.0 for each in cut)])
        self._coming.extend(each for each in new if each.set < self._known_until)

    def _clouded_now(self) -> list[tuple[str, Overcast]]:
        return [each for each in self._clouds.items() if each[1].end > self._time]

    def _description(self) -> str:
        names = " and ".join(station.name for station in self._stations)
        speed = f", time {self._scale:g} times as fast" if self._scale != 1.0 else ""
        text = f"simulated, NOT quantum keys: {self._orbit.name} over {names}{speed}"
        for name, cloud in self._clouded_now():
            text += f"; overcast: {name} until {format_time(cloud.end)}"
        if not self._coming:
            return f"{text}; no pass in sight"
        each = self._coming[0]
        return (
            f"{text}; next pass: {each.station.name} {format_time(each.rise)}, "
            f"up to {each.max_elevation:.0f} degrees"
        )
