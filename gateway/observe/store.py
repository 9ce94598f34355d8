"""The watch on the key store: its file is there; its disk has room."""

from collections.abc import Callable, Iterable, Iterator

from gateway.control.schema import Alert, AlertKind
from gateway.errors import KeyStoreError
from gateway.events.bus import publish
from gateway.events.keystore import KeyStoreFaulty, KeyStorePast, KeyStoreUsable
from gateway.keystore.past import Sign
from gateway.observe.alerts import gateway_alert


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
            publish(KeyStorePast(sign.text, sign.hint))

    def watch(self) -> None:
        """Log that something is wrong, or over; called every few seconds."""
        fault = self._look()
        if fault is not None and not self._known:
            publish(KeyStoreFaulty(fault.message, fault.hint))
        elif fault is None and self._known:
            publish(KeyStoreUsable())
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
