"""Connections that each user may have, and those kept for root."""

from collections import Counter
from typing import Final

from gateway.control import limits
from gateway.control.peer import Peer, is_privileged
from gateway.control.schema import ErrorCode
from gateway.errors import ControlError

_HINT: Final = "close some, or try again in a moment"


class ConnectionAdmission:
    """Counts connections by user.

    Root and the daemon's own user, which `systemctl reload` connects as, find room
    however many connections others hold open.
    """

    def __init__(self) -> None:
        self._of_user: Counter[int] = Counter()
        self._others = 0

    def enter(self, peer: Peer) -> None:
        """Count a connection that begins; `leave` must follow.

        Raises:
            ControlError: There are too many; it is not counted.
        """
        privileged = is_privileged(peer)
        own = self._of_user[peer.uid]
        if not privileged and own >= limits.MAX_OF_USER:
            raise _busy(f"you have {own} control connections open already")
        total = self._of_user.total()
        if privileged:
            if total >= limits.MAX_CONNECTIONS:
                raise _busy(f"{total} control connections are open already")
        elif self._others >= limits.MAX_CONNECTIONS - limits.RESERVED:
            raise _busy(f"{self._others} control connections are open already")
        self._of_user[peer.uid] += 1
        self._others += not privileged

    def leave(self, peer: Peer) -> None:
        """Count a connection that ended."""
        self._of_user[peer.uid] -= 1
        self._others -= not is_privileged(peer)
        if not self._of_user[peer.uid]:
            del self._of_user[peer.uid]


def _busy(message: str) -> ControlError:
    return ControlError(message, _HINT, code=ErrorCode.BUSY)
