"""The floor of a handshake: its primitive operations, and nothing else.

Counted from docs/protocol.md, both ends together, for a handshake that mixes a chain
secret and a QKD key. Asymmetric: each end makes one ephemeral ECDH key and takes part
in three exchanges (es, ee, se; ss is of two static keys and is computed once a
tunnel), the initiator makes one ephemeral KEM key, and each of the three KEM secrets
(s1, s_e, s2) is encapsulated once and decapsulated once. Symmetric, at each end: nine
keys mixed and one exporter derived, nine outputs expanded, six AEAD calls, thirteen
hashes of the transcript; a mac1 for each of five fragments, made and verified; and
the responder's digest of M1.

They are called as their libraries offer them, not through ours: public keys and
ciphertexts are bytes, as they come from the network.
"""

import hashlib
import hmac
import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mlkem
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.crypto.kem import SEED_SIZE

FRAGMENT = 1000
"""Bytes of a fragment, on average, that mac1 covers."""

HASHED = 600
"""Bytes that enter the transcript at a time, on average over its 27 hashes."""

PAYLOAD = 60
"""Bytes of plaintext in an AEAD call, on average; M3 and M4 have none."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One primitive.

    Attributes:
        name: What it is.
        count: How often both ends of one handshake do it, together.
        call: Does it once.
        asymmetric: Whether it is one of the dear ones.
    """

    name: str
    count: int
    call: Callable[[], object]
    asymmetric: bool = True


def floor_operations(suite_id: int, provider: str) -> tuple[Operation, ...]:
    """Return the operations of one handshake of a suite, with a KEM provider."""
    curve = _x25519() if suite_id == 1 else _p384()
    kem = _LIBRARIES[provider](suite_id)
    names = ("ECDH key", "ECDH", "KEM key", "encapsulation", "decapsulation")
    counts = (2, 6, 1, 3, 3)
    asymmetric = tuple(
        Operation(name, count, call)
        for name, count, call in zip(names, counts, curve + kem, strict=True)
    )
    return asymmetric + _symmetric()


def _symmetric() -> tuple[Operation, ...]:
    sha384, key, secret = hashes.SHA384(), os.urandom(48), os.urandom(32)
    info, nonce = b"qgw-1 mix label", bytes(12)
    fragment, hashed = os.urandom(FRAGMENT), os.urandom(HASHED)
    sealed = AESGCM(secret).encrypt(nonce, fragment[:PAYLOAD], key)
    calls: tuple[tuple[str, int, Callable[[], object]], ...] = (
        ("HKDF", 20, lambda: HKDF(sha384, 80, key, info).derive(secret)),
        ("HKDF-Expand", 18, lambda: HKDFExpand(sha384, 32, info).derive(key)),
        ("AEAD", 12, lambda: AESGCM(secret).decrypt(nonce, sealed, key)),
        ("SHA-384", 27, lambda: hashlib.sha384(hashed).digest()),
        ("HMAC", 10, lambda: hmac.digest(key, fragment, "sha384")),
    )
    return tuple(
        Operation(name, count, call, asymmetric=False) for name, count, call in calls
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
    oqs: Any = importlib.import_module("oqs.oqs")
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
