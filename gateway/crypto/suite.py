"""Cipher suites, and where their KEM comes from.

Suites are pinned per tunnel and hashed into every transcript: there is no
negotiation that could be downgraded.

The primitives are imported when a suite is loaded: to know its number, `qgw` needs
neither OpenSSL nor a look for liboqs.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.crypto.kem import KEM, ML_KEM_768, ML_KEM_1024, KEMParameters
from gateway.errors import CryptoError

if TYPE_CHECKING:
    from gateway.crypto.ecdh import ECDH
    from gateway.crypto.liboqs_library import Library

PROVIDERS: Final = ("liboqs", "openssl")


@dataclass(frozen=True, slots=True)
class Suite:
    """One fixed combination of primitives.

    Attributes:
        id: Number on the wire and in identity files.
        ecdh: The curve.
        kem: The KEM, from the provider chosen.
    """

    id: int
    ecdh: "ECDH"
    kem: KEM

    @property
    def name(self) -> bytes:
        """ASCII name that opens every transcript, the same for every provider."""
        parts = (self.ecdh.name, self.kem.parameters.name, "AES-256-GCM", "SHA-384")
        return f"qgw-1 IKpq suite {self.id} {' '.join(parts)}".encode()


DEFAULT_SUITE_ID: Final = 1
SUITE_IDS: Final = (1, 2)
"""1: the default. 2: the strengths of CNSA 2.0 (ML-KEM-1024, AES-256, SHA-384)."""


def choose_provider(wanted: str = "auto") -> str:
    """Return the name of the KEM provider to use: ``liboqs`` or ``openssl``.

    ``auto`` takes liboqs where one is installed that fits: it is the faster.

    Raises:
        CryptoError: The one wanted is unknown, or is liboqs and cannot be used.
    """
    if wanted == "auto":
        library = _find_library()
        return "openssl" if library is None or library.objection else "liboqs"
    if wanted not in PROVIDERS:
        raise CryptoError(f"no such KEM provider: {wanted}")
    if wanted == "liboqs":
        from gateway.crypto.kem_liboqs import require_library  # noqa: PLC0415

        require_library()
    return wanted


def passed_over() -> str:
    """Return why ``auto`` takes OpenSSL though a liboqs is installed, or nothing."""
    library = _find_library()
    return library.objection if library is not None else ""


def load_suite(suite_id: int, provider: str = "openssl") -> Suite:
    """Return a suite by its number.

    Raises:
        CryptoError: No such suite, or the provider cannot serve its KEM.
    """
    from gateway.crypto.ecdh import P384, X25519  # noqa: PLC0415

    provider = choose_provider(provider)
    if suite_id == 1:
        return Suite(1, X25519(), _load_kem(ML_KEM_768, provider))
    if suite_id == 2:  # noqa: PLR2004  # the suite's number, as on the wire
        return Suite(2, P384(), _load_kem(ML_KEM_1024, provider))
    raise CryptoError(f"no such suite: {suite_id}")


def _load_kem(parameters: KEMParameters, provider: str) -> KEM:
    if provider == "openssl":
        from gateway.crypto.kem_openssl import OpenSSLKEM  # noqa: PLC0415

        return OpenSSLKEM(parameters)
    from gateway.crypto.kem_liboqs import LiboqsKEM  # noqa: PLC0415

    return LiboqsKEM(parameters)


def _find_library() -> "Library | None":
    from gateway.crypto.liboqs_library import find_library  # noqa: PLC0415

    return find_library()
