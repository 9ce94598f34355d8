"""The two devices of a gateway, and a cached reading of their peers."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.dataplane.links import Links
from gateway.dataplane.wireguard.backend import (
    Backend,
    DeviceGoneError,
    PeerReading,
)
from gateway.dataplane.wireguard.shared import SharedLinks
from gateway.errors import DataPlaneError

DEVICE_COUNT = 2
"""One carries a tunnel while the other makes its next session."""

MIN_READING_AGE = 0.03
"""Seconds for which a reading serves all tunnels: a small part of a round trip."""

READING_SHARE = 20
"""A reading is kept for this many times what it cost: at most 5 % of a processor
goes into reading, however many peers a hub has. The kernel has no command to read
one peer; 5,000 take some 30 ms."""


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
        self._keys: list[bytes] = [b""] * DEVICE_COUNT
        self._readings: list[_Reading | None] = [None] * DEVICE_COUNT

    def ensure(self, links: Links, shared: SharedLinks) -> list[int]:
        """Make devices that are not there; return the indexes of those.

        Raises:
            DataPlaneError: As `Backend.ensure_device`.
        """
        made: list[int] = []
        for index, name in enumerate(self.names):
            if self._keys[index] and self._backend.is_there(name):
                continue
            existed = links.find_interface(name) is not None
            try:
                key = self._backend.ensure_device(name, self.ports[index])
                shared.loosen_reverse_path(name)
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
            try:
                peers = self._backend.read_peers(self.names[index])
            except DeviceGoneError:
                peers = {}
            cost = self._clock() - now
            keep_until = now + max(MIN_READING_AGE, READING_SHARE * cost)
            reading = self._readings[index] = _Reading(now, keep_until, peers)
        return reading.peers if reading.taken_at > since else None

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
