"""Facts of the key store as a whole."""

from dataclasses import dataclass

from gateway.events.bus import Event


@dataclass(frozen=True, slots=True)
class KeyStorePast(Event):
    """Something speaks for the key store being an old copy.

    Attributes:
        message: What.
        hint: What to do.
    """

    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class KeyStoreFaulty(Event):
    """Keys cannot be used or taken in.

    Attributes:
        message: Why.
        hint: What cures it.
    """

    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class KeyStoreUsable(Event):
    """Keys can be used and taken in again."""
