"""Lines about a link, and faults of its KME that last: said with their age."""

import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Final

from gateway.host.repeats import Repeats, times

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter

_MINUTE: Final = 60.0
_HOUR: Final = 3600.0


class LinkLog(_Adapter):
    """A logger whose lines have a link as field; the journal puts it into the text.

    Args:
        logger: Where they go.
        link: The link's name.
    """

    def __init__(self, logger: logging.Logger, link: str) -> None:
        super().__init__(logger, {"link": link})

    def process(
        self, msg: object, kwargs: MutableMapping[str, Any]
    ) -> tuple[object, MutableMapping[str, Any]]:
        """Add the field to those of the line."""
        extra = {**(self.extra or {}), **kwargs.get("extra", {})}
        return msg, {**kwargs, "extra": extra}


class Outage:
    """One kind of work that a KME lets fail, for a moment or for days.

    The first failure of a kind is logged at once, and what follows at growing pauses
    with its count and age. A KME that fails and recovers every few seconds is one
    fault: its end is logged only where its beginning was.

    Args:
        log: Where lines go.
        event: Begins the name of the lines' event.
    """

    def __init__(self, log: LinkLog, event: str) -> None:
        self._log = log
        self._event = event
        self._repeats = Repeats()
        self._since: float | None = None
        self._is_said = False

    def failed(self, fault: str, text: str, *, level: int, now: float) -> None:
        """Note a failure.

        Args:
            fault: Its kind: lines of one kind stand for each other.
            text: What to say.
            level: How loud.
            now: Monotonic seconds.
        """
        if self._since is None:
            self._since = now
        count = self._repeats.note(fault, now=now)
        if not count:
            return
        self._is_said = True
        age = now - self._since
        lasting = f", for {age_of(age)}" if age >= _MINUTE else ""
        self._log.log(
            level,
            "%s%s%s",
            text,
            lasting,
            times(count),
            extra={"event": f"{self._event}-{fault}"},
        )

    def recovered(self, text: str, *, now: float) -> None:
        """Note a success after failures, or after none."""
        since, self._since = self._since, None
        is_said, self._is_said = self._is_said, False
        if since is None or not is_said:
            return
        age = now - since
        after = f" after {age_of(age)}" if age >= _MINUTE else ""
        self._log.info("%s%s", text, after, extra={"event": f"{self._event}-ok"})


def age_of(seconds: float) -> str:
    """Return how long something lasts, as a person says it: ``5 min``, ``3.5 h``."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.1f} h"
