"""One committed epoch's control channel at one end."""

from typing import Final

from gateway.crypto.aead import open_sealed, seal
from gateway.crypto.kdf import MAC_SIZE
from gateway.errors import CryptoError, ProtocolError
from gateway.handshake.holder import Holder
from gateway.handshake.limits import MAX_CONTROL_DATAGRAMS
from gateway.handshake.noise.keys import EpochKeys
from gateway.handshake.replay import ReplayWindow
from gateway.wire.control import ControlMessage, decode_control, encode_control
from gateway.wire.header import (
    COUNTER_SIZE,
    HEADER_SIZE,
    Type,
    encode_header,
)

_COUNTER_END: Final = HEADER_SIZE + COUNTER_SIZE
_LEAST: Final = _COUNTER_END + MAC_SIZE


class Session(Holder):
    """Seals and opens control datagrams under one epoch's keys.

    Attributes:
        tunnel: The tunnel's name.
        epoch: Its epoch.
        local_id: Identifier in what we receive.
        remote_id: Identifier in what we send.
        commit: At the responder, the M3 that was answered.
        confirmation: At the responder, the M4 that answers it, each time.
        confirmed: How often it did.
        shown: At the responder, whether the initiator has spoken under it.
    """

    __slots__ = (
        "_next",
        "_receive",
        "_send",
        "_window",
        "commit",
        "confirmation",
        "confirmed",
        "epoch",
        "local_id",
        "remote_id",
        "shown",
        "tunnel",
    )

    def __init__(
        self,
        tunnel: str,
        epoch: int,
        keys: EpochKeys,
        *,
        initiator: bool,
        local_id: bytes,
        remote_id: bytes,
    ) -> None:
        self.tunnel = tunnel
        self.epoch = epoch
        self.local_id = local_id
        self.remote_id = remote_id
        self.commit = b""
        self.confirmation = b""
        self.confirmed = 0
        self.shown = False
        self._send = keys.control_i2r if initiator else keys.control_r2i
        self._receive = keys.control_r2i if initiator else keys.control_i2r
        self._next = 0
        self._window = ReplayWindow()

    def seal(self, message: ControlMessage) -> bytes:
        """Return the datagram that carries a message.

        Raises:
            ProtocolError: ``exhausted``: the key has sealed all it may.
        """
        if self._next >= MAX_CONTROL_DATAGRAMS:
            raise ProtocolError("exhausted")
        counter = self._next
        self._next += 1
        start = encode_header(Type.CONTROL, self.remote_id) + counter.to_bytes(
            COUNTER_SIZE
        )
        return start + seal(
            self._send.expose(), counter, encode_control(message), start
        )

    def open(self, datagram: bytes) -> tuple[ControlMessage | None, bool]:
        """Return what a datagram says, and whether it is the newest so far.

        Raises:
            ProtocolError: ``replayed``, ``authentication`` or ``control``.
        """
        counter = int.from_bytes(datagram[HEADER_SIZE:_COUNTER_END])
        if not self._window.is_fresh(counter):
            raise ProtocolError("replayed")
        start, sealed = datagram[:_COUNTER_END], datagram[_COUNTER_END:]
        try:
            plaintext = open_sealed(self._receive.expose(), counter, sealed, start)
        except CryptoError as error:
            raise ProtocolError("authentication") from error
        newest = counter > self._window.highest
        self._window.accept(counter)
        return decode_control(plaintext), newest

    def wipe(self) -> None:
        """Forget the keys; the session is of no use afterwards."""
        self._send.wipe()
        self._receive.wipe()
