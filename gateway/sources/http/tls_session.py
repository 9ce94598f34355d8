"""One TLS session with a KME: whom its certificate names, and the key exchange's group.

Both are looked at where the handshake is made, before a request goes out. Python cannot
name the group before 3.15, so it is read from the handshake itself, where the server
says it in clear (RFC 8446, 4.2.8; RFC 8422, 5.4).
"""

import ssl
from collections.abc import Mapping
from typing import Any, Final

GROUPS: Final[Mapping[int, str]] = {
    0x0017: "secp256r1",
    0x0018: "secp384r1",
    0x0019: "secp521r1",
    0x001D: "x25519",
    0x001E: "x448",
    0x0100: "ffdhe2048",
    0x0101: "ffdhe3072",
    0x0200: "MLKEM512",
    0x0201: "MLKEM768",
    0x0202: "MLKEM1024",
    0x11EB: "SecP256r1MLKEM768",
    0x11EC: "X25519MLKEM768",
    0x11ED: "SecP384r1MLKEM1024",
}
"""IANA's TLS Supported Groups, those that OpenSSL agrees on."""

UNKNOWN_GROUP: Final = ""

_SERVER_HELLO, _SERVER_KEY_EXCHANGE = 2, 12
_HEAD: Final = 4
_NAMED_CURVE: Final = 3
_KEY_SHARE: Final = 51


def is_quantum_safe(group: str) -> bool:
    """Whether a recording of a session cannot be opened by a quantum computer later."""
    return "MLKEM" in group


def group_in(kind: int, message: bytes) -> str | None:
    """Return the group that a server's handshake message names; None if it names none.

    Args:
        kind: Type of the handshake message.
        message: The message with its head of four bytes.
    """
    try:
        if kind == _SERVER_KEY_EXCHANGE and message[_HEAD] == _NAMED_CURVE:
            return _name(message[_HEAD + 1 : _HEAD + 3])
        if kind == _SERVER_HELLO:
            return _key_share_of(message[_HEAD:])
    except IndexError:
        return None
    return None


def _key_share_of(hello: bytes) -> str | None:
    at = 2 + 32  # version and random
    at += 1 + hello[at] + 2 + 1  # session ID, cipher suite, compression
    end = at + 2 + int.from_bytes(hello[at : at + 2])
    at += 2
    while at + 4 <= min(end, len(hello)):
        kind = int.from_bytes(hello[at : at + 2])
        size = int.from_bytes(hello[at + 2 : at + 4])
        if kind == _KEY_SHARE:
            return _name(hello[at + 4 : at + 6])
        at += 4 + size
    return None


def _name(number: bytes) -> str:
    return GROUPS.get(int.from_bytes(number), f"group 0x{number.hex()}")


class Sessions:
    """What the handshakes made with one TLS context showed.

    Args:
        context: For connections to KMEs; it is changed.
        kme_ids: Any of them must stand in the KME's certificate; none: not looked at.

    Attributes:
        group: The group last agreed on; empty if none was, or it cannot be told.
    """

    def __init__(self, context: ssl.SSLContext, kme_ids: tuple[str, ...]) -> None:
        self.group = UNKNOWN_GROUP
        # Not documented, and in every Python from 3.8 on; without it nothing is told.
        if hasattr(context, "_msg_callback"):
            context._msg_callback = self._note  # noqa: SLF001
        if kme_ids:
            context.sslobject_class = _checking(kme_ids)

    def _note(  # as OpenSSL calls it
        self,
        _connection: object,
        direction: str,
        _version: object,
        _content: object,
        kind: int,
        message: bytes,
    ) -> None:
        group = group_in(kind, message) if direction == "read" else None
        if group is not None:
            self.group = group


def names_in(certificate: Mapping[str, Any] | None) -> tuple[str, ...]:
    """List the names of a KME that a verified certificate says.

    They are the common names of its subject, and the DNS names and URIs of its subject
    alternative names.

    Args:
        certificate: As `ssl.SSLObject.getpeercert` gives it.
    """
    told = certificate or {}
    subject = [pair for rdn in told.get("subject", ()) for pair in rdn]
    names = [value for kind, value in subject if kind == "commonName"]
    others = told.get("subjectAltName", ())
    names += [value for kind, value in others if kind in {"DNS", "URI"}]
    return tuple(names)


class WrongKMEError(ssl.SSLCertVerificationError):
    """Raised when a KME's certificate is good, and names another KME."""

    verify_code = -1


def _checking(kme_ids: tuple[str, ...]) -> type[ssl.SSLObject]:
    class Checking(ssl.SSLObject):
        """A session that ends with the handshake if it is with another KME."""

        def do_handshake(self) -> None:
            super().do_handshake()
            if not set(names_in(self.getpeercert())) & set(kme_ids):
                raise WrongKMEError("the certificate names another KME")

    return Checking
