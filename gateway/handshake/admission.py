"""Admission of initiations: mac1, load, cookies, reassembly, replays, pace.

Until an M1 is read, this costs at most a few hashes, and stores nothing for an address
that has not shown, under load, that it receives what is sent to it.
"""

from dataclasses import dataclass
from typing import Final

from gateway.crypto.kdf import HASH_SIZE, MAC_SIZE, hash_parts
from gateway.errors import ProtocolError
from gateway.handshake import limits
from gateway.handshake.attempts import TunnelHandshakes
from gateway.handshake.bucket import Bucket
from gateway.handshake.cookies import NO_MAC, CookieJar, LoadMeter
from gateway.handshake.core import Core, LocalIdentity
from gateway.handshake.events import Address, PeerHasty
from gateway.wire.header import (
    COOKIE_REPLY_SIZE,
    COOKIE_SALT_SIZE,
    HEADER_SIZE,
    Header,
)
from gateway.wire.payloads import Status

_MACS_SIZE: Final = 2 * MAC_SIZE


@dataclass(frozen=True, slots=True)
class Admitted:
    """A whole M1 that may be read.

    Attributes:
        local: Whom it is addressed to.
        session_id: The initiator's identifier.
        message: M1.
        digest: 24 bytes that name this very M1.
        validated: Whether its sender receives what is sent to its address.
    """

    local: LocalIdentity
    session_id: bytes
    message: bytes
    digest: bytes
    validated: bool


class Admission:
    """Lets fragments of M1 in, or drops them."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._cookies = CookieJar(core.random)
        self._load = LoadMeter()
        self._replies = Bucket(limits.REPLY_RATE, limits.REPLY_BURST)
        self._guests = Bucket(limits.GUEST_RATE, limits.GUEST_BURST)

    def admit(
        self, header: Header, data: bytes, address: Address, *, now: float
    ) -> Admitted | None:
        """Take in one fragment; return M1 once it is whole.

        Raises:
            ProtocolError: ``pace``, ``mac1``, ``cookie`` or ``oversized``.
        """
        core = self._core
        if core.is_paused(address, now=now):
            raise ProtocolError("pace")
        mac2 = data[-MAC_SIZE:]
        loaded = self._load.under_load(assemblies=len(core.initiations), now=now)
        resident = core.resident(address, now=now) if loaded else None
        if loaded:
            self._refuse_cheaply(header, mac2, resident, now=now)
        start, mac1 = data[:-_MACS_SIZE], data[-_MACS_SIZE:-MAC_SIZE]
        local = self._addressee(start, mac1)
        if loaded:
            self._demand_cookie(
                local, header, start + mac1, mac2, address, resident, now=now
            )
        message = core.initiations.add(
            (address, header.session_id),
            header.index,
            header.count,
            start[HEADER_SIZE:],
            now=now,
        )
        if message is None:
            return None
        if loaded and resident is None and not self._guests.take(now=now):
            raise ProtocolError("pace")
        digest = hash_parts(header.session_id, message)[: HASH_SIZE // 2]
        return Admitted(local, header.session_id, message, digest, loaded)

    def count(self, *, now: float) -> None:
        """Note that an M1 is about to cost asymmetric cryptography."""
        self._load.count_initiation(now=now)

    def bound(
        self,
        tunnel: TunnelHandshakes,
        status: Status,
        admitted: Admitted,
        address: Address,
        *,
        now: float,
    ) -> None:
        """Let a peer begin so many epochs, before an answer costs KEMs.

        What is refused may be a replay, and has a bucket of its own. A peer that is
        out of its mind is not listened to until there is a token again, where it
        cannot have borrowed the address from somebody honest.

        Raises:
            ProtocolError: ``pace``.
        """
        core = self._core
        if status is not Status.ACCEPTED:
            if not tunnel.paces.refused.take(now=now):
                raise ProtocolError("pace")
            return
        if tunnel.paces.begun.take(now=now):
            return
        core.report(PeerHasty(tunnel.name, address))
        own = core.remote_of(tunnel.address) == core.remote_of(address)
        if own or admitted.validated:
            core.pause(address, until=now + 1 / limits.PEER_RATE)
        raise ProtocolError("pace")

    def _addressee(self, start: bytes, mac1: bytes) -> LocalIdentity:
        """Return the identity of ours that a datagram is addressed to."""
        for local in self._core.identities.values():
            if local.seal.verify_mac1(start, mac1):
                return local
        raise ProtocolError("mac1")

    def _refuse_cheaply(
        self,
        header: Header,
        mac2: bytes,
        resident: TunnelHandshakes | None,
        *,
        now: float,
    ) -> None:
        """Drop what would be dropped anyway, before it costs a hash.

        Raises:
            ProtocolError: ``cookie`` or ``pace``.
        """
        if mac2 != NO_MAC:
            if resident is None and not self._guests.has(now=now):
                raise ProtocolError("pace")
        elif header.index or not self._bucket_of(resident).has(now=now):
            raise ProtocolError("cookie")

    def _demand_cookie(
        self,
        local: LocalIdentity,
        header: Header,
        covered: bytes,
        mac2: bytes,
        address: Address,
        resident: TunnelHandshakes | None,
        *,
        now: float,
    ) -> None:
        """Let only those pass who receive what is sent to their address.

        Raises:
            ProtocolError: ``cookie``.
        """
        if mac2 != NO_MAC and self._cookies.verify(address, covered, mac2, now=now):
            return
        fits = header.index == 0 and len(covered) + MAC_SIZE >= COOKIE_REPLY_SIZE
        if fits and self._bucket_of(resident).take(now=now):
            cookie = self._cookies.cookie_for(address, now=now)
            salt = self._core.random(COOKIE_SALT_SIZE)
            mac1 = covered[-MAC_SIZE:]
            reply = local.seal.seal_cookie(header.session_id, mac1, cookie, salt)
            self._core.reply(reply, address, now=now)
        raise ProtocolError("cookie")

    def _bucket_of(self, resident: TunnelHandshakes | None) -> Bucket:
        """Return what bounds the cookies for an address."""
        return self._replies if resident is None else resident.paces.cookies
