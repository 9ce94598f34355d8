"""The floor of a handshake: its primitive operations, and nothing else.

Counted from docs/protocol.md, both ends together: each end makes one ephemeral ECDH
key and takes part in three exchanges (es, ee, se; ss is of two static keys and is
computed once a tunnel), the initiator makes one ephemeral KEM key, and each of the
three KEM secrets (s1, s_e, s2) is encapsulated once and decapsulated once. They are
called as their libraries offer them: public keys and ciphertexts are bytes, as they
come from the network. Hashes, key derivation and AEAD are left out: whoever writes a
handshake pays for those, as for the parsing.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, mlkem
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.crypto.kem import SEED_SIZE


@dataclass(frozen=True, slots=True)
class Operation:
    """One primitive.

    Attributes:
        name: What it is.
        count: How often both ends of one handshake do it, together.
        call: Does it once.
    """

    name: str
    count: int
    call: Callable[[], object]


def floor_operations(suite_id: int, provider: str) -> tuple[Operation, ...]:
    """Return the operations of one handshake of a suite, with a KEM provider."""
    curve = _x25519() if suite_id == 1 else _p384()
    kem = _LIBRARIES[provider](suite_id)
    names = ("ECDH key", "ECDH", "KEM key", "encapsulation", "decapsulation")
    counts = (2, 6, 1, 3, 3)
    return tuple(
        Operation(name, count, call)
        for name, count, call in zip(names, counts, curve + kem, strict=True)
    )


def _x25519() -> tuple[Callable[[], object], ...]:
    own = X25519PrivateKey.generate()
    peer = X25519PrivateKey.generate().public_key().public_bytes_raw()
    return (
        lambda: X25519PrivateKey.generate().public_key().public_bytes_raw(),
        lambda: own.exchange(X25519PublicKey.from_public_bytes(peer)),
    )


def _p384() -> tuple[Callable[[], object], ...]:
    curve = ec.SECP384R1()
    own = ec.generate_private_key(curve)

    def make() -> bytes:
        public = ec.generate_private_key(curve).public_key()
        return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    peer = make()
    return (
        make,
        lambda: own.exchange(
            ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(curve, peer)
        ),
    )


def _openssl_kem(suite_id: int) -> tuple[Callable[[], object], ...]:
    private: type[mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey]
    public: type[mlkem.MLKEM768PublicKey | mlkem.MLKEM1024PublicKey]
    if suite_id == 1:
        private, public = mlkem.MLKEM768PrivateKey, mlkem.MLKEM768PublicKey
    else:
        private, public = mlkem.MLKEM1024PrivateKey, mlkem.MLKEM1024PublicKey
    seed = os.urandom(SEED_SIZE)
    own = private.from_seed_bytes(seed)
    encoded = own.public_key().public_bytes_raw()
    _, ciphertext = own.public_key().encapsulate()
    return (
        lambda: private.from_seed_bytes(seed).public_key().public_bytes_raw(),
        lambda: public.from_public_bytes(encoded).encapsulate(),
        lambda: own.decapsulate(ciphertext),
    )


def _liboqs_kem(suite_id: int) -> tuple[Callable[[], object], ...]:
    # Imported only where liboqs is: without it the import builds it, or exits.
    from oqs import oqs  # noqa: PLC0415  # see above

    name = "ML-KEM-768" if suite_id == 1 else "ML-KEM-1024"
    seed = os.urandom(SEED_SIZE)
    fresh: Any = oqs.KeyEncapsulation(name)
    own: Any = oqs.KeyEncapsulation(name)
    encoded = own.generate_keypair_seed(seed)
    ciphertext, _ = own.encap_secret(encoded)
    return (
        lambda: fresh.generate_keypair_seed(seed),
        lambda: own.encap_secret(encoded),
        lambda: own.decap_secret(ciphertext),
    )


_LIBRARIES = {"openssl": _openssl_kem, "liboqs": _liboqs_kem}
