"""Who may have an initiation read: mac1, load, cookies, reassembly, replays.

Everything here costs at most a few hashes, and stores nothing for an address that
has not shown, under load, that it receives what is sent to it.
"""

from dataclasses import dataclass
from typing import Final

from gateway.crypto.kdf import HASH_SIZE, MAC_SIZE, hash_parts
from gateway.errors import ProtocolError
from gateway.handshake.core import Core, LocalIdentity
from gateway.handshake.events import Address
from gateway.handshake.guard import NO_MAC, CookieJar, LoadMeter
from gateway.wire.header import (
    COOKIE_REPLY_SIZE,
    COOKIE_SALT_SIZE,
    HEADER_SIZE,
    Header,
)

_MACS_SIZE: Final = 2 * MAC_SIZE


@dataclass(frozen=True, slots=True)
class Admitted:
    """A whole M1 that may be read.

    Attributes:
        local: Whom it is addressed to.
        session_id: The initiator's identifier.
        message: M1.
        digest: 24 bytes that name this very M1.
    """

    local: LocalIdentity
    session_id: bytes
    message: bytes
    digest: bytes


class Admission:
    """Lets fragments of M1 in, or drops them."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._cookies = CookieJar(core.random)
        self._load = LoadMeter()

    def admit(
        self, header: Header, data: bytes, address: Address, *, now: float
    ) -> Admitted | None:
        """Take in one fragment; return M1 once it is whole.

        Raises:
            ProtocolError: ``mac1``, ``cookie``, ``fragment`` or ``oversized``.
        """
        core = self._core
        start, macs = data[:-_MACS_SIZE], data[-_MACS_SIZE:]
        mac1, mac2 = macs[:MAC_SIZE], macs[MAC_SIZE:]
        local = self._addressee(start, mac1)
        if self._load.under_load(assemblies=len(core.initiations), now=now):
            self._demand_cookie(local, header, start + mac1, mac2, address, now=now)
        message = core.initiations.add(
            (address, header.session_id),
            header.index,
            header.count,
            start[HEADER_SIZE:],
            now=now,
        )
        if message is None:
            return None
        digest = hash_parts(header.session_id, message)[: HASH_SIZE // 2]
        return Admitted(local, header.session_id, message, digest)

    def count(self, *, now: float) -> None:
        """Note that an M1 is about to cost asymmetric cryptography."""
        self._load.count_initiation(now=now)

    def _addressee(self, start: bytes, mac1: bytes) -> LocalIdentity:
        """Return the identity of ours that a datagram is addressed to."""
        for local in self._core.identities.values():
            if local.seal.verify_mac1(start, mac1):
                return local
        raise ProtocolError("mac1")

    def _demand_cookie(
        self,
        local: LocalIdentity,
        header: Header,
        covered: bytes,
        mac2: bytes,
        address: Address,
        *,
        now: float,
    ) -> None:
        """Let only those pass who receive what is sent to their address."""
        if mac2 != NO_MAC and self._cookies.verify(address, covered, mac2, now=now):
            return
        if header.index == 0 and len(covered) + MAC_SIZE >= COOKIE_REPLY_SIZE:
            cookie = self._cookies.cookie_for(address, now=now)
            salt = self._core.random(COOKIE_SALT_SIZE)
            mac1 = covered[-MAC_SIZE:]
            reply = local.seal.seal_cookie(header.session_id, mac1, cookie, salt)
            self._core.send(reply, address)
        raise ProtocolError("cookie")
