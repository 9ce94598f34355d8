"""Keys for stores under measurement."""

import os
from uuid import UUID

from gateway.keystore.base import KEY_SIZE, NewKey
from gateway.secret import Secret

LINK = "bench"
HOLDER = "bench"
MASTER_KEY = Secret(bytes(range(32)))


def make_keys(count: int) -> list[NewKey]:
    """Return keys as a KME gives them: random bytes under random key_IDs."""
    return [
        NewKey(UUID(bytes=os.urandom(16), version=4), Secret(os.urandom(KEY_SIZE)))
        for _ in range(count)
    ]
