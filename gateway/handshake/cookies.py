"""The threshold for strangers: mac1, load, cookies (docs/protocol.md, section 3).

mac1 shows that the sender knows whom it writes to, and costs the receiver one hash.
Under load the responder keeps nothing for an address until that address has shown,
with mac2, that it receives what is sent to it.
"""

from collections.abc import Callable, Hashable
from typing import Final

from gateway.crypto.aead import open_sealed, seal
from gateway.crypto.identity import PublicIdentity
from gateway.crypto.kdf import MAC_SIZE, derive, hash_parts, mac, macs_equal
from gateway.handshake import limits
from gateway.handshake.bucket import Bucket
from gateway.handshake.noise import labels
from gateway.wire.header import (
    COOKIE_SALT_SIZE,
    COOKIE_SIZE,
    HEADER_SIZE,
    Type,
    encode_header,
)

NO_MAC: Final = bytes(MAC_SIZE)
_SECRET_SIZE: Final = 32
_KEY_SIZE: Final = 32
_SALT_END: Final = HEADER_SIZE + COOKIE_SALT_SIZE


class Seal:
    """The two keys that follow from a public identity."""

    __slots__ = ("_cookie", "_mac1")

    def __init__(self, identity: PublicIdentity) -> None:
        self._mac1 = hash_parts(labels.MAC1, identity.ecdh, identity.kem)
        self._cookie = hash_parts(labels.COOKIE, identity.ecdh, identity.kem)

    def mac1(self, data: bytes) -> bytes:
        """Return the mac1 of a datagram addressed to this identity."""
        return mac(self._mac1, data)

    def verify_mac1(self, data: bytes, mac1: bytes) -> bool:
        """Whether a datagram is addressed to this identity."""
        return macs_equal(self.mac1(data), mac1)

    def seal_cookie(
        self, session_id: bytes, mac1: bytes, cookie: bytes, salt: bytes
    ) -> bytes:
        """Return the cookie reply to the fragment that had this mac1."""
        header = encode_header(Type.COOKIE_REPLY, session_id)
        key = derive(salt, self._cookie, labels.COOKIE + mac1, _KEY_SIZE)
        return header + salt + seal(key, 0, cookie, header)

    def open_cookie(self, datagram: bytes, mac1: bytes) -> bytes:
        """Return the cookie in a reply to the fragment that had this mac1.

        Raises:
            CryptoError: It answers another fragment.
        """
        header = datagram[:HEADER_SIZE]
        salt = datagram[HEADER_SIZE:_SALT_END]
        key = derive(salt, self._cookie, labels.COOKIE + mac1, _KEY_SIZE)
        return open_sealed(key, 0, datagram[_SALT_END:], header)


class CookieJar:
    """Makes and recognises this gateway's cookies, bound to source addresses."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._current = random(_SECRET_SIZE)
        self._previous = self._current
        self._born = float("-inf")

    def cookie_for(self, address: Hashable, *, now: float) -> bytes:
        """Return the cookie of an address, `COOKIE_SIZE` bytes."""
        self._rotate(now)
        return self._cookie(self._current, address)

    def verify(
        self, address: Hashable, data: bytes, mac2: bytes, *, now: float
    ) -> bool:
        """Whether mac2 was made with a cookie that this address was sent."""
        self._rotate(now)
        return any(
            macs_equal(mac(self._cookie(secret, address), data), mac2)
            for secret in (self._current, self._previous)
        )

    @staticmethod
    def _cookie(secret: bytes, address: Hashable) -> bytes:
        return mac(secret, repr(address).encode())[:COOKIE_SIZE]

    def _rotate(self, now: float) -> None:
        age = now - self._born
        if age < limits.COOKIE_LIFETIME:
            return
        stale = age >= 2 * limits.COOKIE_LIFETIME
        fresh = self._random(_SECRET_SIZE)
        self._previous = fresh if stale else self._current
        self._current = fresh
        self._born = now


class LoadMeter:
    """Says when to ask for cookies."""

    def __init__(self) -> None:
        self._bucket = Bucket(limits.LOAD_RATE, limits.LOAD_BURST)
        self._until = float("-inf")

    def under_load(self, *, assemblies: int, now: float) -> bool:
        """Whether strangers must show a cookie."""
        if assemblies > limits.LOAD_ASSEMBLIES:
            self._until = now + limits.LOAD_HOLD
        return now < self._until

    def count_initiation(self, *, now: float) -> None:
        """Record one initiation that cost asymmetric cryptography."""
        if not self._bucket.take(now=now):
            self._until = now + limits.LOAD_HOLD


def make_mac2(cookie: bytes, data: bytes) -> bytes:
    """Return the mac2 of a fragment, up to and including its mac1."""
    return mac(cookie, data)
