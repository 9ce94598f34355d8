"""Key encapsulation as the handshake sees it, whoever computes it.

FIPS 203 fixes every size. A private key is always kept as its 64-byte seed
(d || z, FIPS 203 section 7.1), which both providers expand to the same key, so
an identity made with one provider works with the other.
"""

from dataclasses import dataclass
from typing import Protocol

SEED_SIZE = 64
"""Bytes of d || z, the seed of an ML-KEM private key (FIPS 203, 7.1)."""

SHARED_SECRET_SIZE = 32
"""Bytes of every ML-KEM shared secret (FIPS 203, table 3)."""


@dataclass(frozen=True, slots=True)
class KEMParameters:
    """Sizes of one parameter set.

    Attributes:
        name: As FIPS 203 spells it.
        public_size: Bytes of an encapsulation key.
        ciphertext_size: Bytes of a ciphertext.
    """

    name: str
    public_size: int
    ciphertext_size: int


ML_KEM_768 = KEMParameters("ML-KEM-768", 1184, 1088)
ML_KEM_1024 = KEMParameters("ML-KEM-1024", 1568, 1568)


class KEMPrivateKey(Protocol):
    """A decapsulation key."""

    @property
    def public(self) -> bytes:
        """The encapsulation key, `KEMParameters.public_size` bytes."""

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """Return the 32-byte shared secret.

        A well-sized but wrong ciphertext yields a pseudo-random secret (implicit
        rejection, FIPS 203 6.3), so that failure looks like a failed AEAD later.

        Raises:
            CryptoError: The ciphertext has the wrong size.
        """


class KEM(Protocol):
    """One parameter set from one provider."""

    @property
    def parameters(self) -> KEMParameters:
        """Name and sizes."""

    @property
    def provider(self) -> str:
        """``liboqs`` or ``openssl``."""

    def load_private(self, seed: bytes) -> KEMPrivateKey:
        """Expand a 64-byte seed.

        Raises:
            CryptoError: The seed has the wrong size.
        """

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        """Return (ciphertext, 32-byte shared secret) for an encapsulation key.

        Raises:
            CryptoError: The key has the wrong size or fails the modulus check of
                FIPS 203 section 7.2.
        """
