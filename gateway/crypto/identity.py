"""A gateway's long-term identity: one ECDH and one ML-KEM key.

The fingerprint is SHA-384 over a label, the suite and both public keys, cut to
200 bits: as 40 base32 characters in eight groups it can be read over a phone,
and finding a second identity with the same one takes 2^200 guesses (2^100 on a
quantum computer). Handshakes hash in the whole public keys, so the cut weakens
only the reading aloud.

Identity files are ASCII armour around a fixed binary layout (docs/identity.md).
"""

import base64
import binascii
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gateway.crypto.kdf import hash_parts
from gateway.crypto.kem import SEED_SIZE, KEMPrivateKey
from gateway.crypto.suite import SUITE_IDS, Suite, load_suite
from gateway.errors import CryptoError, IdentityError
from gateway.secret import Secret

if TYPE_CHECKING:
    from gateway.crypto.ecdh import ECDHPrivateKey

FINGERPRINT_SIZE: Final = 25
"""Bytes: 200 bits, 40 base32 characters without padding."""

MAX_TEXT_SIZE: Final = 16_384
"""Characters; the largest identity file is 2.5 KiB, anything longer is a mistake."""

_FINGERPRINT_LABEL: Final = b"qgw-1 fingerprint"
_PUBLIC: Final = "QGW PUBLIC IDENTITY"
_PRIVATE: Final = "QGW PRIVATE IDENTITY"
_CHECKSUM_SIZE: Final = 8
_COMMENT_SIZE: Final = 200
_LINE: Final = 64


@dataclass(frozen=True, slots=True)
class PublicIdentity:
    """What a peer knows of a gateway.

    Attributes:
        suite_id: The suite whose keys these are.
        ecdh: ECDH public key: 32 bytes (suite 1) or 97 (suite 2).
        kem: ML-KEM encapsulation key: 1,184 or 1,568 bytes.
        fingerprint: 25 bytes.
    """

    suite_id: int
    ecdh: bytes
    kem: bytes
    fingerprint: bytes = field(init=False)

    def __post_init__(self) -> None:
        digest = hash_parts(
            _FINGERPRINT_LABEL, bytes([self.suite_id]), self.ecdh, self.kem
        )
        object.__setattr__(self, "fingerprint", digest[:FINGERPRINT_SIZE])


class PrivateIdentity:
    """A gateway's own keys, expanded and ready."""

    __slots__ = ("_ecdh_seed", "_kem_seed", "ecdh", "kem", "public", "suite")

    def __init__(self, suite: Suite, ecdh_seed: Secret, kem_seed: Secret) -> None:
        self.suite: Final = suite
        self._ecdh_seed = ecdh_seed
        self._kem_seed = kem_seed
        self.ecdh: Final[ECDHPrivateKey] = suite.ecdh.load_private(ecdh_seed.expose())
        self.kem: Final[KEMPrivateKey] = suite.kem.load_private(kem_seed.expose())
        self.public: Final = PublicIdentity(suite.id, self.ecdh.public, self.kem.public)

    def seeds(self) -> bytes:
        """Return both seeds, ECDH first, for the private file alone."""
        return self._ecdh_seed.expose() + self._kem_seed.expose()

    def __repr__(self) -> str:
        return f"<PrivateIdentity {format_fingerprint(self.public.fingerprint)}>"


def generate_identity(suite_id: int, provider: str = "openssl") -> PrivateIdentity:
    """Make a new identity from the system's randomness.

    Raises:
        CryptoError: No such suite.
    """
    suite = load_suite(suite_id, provider)
    return PrivateIdentity(
        suite,
        Secret(os.urandom(suite.ecdh.seed_size)),
        Secret(os.urandom(SEED_SIZE)),
    )


def format_fingerprint(fingerprint: bytes) -> str:
    """Return 25 bytes as eight groups of five lower-case base32 characters."""
    text = base64.b32encode(fingerprint).decode().lower()
    return "-".join(text[i : i + 5] for i in range(0, len(text), 5))


def parse_fingerprint(text: str) -> bytes:
    """Return the 25 bytes of a fingerprint as `format_fingerprint` writes it.

    Raises:
        IdentityError: It is not a fingerprint.
    """
    try:
        raw = base64.b32decode(text.strip().replace("-", "").upper())
    except (ValueError, binascii.Error) as error:
        raise IdentityError("not a fingerprint") from error
    if len(raw) != FINGERPRINT_SIZE:
        raise IdentityError("not a fingerprint: wrong length")
    return raw


def encode_public(identity: PublicIdentity, comment: str = "") -> str:
    """Return the text of a public identity file."""
    raw = bytes([identity.suite_id]) + identity.ecdh + identity.kem
    headers = {"Fingerprint": format_fingerprint(identity.fingerprint)}
    if comment:
        headers["Comment"] = " ".join(comment.split())[:_COMMENT_SIZE]
    return _armour(_PUBLIC, headers, raw)


