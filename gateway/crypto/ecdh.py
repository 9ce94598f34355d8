"""Elliptic-curve Diffie-Hellman: X25519 (RFC 7748) and P-384 (SP 800-186)."""

from typing import Final, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)

from gateway.errors import CryptoError


class ECDHPrivateKey(Protocol):
    """A private key of one curve."""

    @property
    def public(self) -> bytes:
        """The public key, `ECDH.public_size` bytes."""

    def exchange(self, public: bytes) -> bytes:
        """Return the shared secret with a peer's public key.

        Raises:
            CryptoError: Wrong size, not on the curve, or a low-order point.
        """


class ECDH(Protocol):
    """One curve."""

    @property
    def name(self) -> str:
        """As the standards spell it."""

    @property
    def public_size(self) -> int:
        """Bytes of a public key."""

    @property
    def seed_size(self) -> int:
        """Bytes that `load_private` takes."""

    def load_private(self, seed: bytes) -> ECDHPrivateKey:
        """Make a private key of `seed_size` uniformly random bytes.

        Raises:
            CryptoError: The seed has the wrong size.
        """


class _X25519Key:
    __slots__ = ("_key", "public")

    def __init__(self, seed: bytes) -> None:
        self._key = X25519PrivateKey.from_private_bytes(seed)
        self.public = self._key.public_key().public_bytes_raw()

    def exchange(self, public: bytes) -> bytes:
        try:
            return self._key.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError as error:
            # Wrong size, or the all-zero result of a low-order point (RFC 7748, 6.1).
            raise CryptoError("X25519 public key is invalid") from error


class X25519:
    """Curve25519 (RFC 7748)."""

    name: Final = "X25519"
    public_size: Final = 32
    seed_size: Final = 32

    def load_private(self, seed: bytes) -> ECDHPrivateKey:
        """See `ECDH.load_private`."""
        if len(seed) != self.seed_size:
            raise CryptoError("X25519 seed of wrong size")
        return _X25519Key(seed)


class _P384Key:
    __slots__ = ("_key", "public")

    def __init__(self, scalar: int) -> None:
        # It reads every format of keys there is, which takes longer than X25519.
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
            Encoding,
            PublicFormat,
        )

        self._key = ec.derive_private_key(scalar, ec.SECP384R1())
        self.public = self._key.public_key().public_bytes(
            Encoding.X962, PublicFormat.UncompressedPoint
        )

    def exchange(self, public: bytes) -> bytes:
        if len(public) != P384.public_size:
            raise CryptoError("P-384 public key of wrong size")
        try:
            peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), public)
            return self._key.exchange(ec.ECDH(), peer)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise CryptoError("P-384 public key is invalid") from error


class P384:
    """NIST P-384, uncompressed points (SEC 1, 2.3.3)."""

    name: Final = "P-384"
    public_size: Final = 97
    seed_size: Final = 56
    """Bytes: 64 bits more than the order, so that the reduction is unbiased
    (FIPS 186-5, A.2.1)."""

    _ORDER: Final = int(
        "ffffffffffffffffffffffffffffffffffffffffffffffff"
        "c7634d81f4372ddf581a0db248b0a77aecec196accc52973",
        16,
    )

    def load_private(self, seed: bytes) -> ECDHPrivateKey:
        """See `ECDH.load_private`."""
        if len(seed) != self.seed_size:
            raise CryptoError("P-384 seed of wrong size")
        return _P384Key(int.from_bytes(seed) % (self._ORDER - 1) + 1)
