"""Faults that last, of a link's KME or of its stock: told while they do."""

from gateway.events.bus import publish
from gateway.events.supply import OutageNoted, OutageOver


class Outage:
    """One kind of work that a KME lets fail, for a moment or for days.

    How often that is written is for `gateway.host.bounded_log` to decide.

    Args:
        link: Whose work it is.
        word: Begins the words of the lines.
        work: What tells it apart from all other work; the word, where that does.
    """

    def __init__(self, link: str, word: str, work: str = "") -> None:
        self._link = link
        self._word = word
        self._work = work or word
        self._is_on = False

    def failed(self, fault: str, text: str, *, is_usual: bool = False) -> None:
        """Tell that it failed.

        Args:
            fault: Its kind: lines of one kind stand for each other.
            text: What to say.
            is_usual: Whether it is no reason for a warning.
        """
        is_first, self._is_on = not self._is_on, True
        publish(
            OutageNoted(
                self._link,
                self._work,
                self._word,
                str(fault),
                text,
                is_first=is_first,
                is_usual=is_usual,
            )
        )

    def recovered(self, text: str) -> None:
        """Tell that it works, after failures; nothing after none."""
        if self._is_on:
            self._is_on = False
            publish(OutageOver(self._link, self._work, self._word, text))
