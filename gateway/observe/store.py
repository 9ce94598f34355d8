"""The watch on the key store: its file is there; its disk has room."""

import logging
from collections.abc import Callable, Iterable, Iterator

from gateway.control.schema import Alert, AlertKind
from gateway.errors import KeyStoreError
from gateway.keystore.past import Sign
from gateway.observe.alerts import gateway_alert

logger = logging.getLogger(__name__)


class StoreWatch:
    """Looks now and then, and for whoever asks.

    Args:
        look: Returns what is wrong with the store; quick.
        signs: What speaks for its being an old copy.
    """

    def __init__(
        self, look: Callable[[], KeyStoreError | None], signs: Iterable[Sign] = ()
    ) -> None:
        self._look = look
        self._known = False
        self._copied = [sign for sign in signs if sign.is_sure]
        for sign in signs:
            logger.warning(
                "%s; %s", sign.text, sign.hint, extra={"event": "key-store-past"}
            )

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
        """Say what is wrong now, and, as long as this run lasts, what was at start."""
        for sign in self._copied:
            yield gateway_alert("warning", AlertKind.KEY_STORE, sign.text, sign.hint)
        fault = self._look()
        if fault is not None:
            yield gateway_alert(
                "critical", AlertKind.KEY_STORE, fault.message, fault.hint
            )
