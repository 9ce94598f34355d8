"""The listener that writes each event as one line of the log."""

import logging
from typing import Any, Final

from gateway.events.bus import Event
from gateway.observe.journal import (
    control,
    daemon,
    fence,
    host,
    keystore,
    relay,
    rotation,
    sources,
    supply,
    tunnels,
)
from gateway.observe.journal.wording import Wording

TABLES: Final[dict[str, tuple[Wording[Any], ...]]] = {
    "Start, configuration and reload": daemon.WORDINGS,
    "Epochs": rotation.WORDINGS,
    "Tunnels": tunnels.WORDINGS,
    "The fence": fence.WORDINGS,
    "Links and stocks": supply.WORDINGS,
    "The key store": keystore.WORDINGS,
    "KMEs and other sources of keys": sources.WORDINGS,
    "Keys over trusted nodes": relay.WORDINGS,
    "The control sockets": control.WORDINGS,
    "The host": host.WORDINGS,
}
"""All wordings, by the subject under which docs/journal.md lists them."""

_WORDING: Final[dict[type[Event], Wording[Any]]] = {
    wording.kind: wording for table in TABLES.values() for wording in table
}


def log(event: Event) -> None:
    """Write an event's line, if its level is wanted."""
    wording = _WORDING[type(event)]
    logger = logging.getLogger(wording.kind.__module__)
    if logger.isEnabledFor(wording.level_of(event)):
        logger.handle(wording.record(event))


def text_of(event: Event) -> str:
    """Return an event in the words of its line."""
    return _WORDING[type(event)].record(event).getMessage()


def is_said(kind: type[Event]) -> bool:
    """Whether events of a kind, all of one level, are written."""
    wording = _WORDING[kind]
    logger = logging.getLogger(kind.__module__)
    return isinstance(wording.level, int) and logger.isEnabledFor(wording.level)
