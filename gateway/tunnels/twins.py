"""Evidence that two machines run with one identity, such as a copied image.

The protocol cannot tell them apart, and each takes the tunnel from the other again and
again. What gives them away, at either end:

* The responder hears one machine under the session before the last, though another has
  shown that it holds the last: the one that made both would not go back.
* An initiator is told that the peer has committed epochs that it never asked for.

A peer that moves, an address translator that forgets, a restart and a restored backup
make neither, or make it once.
"""

from dataclasses import dataclass
from typing import Final

ENOUGH: Final = 2
"""Times that make a fault: a machine set back to an earlier state makes one."""

MEMORY: Final = 1800.0
"""Seconds for which it counts: two machines at the longest usual interval (600 s) give
themselves away at each rotation."""

_CURE: Final = "give one of them an identity of its own: qgw identity new"


@dataclass(slots=True)
class _Sight:
    fault: str = ""
    count: int = 0
    last: float = 0.0

    def note(self, fault: str, now: float) -> None:
        if now - self.last > MEMORY:
            self.count = 0
        self.count += 1
        self.fault, self.last = fault, now

    def is_sure(self, now: float) -> bool:
        return self.count >= ENOUGH and now - self.last <= MEMORY


class Twins:
    """What one tunnel has seen of machines with one identity."""

    def __init__(self) -> None:
        self._peer = _Sight()
        self._own = _Sight()

    def of_peer(self, one: object, other: object, *, now: float) -> None:
        """Note that the peer speaks from two places at once."""
        places = " and ".join(sorted((str(one), str(other))))
        self._peer.note(
            f"two machines use this peer's identity, at {places}: {_CURE}", now
        )

    def of_ours(self, *, now: float) -> None:
        """Note that the peer has committed epochs that were not asked for here."""
        self._own.note(
            "another machine uses this gateway's identity: the peer has committed "
            f"epochs that were not asked for here; {_CURE}",
            now,
        )

    def faults(self, *, now: float) -> list[str]:
        """Return what is certain by now."""
        sights = (self._peer, self._own)
        return [sight.fault for sight in sights if sight.is_sure(now)]
