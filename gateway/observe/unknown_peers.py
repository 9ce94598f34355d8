"""Peers that asked for something not configured here, for the status page.

Such a peer gets no tunnel whose status could show it, and its operator hears
nothing. Both ends' operators need the same line to compare.
"""

from typing import Final

SHOWN_FOR: Final = 60.0
"""Seconds after which one that asks no more is no longer shown: a misconfigured peer
asks again every few seconds."""

MAX_STRANGERS: Final = 20
"""Remembered at once, newest first: anyone who knows our public identity can make up
fingerprints."""


class UnknownPeers:
    """The last few of them, in words."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}

    def note(self, text: str, *, now: float) -> None:
        """Remember one, or that it came again."""
        self._seen.pop(text, None)
        self._seen[text] = now
        while len(self._seen) > MAX_STRANGERS:
            del self._seen[next(iter(self._seen))]

    def recent(self, *, now: float) -> list[str]:
        """Return those that asked lately."""
        return [text for text, at in self._seen.items() if now - at < SHOWN_FOR]
