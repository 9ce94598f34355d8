"""The keys of a simulated link, derived from a seed and a counter at both ends.

**Not quantum keys**: who has the seed has them all. Counters, never key bytes, are what
the two KMEs tell each other.

A key_ID is a UUID of version 4 (RFC 9562, 5.4) whose 122 bits look random. They hold
the counter all the same: 74 bits are a tag, HMAC over the counter; 48 bits are the
counter under a mask, HMAC over the tag. So a key_ID needs no index to be found again,
and one that was made up is recognised (all but one in 2^74).
"""

import hmac
import struct
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from gateway.secret import Secret

COUNTER_BITS: Final = 48
"""At a thousand keys a second, 8,900 years."""

LINK_ID_SIZE: Final = 16
"""Bytes by which two KMEs know that they share a seed."""

_TAG_BITS: Final = 74
_LABEL: Final = b"qgw-kme simulated QKD link v1"
_KEY_INFO: Final = b"key"
_SECRET_SIZE: Final = 32

_HIGH_BITS, _MIDDLE_BITS, _LOW_BITS = 48, 12, 62
"""Bits of a UUID before the version, between it and the variant, and after."""

_VERSION: Final = 4
_VARIANT: Final = 0b10


class PoolSequence:
    """The keys of one link, by counter.

    Args:
        seed: What both ends share.
    """

    def __init__(self, seed: Secret) -> None:
        derived = HKDF(SHA256(), 3 * _SECRET_SIZE + LINK_ID_SIZE, None, _LABEL).derive(
            seed.expose()
        )
        self._key_secret = derived[:_SECRET_SIZE]
        self._tag_secret = derived[_SECRET_SIZE : 2 * _SECRET_SIZE]
        self._mask_secret = derived[2 * _SECRET_SIZE : 3 * _SECRET_SIZE]
        self._link_id = derived[3 * _SECRET_SIZE :]

    @property
    def link_id(self) -> str:
        """Hexadecimal; equal at both ends if they share the seed, and says nothing."""
        return self._link_id.hex()

    def key(self, counter: int, size: int) -> Secret:
        """Return the key of a counter.

        Args:
            counter: Its place in the sequence.
            size: Bits, a multiple of 8; keys of different sizes are unrelated.
        """
        info = _KEY_INFO + struct.pack(">QI", counter, size)
        return Secret(HKDFExpand(SHA256(), size // 8, info).derive(self._key_secret))

    def key_id(self, counter: int) -> UUID:
        """Return the key_ID of a counter."""
        tag = self._tag(counter)
        bits = tag << COUNTER_BITS | (counter ^ self._mask(tag))
        low = bits & (1 << _LOW_BITS) - 1
        middle = bits >> _LOW_BITS & (1 << _MIDDLE_BITS) - 1
        high = bits >> _LOW_BITS + _MIDDLE_BITS
        value = high << 4 | _VERSION
        value = value << _MIDDLE_BITS | middle
        value = value << 2 | _VARIANT
        return UUID(int=value << _LOW_BITS | low)

    def counter(self, key_id: UUID) -> int | None:
        """Return the counter of a key_ID, or None if it is not of this link."""
        value = key_id.int
        low = value & (1 << _LOW_BITS) - 1
        middle = value >> _LOW_BITS + 2 & (1 << _MIDDLE_BITS) - 1
        high = value >> 128 - _HIGH_BITS
        bits = (high << _MIDDLE_BITS | middle) << _LOW_BITS | low
        tag = bits >> COUNTER_BITS
        counter = (bits & (1 << COUNTER_BITS) - 1) ^ self._mask(tag)
        expected = self.key_id(counter)
        return counter if hmac.compare_digest(expected.bytes, key_id.bytes) else None

    def _tag(self, counter: int) -> int:
        digest = hmac.digest(self._tag_secret, struct.pack(">Q", counter), "sha256")
        return int.from_bytes(digest) >> 256 - _TAG_BITS

    def _mask(self, tag: int) -> int:
        digest = hmac.digest(self._mask_secret, tag.to_bytes(10), "sha256")
        return int.from_bytes(digest) >> 256 - COUNTER_BITS
