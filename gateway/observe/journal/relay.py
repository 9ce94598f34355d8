"""Wording of what happens to keys over trusted nodes."""

from logging import DEBUG, ERROR, INFO, WARNING
from typing import Any, Final

from gateway.events.relay import (
    BundleRefused,
    KeysForwarded,
    KeysShared,
    NeighbourConnected,
    NeighbourLost,
    PadsUnsuspected,
    RelayBroken,
    RelayedKeysRefused,
    RelayedKeysUnclaimed,
    RelayMessageRefused,
    RelayReady,
    RelayStartFailed,
)
from gateway.observe.journal.wording import Wording

WORDINGS: Final[tuple[Wording[Any], ...]] = (
    Wording(
        RelayReady,
        "relay",
        INFO,
        "relay node {node} is ready",
    ),
    Wording(
        RelayStartFailed,
        "relay-failed",
        ERROR,
        "the relay cannot start: {why}",
    ),
    Wording(
        RelayBroken,
        "",
        ERROR,
        "the relay broke down",
    ),
    Wording(
        NeighbourConnected,
        "relay-up",
        INFO,
        "relay: connection to {neighbour} stands",
    ),
    Wording(
        NeighbourLost,
        "relay-down",
        WARNING,
        "relay: connection to {neighbour} was lost",
    ),
    Wording(
        KeysShared,
        "relayed",
        INFO,
        "{count:d} keys shared with {with_node} over trusted nodes",
    ),
    Wording(
        KeysForwarded,
        "relay-forwarded",
        DEBUG,
        "keys from {came_from} went on to {went_to}",
    ),
    Wording(
        BundleRefused,
        "relay-{fault}",
        WARNING,
        "{why}",
    ),
    Wording(
        RelayMessageRefused,
        "relay-{fault}",
        WARNING,
        "refused a relay message of {neighbour}: {why}",
    ),
    Wording(
        RelayedKeysRefused,
        "",
        WARNING,
        "relayed keys: {why}",
    ),
    Wording(
        PadsUnsuspected,
        "",
        WARNING,
        "pads towards {neighbour}: {why}",
    ),
    Wording(
        RelayedKeysUnclaimed,
        "keys-retired",
        WARNING,
        "{count:d} relayed keys were never announced by their origin; they are retired",
    ),
)
