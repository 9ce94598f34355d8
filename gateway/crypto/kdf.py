"""Hash and key derivation: SHA-384, HMAC and HKDF (RFC 5869), all from OpenSSL."""

import hashlib
import hmac

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

HASH_SIZE = 48
"""Bytes of SHA-384."""

MAC_SIZE = 16
"""Bytes of every truncated MAC on the wire: 128 bits, as in WireGuard."""

_SHA384 = hashes.SHA384()


def hash_parts(*parts: bytes) -> bytes:
    """Return SHA-384 over the parts, one after another (48 bytes).

    The caller sees to it that all parts but one have fixed sizes.
    """
    state = hashlib.sha384()
    for part in parts:
        state.update(part)
    return state.digest()


def derive(salt: bytes, secret: bytes, info: bytes, size: int) -> bytes:
    """Return `size` bytes of HKDF-SHA-384 (RFC 5869, extract then expand)."""
    return HKDF(_SHA384, size, salt, info).derive(secret)


def expand(secret: bytes, info: bytes, size: int) -> bytes:
    """Return `size` bytes of HKDF-Expand-SHA-384 from a 48-byte uniform secret."""
    return HKDFExpand(_SHA384, size, info).derive(secret)


def mac(key: bytes, data: bytes) -> bytes:
    """Return HMAC-SHA-384 of the data, truncated to `MAC_SIZE` (RFC 2104, 5)."""
    return hmac.digest(key, data, "sha384")[:MAC_SIZE]


def macs_equal(left: bytes, right: bytes) -> bool:
    """Compare two MACs in constant time."""
    return hmac.compare_digest(left, right)
