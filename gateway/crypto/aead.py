"""AES-256-GCM (SP 800-38D) with counter nonces."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import CryptoError

KEY_SIZE = 32
"""Bytes of an AES-256 key."""

TAG_SIZE = 16
"""Bytes of the authentication tag; never shortened (SP 800-38D, 5.2.1.2)."""

_NONCE_PREFIX = bytes(4)


def seal(key: bytes, counter: int, data: bytes, associated: bytes) -> bytes:
    """Encrypt under a nonce of 4 zero bytes and the 8-byte big-endian counter.

    The caller never uses a counter twice under one key.
    """
    nonce = _NONCE_PREFIX + counter.to_bytes(8)
    return AESGCM(key).encrypt(nonce, data, associated)


def open_sealed(key: bytes, counter: int, data: bytes, associated: bytes) -> bytes:
    """Decrypt what `seal` made.

    Raises:
        CryptoError: The tag does not verify, or there is none.
    """
    nonce = _NONCE_PREFIX + counter.to_bytes(8)
    try:
        return AESGCM(key).decrypt(nonce, data, associated)
    except (InvalidTag, ValueError) as error:
        raise CryptoError("AEAD verification failed") from error
