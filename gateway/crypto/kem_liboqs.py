"""ML-KEM from liboqs, through its own Python binding.

Nothing here imports it before `require_library` has found the very file that the
binding will find, in the version that it is made for.
"""

import importlib
import logging
from types import ModuleType
from typing import Final

from gateway.crypto.kem import SEED_SIZE, KEMParameters, KEMPrivateKey
from gateway.crypto.liboqs_library import find_library
from gateway.errors import CryptoError

_BINDING: Final = "oqs.oqs"

_HINT: Final = (
    'install it (README.md, "liboqs"), or choose kem_provider = "openssl" or "auto"'
)


def require_library() -> None:
    """Insist that the binding finds a liboqs which it can use.

    Raises:
        CryptoError: There is none, or it does not fit.
    """
    library = find_library()
    if library is None:
        raise CryptoError("the liboqs shared library was not found", _HINT)
    if library.objection:
        raise CryptoError(f"liboqs cannot be used: {library.objection}", _HINT)


def _import_binding() -> ModuleType:
    """Import the binding, keeping its greeting off our standard output."""
    logger = logging.getLogger(_BINDING)
    logger.disabled = True
    try:
        module = importlib.import_module(_BINDING)
    except (AttributeError, OSError, RuntimeError) as error:
        raise CryptoError("liboqs cannot be used: its binding fails", _HINT) from error
    finally:
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
        logger.disabled = False
    return module


class _LiboqsPrivateKey:
    """A decapsulation key that liboqs holds; cleansed when it goes."""

    __slots__ = ("_key", "_size", "public")

    def __init__(
        self, binding: ModuleType, parameters: KEMParameters, seed: bytes
    ) -> None:
        self._key = binding.KeyEncapsulation(parameters.name)
        self._size = parameters.ciphertext_size
        self.public: bytes = self._key.generate_keypair_seed(seed)

    def decapsulate(self, ciphertext: bytes) -> bytes:
        if len(ciphertext) != self._size:
            raise CryptoError("KEM ciphertext of wrong size")
        try:
            secret: bytes = self._key.decap_secret(ciphertext)
        except RuntimeError as error:
            raise CryptoError("KEM decapsulation failed") from error
        return secret

    def __del__(self) -> None:
        self._key.free()


class LiboqsKEM:
    """One ML-KEM parameter set.

    Raises:
        CryptoError: liboqs is not installed, does not fit, or lacks this KEM.
    """

    provider: Final = "liboqs"

    def __init__(self, parameters: KEMParameters) -> None:
        require_library()
        self.parameters: Final = parameters
        self._binding = _import_binding()
        if not self._binding.is_kem_enabled(parameters.name):
            raise CryptoError(f"this liboqs was built without {parameters.name}")
        self._encapsulator = self._binding.KeyEncapsulation(parameters.name)

    def load_private(self, seed: bytes) -> KEMPrivateKey:
        """See `KEM.load_private`."""
        if len(seed) != SEED_SIZE:
            raise CryptoError("KEM seed of wrong size")
        return _LiboqsPrivateKey(self._binding, self.parameters, seed)

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        """See `KEM.encapsulate`."""
        if len(public) != self.parameters.public_size:
            raise CryptoError("KEM public key of wrong size")
        try:
            ciphertext, secret = self._encapsulator.encap_secret(public)
        except RuntimeError as error:
            raise CryptoError("KEM public key is invalid") from error
        return ciphertext, secret
