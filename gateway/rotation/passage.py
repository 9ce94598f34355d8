"""Signs that packets still pass under an epoch that once came into force.

An epoch is proven once. That it still holds is seen from what comes: each end sends
something now and then, though nobody has anything to say (ESP a probe, WireGuard its
keepalive). That what we send arrives, only the peer can say: while a later epoch waits
for its proof, each end repeats of the one that carries what it said when that came into
force.
"""

from gateway.rotation import limits
from gateway.rotation.epochs import Epoch, EpochPhase


class Carrying:
    """What is known of one tunnel's packets after their proof.

    Attributes:
        silence: Seconds without a packet that an idle peer's plane never leaves.
    """

    __slots__ = (
        "_armed",
        "_blind",
        "_doubted_at",
        "_heard_at",
        "_peer_left",
        "_peer_said_at",
        "_sending",
        "_told_at",
        "silence",
    )

    def __init__(self, silence: float) -> None:
        self.silence = silence
        self._armed = False
        self.forget()

    def forget(self) -> None:
        """Know nothing: there is no epoch."""
        self._sending: int | None = None
        self._blind = 0
        self._heard_at = float("-inf")
        self._doubted_at = float("-inf")
        self._peer_said_at = float("-inf")
        self._told_at = float("-inf")
        self._peer_left = False

    def proven(self, *, now: float) -> None:
        """Note that the newest epoch is in force: something came to both ends."""
        self._heard_at = self._peer_said_at = now
        self._peer_left = False

    def polled(self, sending: int | None, heard_at: float | None) -> None:
        """Note what the kernel says.

        Args:
            sending: The epoch that what is sent leaves under, or None.
            heard_at: When something was last seen to have come, monotonic seconds.
        """
        self._sending = sending
        self._blind = 0
        if heard_at is not None and heard_at > self._heard_at:
            self._heard_at = heard_at
            # A peer that never speaks of itself is not missed when it falls silent.
            self._armed = True

    def poll_failed(self) -> None:
        """Note that the kernel could not be asked."""
        self._blind += 1
        if self._blind >= limits.BLIND_POLLS:
            self._sending = None

    def peer_said(self, *, now: float) -> None:
        """Note that something still arrives at the peer."""
        self._peer_said_at = now

    def peer_left(self) -> None:
        """Note that the peer sends under an epoch that is not in force yet."""
        self._peer_left = True

    def is_silent(self, *, now: float) -> bool:
        """Whether nothing comes any more, though the peer's plane would send."""
        return self._armed and now - self._heard_at > self.silence

    def doubted(self, *, now: float) -> None:
        """Note that the newest epoch seems not to serve any more."""
        self._doubted_at = now

    def is_well(self, epoch: Epoch) -> bool:
        """Whether something came again, and sending uses an epoch still."""
        return self._sending == epoch.number and self._heard_at > self._doubted_at

    def carrier(self, epochs: dict[int, Epoch]) -> Epoch | None:
        """Return the epoch in force that sending still uses, if there is one.

        A plane that moves sending only after its own proof (WireGuard) has one while
        a later epoch waits. Once the peer has left it, its packets prove nothing.
        """
        epoch = epochs.get(-1 if self._sending is None else self._sending)
        in_force = epoch is not None and epoch.phase is EpochPhase.IN_FORCE
        return epoch if in_force and not self._peer_left else None

    def carries(self, epochs: dict[int, Epoch], *, now: float) -> bool:
        """Whether packets pass both ways under it."""
        return (
            self.carrier(epochs) is not None
            and now - self._heard_at <= limits.CARRIER_SILENCE
            and now - self._peer_said_at <= limits.WORD_SILENCE
        )

    def word(self, epochs: dict[int, Epoch], *, now: float) -> int | None:
        """Return the epoch of which the peer is to be told that it carries, if any."""
        epoch = self.carrier(epochs)
        comes = now - self._heard_at <= limits.CARRIER_SILENCE
        if epoch is None or not comes or now - self._told_at < limits.SLOW_REPEAT:
            return None
        self._told_at = now
        return epoch.number
