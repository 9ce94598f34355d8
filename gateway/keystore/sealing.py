"""Key bytes at rest: AES-256-GCM under keys derived from the master key.

Nonces are random, 96 bits. Deriving them from the key_ID would save 12 bytes a key
and be wrong: an old backup of the store, brought back and filled again, may seal
other bytes under a key_ID seen before, and GCM does not survive a repeated nonce.
NIST SP 800-38D 8.3 allows 2^32 random nonces under one key; at a key a second that
is 136 years, and each store has sealing keys of its own.
"""

import hmac
import os
import struct
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.errors import KeyStoreError
from gateway.secret import Secret

MASTER_KEY_SIZE = 32
"""Bytes of the master key: as strong as what it protects."""

NONCE_SIZE = 12
"""Bytes of a GCM nonce, the only size NIST SP 800-38D handles without hashing."""

STORE_ID_SIZE = 16
"""Bytes of a store's random name, so that no two stores share a sealing key."""

_LABEL = b"qgw key store v1 "
_UNUSED = b"unused"


class KeySealer:
    """Seals and opens key bytes for one store.

    A sealed key is bound to its link, key_ID, expiry and to the state *unused*, the
    only state in which a row has bytes. So a sealed key moved to another row, link or
    store, or given a longer life, does not open; and since no ciphertext was ever
    made for another state, none can be passed off as the key of a consumed row.
    """

    def __init__(self, master_key: Secret, store_id: bytes) -> None:
        if len(master_key) != MASTER_KEY_SIZE:
            raise KeyStoreError(
                f"the master key has {len(master_key)} bytes, not {MASTER_KEY_SIZE}",
                "make a new one with: qgw keystore new-master-key FILE",
            )
        self._store_id = store_id
        self._aead = AESGCM(self._derive(master_key, b"seal"))
        self._fingerprint_key = self._derive(master_key, b"fingerprint")
        self._check = self._derive(master_key, b"check")

    def _derive(self, master_key: Secret, purpose: bytes) -> bytes:
        info = _LABEL + purpose + b" " + self._store_id
        return HKDF(SHA256(), 32, salt=None, info=info).derive(master_key.expose())

    @property
    def check_value(self) -> bytes:
        """32 bytes that tell whether a later master key is this one."""
        return self._check

    def verify_master_key(self, check_value: bytes) -> None:
        """Raise `KeyStoreError` unless the store was made with this master key."""
        if not hmac.compare_digest(self._check, check_value):
            raise KeyStoreError(
                "the master key is not the one this key store was made with",
                "give the right master key, or move the store away to begin a new one",
            )

    def seal(self, link: str, key_id: UUID, expires: int, key: Secret) -> bytes:
        """Return nonce, ciphertext and tag: 28 bytes more than the key."""
        nonce = os.urandom(NONCE_SIZE)
        bound = self._bind(link, key_id, expires)
        return nonce + self._aead.encrypt(nonce, key.expose(), bound)

    def open(self, link: str, key_id: UUID, expires: int, sealed: bytes) -> Secret:
        """Return the key.

        Raises:
            KeyStoreError: The row was changed, or belongs elsewhere.
        """
        try:
            key = self._aead.decrypt(
                sealed[:NONCE_SIZE],
                sealed[NONCE_SIZE:],
                self._bind(link, key_id, expires),
            )
        except (InvalidTag, ValueError):
            raise KeyStoreError(
                f"key {key_id} of link {link} is damaged in the store",
                "the disk or someone changed it; it will not be used",
            ) from None
        return Secret(key)

    def fingerprint(self, key: Secret) -> int:
        """64 keyed bits that recognise the same bytes under another key_ID.

        It outlives the key. Without the master key it says nothing; with it, one
        could only test a guess of all 256 bits. Two different keys share one with
        probability 2^-64; the later would then be refused, which costs one key.
        """
        digest = hmac.digest(self._fingerprint_key, key.expose(), "sha256")
        return int.from_bytes(digest[:8], "big", signed=True)

    @staticmethod
    def _bind(link: str, key_id: UUID, expires: int) -> bytes:
        name = link.encode()
        return struct.pack(
            f">6s16sQH{len(name)}s", _UNUSED, key_id.bytes, expires, len(name), name
        )