def encode_private(identity: PrivateIdentity) -> str:
    """Return the text of a private identity file. It is a secret."""
    headers = {"Fingerprint": format_fingerprint(identity.public.fingerprint)}
    return _armour(_PRIVATE, headers, bytes([identity.suite.id]) + identity.seeds())


def parse_public(text: str) -> PublicIdentity:
    """Read a public identity file's text.

    Raises:
        IdentityError: Truncated, damaged, or not a public identity.
    """
    headers, raw = _dearmour(_PUBLIC, text)
    suite = _suite_of(raw, "openssl")
    split = 1 + suite.ecdh.public_size
    if len(raw) != split + suite.kem.parameters.public_size:
        raise IdentityError("public identity of wrong length", _ASK_AGAIN)
    try:
        # A key that no handshake could use is refused here, where a person reads it.
        suite.kem.encapsulate(raw[split:])
        suite.ecdh.load_private(os.urandom(suite.ecdh.seed_size)).exchange(raw[1:split])
    except CryptoError as error:
        raise IdentityError(
            f"public identity is unusable: {error.message}", _ASK_AGAIN
        ) from error
    identity = PublicIdentity(suite.id, raw[1:split], raw[split:])
    _check_fingerprint(headers, identity)
    return identity


def parse_private(text: str, provider: str = "openssl") -> PrivateIdentity:
    """Read a private identity file's text.

    Raises:
        IdentityError: Truncated, damaged, or not a private identity.
        CryptoError: The KEM provider cannot serve its suite.
    """
    headers, raw = _dearmour(_PRIVATE, text)
    suite = _suite_of(raw, provider)
    split = 1 + suite.ecdh.seed_size
    if len(raw) != split + SEED_SIZE:
        raise IdentityError("private identity of wrong length", _RESTORE)
    identity = PrivateIdentity(suite, Secret(raw[1:split]), Secret(raw[split:]))
    _check_fingerprint(headers, identity.public)
    return identity


_ASK_AGAIN: Final = "ask the peer for its public identity file again"
_RESTORE: Final = "restore the file from a backup, or make a new identity"


def _suite_of(raw: bytes, provider: str) -> Suite:
    if not raw or raw[0] not in SUITE_IDS:
        raise IdentityError("identity of an unknown suite", "update this gateway")
    return load_suite(raw[0], provider)


def _check_fingerprint(headers: dict[str, str], identity: PublicIdentity) -> None:
    if headers.get("Fingerprint") != format_fingerprint(identity.fingerprint):
        raise IdentityError(
            "the fingerprint in the file is not that of its keys",
            "do not use this file: ask whoever made it for another one",
        )


def _armour(kind: str, headers: dict[str, str], raw: bytes) -> str:
    body = raw + hash_parts(kind.encode(), raw)[:_CHECKSUM_SIZE]
    text = base64.b64encode(body).decode()
    lines = [f"-----BEGIN {kind}-----"]
    lines += [f"{key}: {value}" for key, value in headers.items()]
    lines.append("")
    lines += [text[i : i + _LINE] for i in range(0, len(text), _LINE)]
    lines.append(f"-----END {kind}-----")
    return "\n".join(lines) + "\n"


def _dearmour(kind: str, text: str) -> tuple[dict[str, str], bytes]:
    hint = _ASK_AGAIN if kind == _PUBLIC else _RESTORE
    if len(text) > MAX_TEXT_SIZE:
        raise IdentityError("identity file is too large to be one", hint)
    lines = [line.rstrip() for line in text.strip().splitlines()]
    other = _PRIVATE if kind == _PUBLIC else _PUBLIC
    if lines and lines[0] == f"-----BEGIN {other}-----":
        raise IdentityError(
            f"this is a {other.lower()}, not a {kind.lower()}",
            "name the other one of the two files that qgw identity new has made",
        )
    if not lines or lines[0] != f"-----BEGIN {kind}-----":
        raise IdentityError(f"not a {kind.lower()} file", hint)
    if lines[-1] != f"-----END {kind}-----" or "" not in lines:
        raise IdentityError("identity file is truncated", hint)
    blank = lines.index("")
    headers = dict(line.split(": ", 1) for line in lines[1:blank] if ": " in line)
    try:
        body = base64.b64decode("".join(lines[blank:-1]), validate=True)
    except (ValueError, binascii.Error) as error:
        # from None: the exception of b64decode must not carry private text.
        raise IdentityError("identity file is damaged: not base64", hint) from (
            error if kind == _PUBLIC else None
        )
    raw, checksum = body[:-_CHECKSUM_SIZE], body[-_CHECKSUM_SIZE:]
    if hash_parts(kind.encode(), raw)[:_CHECKSUM_SIZE] != checksum:
        raise IdentityError("identity file is damaged: checksum differs", hint)
    return headers, raw
