"""ML-KEM from liboqs, through its own Python binding.

The binding's import downloads, compiles and installs liboqs when it finds no
shared library, and exits the process when that fails. So nothing here imports it
before `find_library` has found the very file that the binding will find.
"""

import ctypes
import ctypes.util
import importlib
import logging
import os
from pathlib import Path
from types import ModuleType
from typing import Final

from gateway.crypto.kem import SEED_SIZE, KEMParameters, KEMPrivateKey
from gateway.errors import CryptoError

_BINDING: Final = "oqs.oqs"
_LIBRARY: Final = "liboqs.so"


def find_library() -> str | None:
    """Return where the binding will find liboqs, or None when it would not.

    Looks where the binding looks: ``$OQS_INSTALL_PATH`` (else ``~/_oqs``), then the
    dynamic linker's own directories.
    """
    root = os.environ.get("OQS_INSTALL_PATH")
    base = Path(root) if root else Path.home() / "_oqs"
    for folder in ("lib", "lib64"):
        candidate = base / folder / _LIBRARY
        if candidate.is_file() and _loads(str(candidate)):
            return str(candidate)
    found = ctypes.util.find_library("oqs")
    return found if found and _loads(found) else None


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _import_binding() -> ModuleType:
    """Import the binding, keeping its greeting off our standard output."""
    logger = logging.getLogger(_BINDING)
    logger.disabled = True
    try:
        module = importlib.import_module(_BINDING)
    finally:
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
        logger.disabled = False
    return module


class _PrivateKey:
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
        CryptoError: liboqs is not installed, or was built without this KEM.
    """

    provider: Final = "liboqs"

    def __init__(self, parameters: KEMParameters) -> None:
        if find_library() is None:
            raise CryptoError(
                "the liboqs shared library was not found",
                "install liboqs 0.16 or set OQS_INSTALL_PATH, "
                'or choose kem_provider = "openssl"',
            )
        self.parameters: Final = parameters
        self._binding = _import_binding()
        if not self._binding.is_kem_enabled(parameters.name):
            raise CryptoError(f"this liboqs was built without {parameters.name}")
        self._encapsulator = self._binding.KeyEncapsulation(parameters.name)

    def load_private(self, seed: bytes) -> KEMPrivateKey:
        """See `KEM.load_private`."""
        if len(seed) != SEED_SIZE:
            raise CryptoError("KEM seed of wrong size")
        return _PrivateKey(self._binding, self.parameters, seed)

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        """See `KEM.encapsulate`."""
        if len(public) != self.parameters.public_size:
            raise CryptoError("KEM public key of wrong size")
        try:
            ciphertext, secret = self._encapsulator.encap_secret(public)
        except RuntimeError as error:
            raise CryptoError("KEM public key is invalid") from error
        return ciphertext, secret
