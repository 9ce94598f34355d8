"""The check value by which two ends see that they hold the same key."""

import hmac
from typing import Final
from uuid import UUID

from gateway.secret import Secret
from gateway.wire.stock import CHECK_SIZE

_LABEL: Final = b"qgw stock check v1"


def check_of(key_id: UUID, key: Secret) -> bytes:
    """Return `CHECK_SIZE` bytes of HMAC-SHA-256 under the key (docs/protocol.md, 8).

    It travels sealed on the control channel, never in clear.
    """
    return hmac.digest(key.expose(), _LABEL + key_id.bytes, "sha256")[:CHECK_SIZE]


def is_constant(key: Secret) -> bool:
    """Whether all bytes are equal: of keys drawn by chance one in 2**248 is so.

    A KME that gives such has a dead source, or a pool that nobody filled.
    """
    data = key.expose()
    return hmac.compare_digest(data, data[:1] * len(data))
