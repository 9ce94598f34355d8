"""The two devices of a gateway, and a cached reading of their peers."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from gateway.dataplane.held.keeper import Keeper
from gateway.dataplane.wireguard.backend import (
    Backend,
    DeviceGoneError,
    PeerReading,
    device_alias,
)
from gateway.errors import DataPlaneError

DEVICE_COUNT = 2
"""One carries a tunnel while the other makes its next session."""

MIN_READING_AGE = 0.03
"""Seconds for which a reading serves all tunnels: a small part of a round trip."""

READING_SHARE = 20
"""A reading is kept for this many times what it cost: at most 5 % of a processor
goes into reading, however many peers a hub has. The kernel has no command to read
one peer; 5,000 take some 30 ms."""


_ANY_PORT = 0
"""The kernel chooses one that is free."""

LOOKING_SHARE = 30
"""A reading that nobody asked for is taken at most every so many times what it costs:
3 % of a processor to notice that somebody removed peers."""

LOOKS = 3
"""Of so many readings the quickest says what one costs: a machine that has other work
may take any of them a second, and would then not look for half a minute."""


@dataclass(frozen=True, slots=True)
class Adoptable:
    """A peer that was on a device before we opened it.

    Attributes:
        device: Index of the device.
        key: Its public key.
        reading: What the device says of it.
    """

    device: int
    key: bytes
    reading: PeerReading


@dataclass(frozen=True, slots=True)
class _Reading:
    taken_at: float
    keep_until: float
    peers: dict[bytes, PeerReading]


class DevicePair:
    """Keeps both devices there, and reads them no more often than it must."""

    def __init__(
        self,
        backend: Backend,
        names: tuple[str, str],
        ports: tuple[int, int],
        clock: Callable[[], float],
    ) -> None:
        self.names = names
        self.ports = ports
        self._backend = backend
        self._clock = clock
        self._look_at = 0.0
        self._costs: deque[float] = deque(maxlen=LOOKS)
        self._keys: list[bytes] = [b""] * DEVICE_COUNT
        self._readings: list[_Reading | None] = [None] * DEVICE_COUNT

    @property
    def aliases(self) -> tuple[str, str]:
        """The aliases of their interfaces."""
        return device_alias(self.names[0]), device_alias(self.names[1])

    def ensure(self) -> list[int]:
        """Make devices that are not there; return the indexes of those.

        Raises:
            DataPlaneError: As `Backend.ensure_device`.
        """
        made: list[int] = []
        absent = [
            (index, name)
            for index, name in enumerate(self.names)
            if not (self._keys[index] and self._backend.is_there(name))
        ]
        # Of both first: a port that is taken must not cost the other device its own.
        for index, name in absent:
            self._backend.check_port(name, self.ports[index])
        for index, name in absent:
            try:
                existed = self._backend.is_there(name)
                key = self._backend.ensure_device(name, self.ports[index])
            except DataPlaneError:
                for earlier in made:
                    self._backend.remove_device(self.names[earlier])
                raise
            if not existed or (self._keys[index] and key != self._keys[index]):
                made.append(index)
            self._keys[index] = key
            self._readings[index] = None
        return made

    def key(self, index: int) -> bytes:
        """Return a device's public key."""
        return self._keys[index]

    def find(self, key: bytes) -> int | None:
        """Return the index of the device with this public key, or None."""
        return self._keys.index(key) if key in self._keys else None

    def peers(self, index: int, since: float) -> dict[bytes, PeerReading] | None:
        """Return a device's peers as they were later than `since`, or None.

        None means that the reading in hand is older than that and too fresh to be
        replaced: ask again a moment later. A device that is gone has no peers.
        """
        reading = self._readings[index]
        now = self._clock()
        if reading is None or now >= reading.keep_until:
            reading = self._read(index)
        return reading.peers if reading.taken_at > since else None

    def _read(self, index: int, *, with_details: bool = False) -> _Reading:
        now = self._clock()
        try:
            peers = self._backend.read_peers(
                self.names[index], with_details=with_details
            )
        except DeviceGoneError:
            peers = {}
        cost = self._clock() - now
        keep_until = now + max(MIN_READING_AGE, READING_SHARE * cost)
        reading = self._readings[index] = _Reading(now, keep_until, peers)
        return reading

    def set_again(self) -> list[str]:
        """Give devices the port and mark that somebody changed; return their names."""
        return [
            name
            for index, name in enumerate(self.names)
            if self._backend.set_again(name, self.ports[index])
        ]

    def move(self, ports: tuple[int, int]) -> list[int]:
        """Have the devices listen on other ports; return the indexes of those moved.

        Raises:
            PlaneConflictError: A port is somebody else's; all are as they were.
        """
        old = self.ports
        moving = [i for i in range(DEVICE_COUNT) if ports[i] != old[i]]
        for index in moving:
            if ports[index] not in old:
                self._backend.check_port(self.names[index], ports[index])
        # One that takes the other's port goes last; two that exchange make room.
        moving.sort(key=lambda index: ports[index] in old)
        is_exchange = all(ports[index] in old for index in moving)
        try:
            if moving and is_exchange:
                self._backend.set_again(self.names[moving[-1]], _ANY_PORT)
            for index in moving:
                self._backend.set_again(self.names[index], ports[index])
        except DataPlaneError:
            for index in reversed(moving):
                self._backend.set_again(self.names[index], old[index])
            raise
        self.ports = ports
        return moving

    def find_gone(self, keeper: Keeper) -> list[str]:
        """Name the devices of which the keeper saw no interface any more."""
        return [n for n in self.names if keeper.index_of(device_alias(n)) is None]

    def look(self) -> tuple[dict[bytes, PeerReading], ...] | None:
        """Read all that both devices say of their peers, unasked.

        Returns:
            The peers by device, or None if the last such reading was too short a time
            ago for what it cost.
        """
        began = self._clock()
        if began < self._look_at:
            return None
        found = tuple(
            self._read(index, with_details=True).peers for index in range(DEVICE_COUNT)
        )
        ended = self._clock()
        self._costs.append(ended - began)
        self._look_at = ended + LOOKING_SHARE * min(self._costs)
        return found

    def adoptable(self) -> dict[str, list[Adoptable]]:
        """Return every peer by each of its prefixes, ``""`` for one without any."""
        found: dict[str, list[Adoptable]] = {}
        for index, name in enumerate(self.names):
            peers = self._backend.read_peers(name, with_details=True)
            for key, reading in peers.items():
                peer = Adoptable(index, key, reading)
                for prefix in reading.allowed or ("",):
                    found.setdefault(prefix, []).append(peer)
        return found
