"""Tunnel events as log lines."""

import logging
from uuid import UUID

from gateway.rotation.events import (
    EpochCommittedHere,
    EpochInForce,
    EpochRetired,
    QKDMissing,
    QKDRestored,
    RotationFailed,
    TunnelBlocked,
    TunnelEvent,
    TunnelUnproven,
    TunnelUp,
)

logger = logging.getLogger(__name__)

NOTEWORTHY = 1.0
"""Seconds from commit to force that are worth a line. Usually it takes one round trip:
one line a rotation, that of the commit, is enough."""

QUIET_AFTER = 3
"""Failures in a row that are logged one by one; then every power of two is."""


def log_event(event: TunnelEvent) -> None:  # noqa: C901  # a table
    """Write one line for an event, at a level that says whether to worry."""
    match event:
        case EpochCommittedHere(tunnel, epoch, sources, key_id, qkd_age):
            logger.info(
                "epoch %d committed from %s%s",
                epoch,
                " + ".join(sources),
                _describe_qkd(key_id, qkd_age),
                extra={"tunnel": tunnel, "event": "committed", "epoch": epoch},
            )
        case EpochInForce(tunnel, epoch, after):
            logger.log(
                logging.INFO if after > NOTEWORTHY else logging.DEBUG,
                "epoch %d in force at both ends after %.3f s",
                epoch,
                after,
                extra={"tunnel": tunnel, "event": "in-force", "epoch": epoch},
            )
        case EpochRetired(tunnel, epoch):
            logger.debug(
                "epoch %d retired",
                epoch,
                extra={"tunnel": tunnel, "event": "retired", "epoch": epoch},
            )
        case RotationFailed(tunnel, "not-in-force", detail, attempts):
            loud = not attempts & (attempts - 1)
            logger.log(
                logging.WARNING if loud else logging.DEBUG,
                "the new epoch is not in force (%d in a row): %s",
                attempts,
                detail,
                extra={"tunnel": tunnel, "event": "failed", "reason": "not-in-force"},
            )
        case RotationFailed(tunnel, reason, detail, attempts):
            loud = attempts <= QUIET_AFTER or not attempts & (attempts - 1)
            logger.log(
                logging.WARNING if loud else logging.DEBUG,
                "no new epoch (attempt %d): %s",
                attempts,
                detail,
                extra={"tunnel": tunnel, "event": "failed", "reason": reason},
            )
        case TunnelBlocked(tunnel, reason):
            logger.error(
                "blocked, nothing is sent: %s",
                reason,
                extra={"tunnel": tunnel, "event": "blocked", "reason": reason},
            )
        case TunnelUnproven(tunnel, reason):
            # What led to it has a warning of its own.
            logger.info(
                "unproven: %s",
                reason,
                extra={"tunnel": tunnel, "event": "unproven", "reason": reason},
            )
        case TunnelUp(tunnel, epoch):
            logger.info(
                "up",
                extra={"tunnel": tunnel, "event": "up", "epoch": epoch},
            )
        case QKDMissing(tunnel, epoch, reason):
            logger.warning(
                "epochs have no fresh QKD key from %d on (qkd = preferred): %s",
                epoch,
                reason,
                extra={
                    "tunnel": tunnel,
                    "event": "qkd-missing",
                    "epoch": epoch,
                    "reason": reason,
                },
            )
        case QKDRestored(tunnel, epoch):
            logger.info(
                "epoch %d has a fresh QKD key again",
                epoch,
                extra={"tunnel": tunnel, "event": "qkd-restored", "epoch": epoch},
            )


def _describe_qkd(key_id: UUID | None, qkd_age: int | None) -> str:
    """Return which QKD key an epoch depends on: a fresh one, or an earlier one."""
    if key_id is not None:
        return f", QKD key {key_id}"
    if qkd_age is None:
        return ""
    return f", QKD key chained from {qkd_age} epoch{'s' if qkd_age > 1 else ''} ago"
