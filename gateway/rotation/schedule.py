"""The schedule of a tunnel: a fixed interval, at a phase of its own.

Monotonic seconds only; nothing depends on the time of day. The phase follows from
the tunnel's name, so that the tunnels of a hub are spread over the interval.
"""

import math
from dataclasses import dataclass, field

from gateway.crypto.kdf import hash_parts
from gateway.rotation.limits import MIN_SPACING_SHARE

_LABEL = b"qgw-1 rotation phase"
_PHASE_BYTES = 8


@dataclass(frozen=True, slots=True)
class Schedule:
    """Rotation times ``phase + k * interval``.

    Attributes:
        name: The tunnel's name.
        interval: Seconds between epochs.
        phase: Seconds, 0 <= phase < interval.
    """

    name: str
    interval: float
    phase: float = field(init=False)

    def __post_init__(self) -> None:
        digest = hash_parts(_LABEL, self.name.encode())[:_PHASE_BYTES]
        share = int.from_bytes(digest) / 2 ** (8 * _PHASE_BYTES)
        object.__setattr__(self, "phase", share * self.interval)

    def next_after(self, last: float) -> float:
        """Return the first rotation time that is not too soon after an epoch.

        Args:
            last: When the last epoch was committed, monotonic seconds.
        """
        earliest = last + MIN_SPACING_SHARE * self.interval
        ticks = math.ceil((earliest - self.phase) / self.interval)
        return self.phase + ticks * self.interval
