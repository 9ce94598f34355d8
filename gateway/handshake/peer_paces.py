"""Bounds of what one peer may do, however authentic it is."""

from gateway.handshake import limits
from gateway.handshake.bucket import Bucket


class PeerPaces:
    """The token buckets of one tunnel's peer.

    Attributes:
        begun: Bounds the epochs that it begins.
        refused: Bounds those that are refused, which may be replays.
        moves: Bounds how often its address changes.
        said: Bounds its control messages.
        cookies: Bounds the cookies for its address.
    """

    __slots__ = ("begun", "cookies", "moves", "refused", "said")

    def __init__(self, peer_rate: float) -> None:
        """Make full ones.

        Args:
            peer_rate: Epochs a second that the peer may begin.
        """
        self.begun = Bucket(peer_rate, limits.PEER_BURST)
        self.refused = Bucket(peer_rate, limits.PEER_BURST)
        self.moves = Bucket(limits.MOVE_RATE, limits.MOVE_BURST)
        self.said = Bucket(limits.CONTROL_RATE, limits.CONTROL_BURST)
        self.cookies = Bucket(limits.PEER_REPLIES, limits.PEER_REPLIES)
