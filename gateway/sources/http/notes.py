"""Deviations of a KME that were put up with, each once."""

from collections.abc import Iterator

MAX_NOTES = 16
"""Notes kept: there are fewer kinds of them."""


class SourceNotes:
    """Notes in the order in which they were made first."""

    def __init__(self) -> None:
        self._notes: dict[str, None] = {}

    def add(self, *notes: str) -> None:
        """Note something."""
        for note in notes:
            if len(self._notes) < MAX_NOTES:
                self._notes[note] = None

    def __iter__(self) -> Iterator[str]:
        return iter(self._notes)
