"""Lines about a link, and faults of its KME that last: said with their age."""

import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from gateway.host.bounded_log import ended, lasting

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter


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

    How often that is written is for `gateway.host.bounded_log` to decide.

    Args:
        log: Where lines go.
        event: Begins the name of the lines' event.
    """

    def __init__(self, log: LinkLog, event: str) -> None:
        self._log = log
        self._event = event
        self._is_on = False

    def failed(self, fault: str, text: str, *, level: int = logging.WARNING) -> None:
        """Say that it failed.

        Args:
            fault: Its kind: lines of one kind stand for each other.
            text: What to say.
            level: How loud.
        """
        is_first, self._is_on = not self._is_on, True
        extra = lasting(self._event, fault, is_first=is_first)
        extra["event"] = f"{self._event}-{fault}"
        self._log.log(level, "%s", text, extra=extra)

    def recovered(self, text: str) -> None:
        """Say that it works, after failures; nothing after none."""
        if self._is_on:
            self._is_on = False
            event = {"event": f"{self._event}-ok"}
            self._log.info("%s", text, extra=event | ended(self._event))
