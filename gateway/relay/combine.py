"""End-to-end keys from what came over the paths.

Each path carries shares drawn independently. Key number i is

    HKDF-SHA-384(salt = label, secret = shares i of all paths, info = key_ID, routes)

with every part preceded by its length. Who knows all shares but one knows nothing of
the key short of breaking HKDF, and the routes and their order are part of it. Its
key_ID is a hash of bundle, routes and index: it names the paths, and both ends compute
it.
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

from gateway.crypto.kdf import derive
from gateway.keystore.base import KEY_SIZE, NewKey
from gateway.secret import Secret

Routes = Sequence[Sequence[str]]
"""Names of nodes from origin to destination, for each path in its order."""

_LABEL: Final = b"qgw-relay-1"
_KEY: Final = _LABEL + b" end-to-end key"
_KEY_ID: Final = _LABEL + b" key_ID"

_UUID_VERSION: Final = 8
"""RFC 9562: a UUID made in a way of our own."""


def key_id_of(bundle: UUID, routes: Routes, index: int) -> UUID:
    """Return the key_ID of a bundle's key number `index`: a UUID of version 8."""
    routed = (_joined(node.encode() for node in route) for route in routes)
    parts = _joined((_KEY_ID, bundle.bytes, _joined(routed), struct.pack("!I", index)))
    digest = bytearray(hashlib.sha384(parts).digest()[:16])
    digest[6] = digest[6] & 0x0F | _UUID_VERSION << 4
    digest[8] = digest[8] & 0x3F | 0x80
    return UUID(bytes=bytes(digest))


def combine_shares(shares: Sequence[Secret], key_id: UUID, routes: Routes) -> Secret:
    """Return one end-to-end key, `KEY_SIZE` bytes.

    Args:
        shares: One for each path.
        key_id: The key's key_ID.
        routes: One for each share.

    Raises:
        ValueError: No share, or not as many as routes.
    """
    if not shares or len(shares) != len(routes):
        raise ValueError("a key takes one share for each route")
    routed = (_joined(node.encode() for node in route) for route in routes)
    info = _joined((_KEY, key_id.bytes, *routed))
    secret = _joined(share.expose() for share in shares)
    return Secret(derive(_KEY, secret, info, KEY_SIZE))


def combine_bundle(
    bundle: UUID, routes: Routes, shares: Sequence[Sequence[Secret]]
) -> list[NewKey]:
    """Return the keys of a whole bundle, and erase its shares.

    Args:
        bundle: The bundle.
        routes: For each path.
        shares: For each path its shares, the same number on each.
    """
    keys = []
    for index, column in enumerate(zip(*shares, strict=True)):
        key_id = key_id_of(bundle, routes, index)
        keys.append(NewKey(key_id, combine_shares(column, key_id, routes)))
    for row in shares:
        for share in row:
            share.wipe()
    return keys


def _joined(parts: Iterable[bytes]) -> bytes:
    """Join parts so that no two lists of parts give the same bytes."""
    listed = list(parts)
    return struct.pack("!I", len(listed)) + b"".join(
        struct.pack("!I", len(part)) + part for part in listed
    )
