"""QKD keys of a tunnel's epochs: as fresh as is wanted, or missing."""

from collections.abc import Iterator

from gateway.rotation.epochs import Epoch
from gateway.rotation.events import QKDMissing, QKDRestored, TunnelEvent


class QKDWatch:
    """Whether epochs lack a QKD key that is wanted, said when that changes.

    Attributes:
        missing: Why the newest epoch lacks the key that is wanted, None if it does not.
    """

    __slots__ = ("_every", "_wanted", "missing")

    def __init__(self, *, wanted: bool, every: int) -> None:
        """Make one that knows of no epoch.

        Args:
            wanted: Whether an epoch without a QKD key is worth an event.
            every: How many epochs may share a fresh one, by the chain.
        """
        self._wanted = wanted
        self._every = every
        self.missing: str | None = None

    def reconfigure(self, *, wanted: bool, every: int) -> None:
        """Want something else from the next epoch on."""
        self._wanted = wanted
        self._every = every

    def lacks(self, epoch: Epoch) -> bool:
        """Whether an epoch has no QKD key as fresh as is wanted."""
        if not self._wanted or epoch.adopted:
            return False
        return epoch.qkd_age is None or epoch.qkd_age >= self._every

    def note(self, tunnel: str, epoch: Epoch, reason: str) -> Iterator[TunnelEvent]:
        """Note a new epoch; yield when epochs begin, and cease, to lack a key.

        Args:
            tunnel: The tunnel's name.
            epoch: The epoch.
            reason: Why it mixes no fresh key, one line for the operator.
        """
        before = self.missing
        self.missing = reason if self.lacks(epoch) else None
        if self.missing is not None and self.missing != before:
            yield QKDMissing(tunnel, epoch.number, self.missing)
        elif epoch.key_id is not None and before is not None:
            yield QKDRestored(tunnel, epoch.number)
