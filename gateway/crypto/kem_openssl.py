"""ML-KEM from OpenSSL, through the `cryptography` package."""

from typing import Final

from cryptography.hazmat.primitives.asymmetric import mlkem

from gateway.crypto.kem import (
    ML_KEM_768,
    ML_KEM_1024,
    SEED_SIZE,
    KEMParameters,
    KEMPrivateKey,
)
from gateway.errors import CryptoError


class _OpenSslPrivateKey:
    """A decapsulation key that OpenSSL holds."""

    __slots__ = ("_key", "_parameters", "public")

    def __init__(
        self,
        key: mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey,
        parameters: KEMParameters,
    ) -> None:
        self._key = key
        self._parameters = parameters
        self.public = key.public_key().public_bytes_raw()

    def decapsulate(self, ciphertext: bytes) -> bytes:
        if len(ciphertext) != self._parameters.ciphertext_size:
            raise CryptoError("KEM ciphertext of wrong size")
        return self._key.decapsulate(ciphertext)


class OpenSSLKEM:
    """One ML-KEM parameter set."""

    provider: Final = "openssl"

    def __init__(self, parameters: KEMParameters) -> None:
        self.parameters: Final = parameters
        self._private: type[mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey]
        self._public: type[mlkem.MLKEM768PublicKey | mlkem.MLKEM1024PublicKey]
        if parameters is ML_KEM_768:
            self._private = mlkem.MLKEM768PrivateKey
            self._public = mlkem.MLKEM768PublicKey
        elif parameters is ML_KEM_1024:
            self._private = mlkem.MLKEM1024PrivateKey
            self._public = mlkem.MLKEM1024PublicKey
        else:
            raise CryptoError(f"no such KEM: {parameters.name}")

    def load_private(self, seed: bytes) -> KEMPrivateKey:
        """See `KEM.load_private`."""
        if len(seed) != SEED_SIZE:
            raise CryptoError("KEM seed of wrong size")
        return _OpenSslPrivateKey(self._private.from_seed_bytes(seed), self.parameters)

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        """See `KEM.encapsulate`."""
        if len(public) != self.parameters.public_size:
            raise CryptoError("KEM public key of wrong size")
        try:
            secret, ciphertext = self._public.from_public_bytes(public).encapsulate()
        except ValueError as error:
            raise CryptoError("KEM public key is invalid") from error
        return ciphertext, secret
