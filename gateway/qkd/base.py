"""What a source of QKD keys can do for the store of its link.

Sources block; the daemon calls them from a worker thread. Time is an argument.
A link filled by hand (`qgw keystore import`) has no source.
"""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from gateway.keystore.base import KeyStore


class KeySource(Protocol):
    """Keeps the stock of one link filled.

    Every method may raise `gateway.errors.KeyStoreError`.
    """

    @property
    def link(self) -> str:
        """Name of the link, equal at both ends."""

    @property
    def description(self) -> str:
        """One line for status and logs; says so if the keys are not quantum keys."""

    def fill(self, store: KeyStore, now: float) -> int:
        """Take in the keys that are due; return how many were added.

        Call it about once a second.

        Args:
            store: Where they go.
            now: Monotonic seconds.
        """

    def ensure(self, store: KeyStore, key_ids: Sequence[UUID]) -> int:
        """Try to have the keys a peer offers in store; return how many were added.

        Call it when `KeyStore.reserve_first` knew none of them.
        """

    def resync(self, store: KeyStore, used: Sequence[UUID]) -> int:
        """Move past keys that the peer has used, all that were offered to it.

        Returns how many fresh keys were added in their place. Call it after
        `KeyStore.retire`, when nothing that was offered is left.
        """
