"""Wording of what happens to links and their stocks."""

from logging import ERROR, INFO, WARNING
from typing import Any, Final

from gateway.events.supply import (
    KeysForbidden,
    KeysGivenUp,
    KeysRefused,
    KMEsDisagree,
    LinkFailed,
    OutageNoted,
    OutageOver,
    StockLevelChanged,
    StoreIsOld,
    StoreUnmaintained,
)
from gateway.host.bounded_log import alike, ended, lasting
from gateway.observe.journal.wording import Wording

WORDINGS: Final[tuple[Wording[Any], ...]] = (
    Wording(
        StockLevelChanged,
        "stock-{alarm}",
        lambda e: INFO if e.alarm == "ok" else WARNING,
        "stock is {alarm}: {text}",
    ),
    Wording(
        OutageNoted,
        "{word}-{fault}",
        lambda e: INFO if e.is_usual else WARNING,
        "{text}",
        bound=lambda e: lasting(e.work, e.fault, is_first=e.is_first),
    ),
    Wording(OutageOver, "{word}-ok", INFO, "{text}", bound=lambda e: ended(e.work)),
    Wording(
        KMEsDisagree,
        "kmes-disagree",
        WARNING,
        "the peer cannot use {count:d} of the keys drawn: the two KMEs do not agree; "
        "drawing again in {pause:.0f} s",
    ),
    Wording(
        KeysRefused,
        "keys-refused",
        ERROR,
        "refused {count:d} keys: {named}{others}",
        lambda e: {"others": f" and {e.more} more" if e.more > 0 else ""},
        # Each draw names other keys: what tells lines apart is why.
        lambda e: alike("keys", ", ".join(e.reasons)),
    ),
    Wording(
        KeysGivenUp,
        "keys-retired",
        WARNING,
        "the peer no longer holds {count:d} keys; they are retired",
    ),
    Wording(
        KeysForbidden,
        "keys-retired",
        WARNING,
        "the peer may not use {count:d} keys any more; they are retired",
    ),
    Wording(
        StoreIsOld,
        "store-is-old",
        ERROR,
        "the key store is an old copy: the peer has used keys, or let them "
        "expire, that are unused here; the {count:d} others of them are retired",
    ),
    Wording(LinkFailed, "link-failed", ERROR, "link {link} gives no keys: {why}"),
    Wording(StoreUnmaintained, "", WARNING, "key store: {why}"),
)
