"""Wording of what happens to a tunnel's epochs."""

from logging import DEBUG, ERROR, INFO, WARNING
from typing import Any, Final

from gateway.observe.journal.wording import Wording
from gateway.rotation.events import (
    EpochCommittedHere,
    EpochInForce,
    EpochRetired,
    QKDMissing,
    QKDRestored,
    RotationFailed,
    TunnelBlocked,
    TunnelUnproven,
    TunnelUp,
)

NOTEWORTHY: Final = 1.0
"""Seconds from commit to force that are worth a line. Usually it takes one round trip:
one line a rotation, that of the commit, is enough."""

QUIET_AFTER: Final = 3
"""Failures in a row that are logged one by one; then every power of two is."""


def _loudness(event: RotationFailed) -> int:
    each = QUIET_AFTER if event.reason != "not-in-force" else 1
    is_loud = event.attempts <= each or not event.attempts & (event.attempts - 1)
    return WARNING if is_loud else DEBUG


def _failure(event: RotationFailed) -> str:
    if event.reason == "not-in-force":
        return "the new epoch is not in force ({attempts:d} in a row): {detail}"
    return "no new epoch (attempt {attempts:d}): {detail}"


def _fresh_key(event: EpochCommittedHere) -> str:
    """Return which QKD key an epoch depends on: a fresh one, or an earlier one."""
    if event.key_id is not None:
        return f", QKD key {event.key_id}"
    age = event.qkd_age
    if age is None:
        return ""
    return f", QKD key chained from {age} epoch{'s' if age > 1 else ''} ago"


WORDINGS: Final[tuple[Wording[Any], ...]] = (
    Wording(
        EpochCommittedHere,
        "committed",
        INFO,
        "epoch {epoch:d} committed from {mixed}{qkd}",
        lambda e: {"mixed": " + ".join(e.sources), "qkd": _fresh_key(e)},
    ),
    Wording(
        EpochInForce,
        "in-force",
        lambda e: INFO if e.after > NOTEWORTHY else DEBUG,
        "epoch {epoch:d} in force at both ends after {after:.3f} s",
    ),
    Wording(EpochRetired, "retired", DEBUG, "epoch {epoch:d} retired"),
    Wording(RotationFailed, "failed", _loudness, _failure),
    Wording(TunnelBlocked, "blocked", ERROR, "blocked, nothing is sent: {reason}"),
    # What led to it has a warning of its own.
    Wording(TunnelUnproven, "unproven", INFO, "unproven: {reason}"),
    Wording(TunnelUp, "up", INFO, "up"),
    Wording(
        QKDMissing,
        "qkd-missing",
        WARNING,
        "epochs have no fresh QKD key from {epoch:d} on (qkd = preferred): {reason}",
    ),
    Wording(
        QKDRestored, "qkd-restored", INFO, "epoch {epoch:d} has a fresh QKD key again"
    ),
)
