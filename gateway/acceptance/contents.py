"""Contents of named files: told apart by digests that are of no use to anybody else.

A digest is keyed with bytes drawn when the process begins. So two of the same process
tell whether a secret has changed, and a digest that got out tells nothing about it.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.crypto.identity import PublicIdentity, format_fingerprint
from gateway.secret import Secret

DIGEST_SIZE: Final = 16
"""Bytes: two contents are the same, but for one chance in 2**128."""

Key = tuple[str, ...]
"""A key of the configuration: ``("tunnels", "paris", "peer")``."""

_KEY: Final = os.urandom(hashlib.blake2b.MAX_KEY_SIZE)


@dataclass(frozen=True, slots=True)
class Content:
    """What a file held when it was read.

    Attributes:
        digest: 16 bytes, the same for the same content in this process alone; of an
            identity its fingerprint.
        is_public: Whether the digest may be shown.
    """

    digest: bytes
    is_public: bool = False

    @property
    def shown(self) -> str:
        """How the content is called, where that is public; else empty."""
        return format_fingerprint(self.digest) if self.is_public else ""


def content_of_secret(secret: Secret) -> Content:
    """Return what tells a secret from another one."""
    return Content(_digest(secret.expose()))


def content_of_identity(public: PublicIdentity) -> Content:
    """Return what tells an identity from another one: its fingerprint, which shows."""
    return Content(public.fingerprint, is_public=True)


def changed_contents(
    old: Mapping[Key, Content], new: Mapping[Key, Content]
) -> frozenset[Key]:
    """Return the keys whose files hold something else, or are named on one side."""
    return frozenset(
        key for key in old.keys() | new.keys() if old.get(key) != new.get(key)
    )


def is_own(key: Key) -> bool:
    """Whether a key names a file of the gateway's own, and of no tunnel or link."""
    return key[0] not in ("links", "tunnels")


def describe_content(old: Content | None, new: Content | None) -> str:
    """Return ``OLD -> NEW`` for what is public; else an empty string."""
    if old is None or new is None or old.shown == new.shown:
        return ""
    return f"{old.shown} -> {new.shown}"


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=DIGEST_SIZE, key=_KEY).digest()
