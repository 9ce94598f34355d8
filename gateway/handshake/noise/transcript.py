"""Noise's SymmetricState with a labelled, wider key derivation (Noise, 5.2).

``chaining_key`` gathers every secret, ``transcript`` every public byte; each
ciphertext is bound to all that came before it.
"""

from typing import Final

from gateway.crypto.aead import KEY_SIZE, open_sealed, seal
from gateway.crypto.kdf import HASH_SIZE, derive, hash_parts
from gateway.errors import ProtocolError


class Transcript:
    """The running state of one handshake at one end.

    Mutable; `copy` first where what follows may turn out to be forged.
    """

    __slots__ = ("chaining_key", "counter", "digest", "key")

    def __init__(self, name: bytes) -> None:
        self.digest: bytes = hash_parts(name)
        self.chaining_key: bytes = self.digest
        self.key = b""
        self.counter = 0

    def copy(self) -> "Transcript":
        """Return an independent copy."""
        twin = Transcript.__new__(Transcript)
        twin.digest = self.digest
        twin.chaining_key = self.chaining_key
        twin.key = self.key
        twin.counter = self.counter
        return twin

    def mix_hash(self, data: bytes) -> None:
        """Bind public bytes of a size both ends know."""
        self.digest = hash_parts(self.digest, data)

    def mix_key(self, label: bytes, secret: bytes) -> None:
        """Add a secret; what is encrypted from now on needs it."""
        output = derive(self.chaining_key, secret, label, HASH_SIZE + KEY_SIZE)
        self.chaining_key = output[:HASH_SIZE]
        self.key = output[HASH_SIZE:]
        self.counter = 0

    def encrypt(self, plaintext: bytes) -> bytes:
        """Encrypt, bound to the transcript, and bind the ciphertext."""
        sealed = seal(self.key, self.counter, plaintext, self.digest)
        self.counter += 1
        self.mix_hash(sealed)
        return sealed

    def decrypt(self, sealed: bytes) -> bytes:
        """Undo `encrypt`.

        Raises:
            CryptoError: It was not made with the same secrets and transcript.
        """
        plaintext = open_sealed(self.key, self.counter, sealed, self.digest)
        self.counter += 1
        self.mix_hash(sealed)
        return plaintext


class Cursor:
    """Takes the fields of a message, whose sizes the suite fixes."""

    __slots__ = ("_data", "_position")

    def __init__(self, message: bytes, size: int) -> None:
        if len(message) != size:
            raise ProtocolError("size")
        self._data: Final = message
        self._position = 0

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        start = self._position
        self._position = start + size
        return self._data[start : self._position]
