"""Wording of what happens to the key store as a whole."""

from logging import ERROR, INFO, WARNING
from typing import Any, Final

from gateway.events.keystore import KeyStoreFaulty, KeyStorePast, KeyStoreUsable
from gateway.observe.journal.wording import Wording

WORDINGS: Final[tuple[Wording[Any], ...]] = (
    Wording(KeyStorePast, "key-store-past", WARNING, "{message}; {hint}"),
    Wording(KeyStoreFaulty, "key-store-fault", ERROR, "{message}; {hint}"),
    Wording(KeyStoreUsable, "key-store-ok", INFO, "the key store can be used again"),
)
