"""Watches whether the key store can be used: its file is there; its disk has room."""

import logging
from collections.abc import Callable, Iterator

from gateway.control.schema import Alert, AlertKind
from gateway.daemon.alerts import gateway_alert
from gateway.errors import KeyStoreError

logger = logging.getLogger(__name__)


class StoreWatch:
    """Looks now and then, and for whoever asks.

    Args:
        look: Returns what is wrong with the store; quick.
    """

    def __init__(self, look: Callable[[], KeyStoreError | None]) -> None:
        self._look = look
        self._known = False

    def watch(self) -> None:
        """Log that something is wrong, or over; called every few seconds."""
        fault = self._look()
        if fault is not None and not self._known:
            logger.error(
                "%s; %s",
                fault.message,
                fault.hint,
                extra={"event": "key-store-fault"},
            )
        elif fault is None and self._known:
            logger.info(
                "the key store can be used again", extra={"event": "key-store-ok"}
            )
        self._known = fault is not None

    def alerts(self) -> Iterator[Alert]:
        """Say what is wrong now."""
        fault = self._look()
        if fault is not None:
            yield gateway_alert(
                "critical", AlertKind.KEY_STORE, fault.message, fault.hint
            )
