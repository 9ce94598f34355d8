"""Alarms on a stock that is low enough to wake someone."""

from enum import StrEnum

from gateway.keystore.base import StockStatus

CLEAR_FACTOR = 1.25
"""Stock must rise this far over `low_water` before the alarm ends, so that a link that
just keeps up does not raise and clear it with every key."""

EMPTY_CLEAR_FACTOR = 0.25
"""Likewise, the part of `low_water` at which an empty stock is merely low again."""


class StockAlarm(StrEnum):
    """How worried to be about one link."""

    OK = "ok"
    LOW = "low"
    EMPTY = "empty"


def next_alarm(previous: StockAlarm, status: StockStatus, low_water: int) -> StockAlarm:
    """Return the alarm after `status`, given the alarm before it.

    Reserved keys count as stock: they are on hold, not gone. Keys that the peer is not
    known to hold don't, except that a stock of them is not empty: they are offered
    when nothing else is left, and may serve.

    Args:
        previous: The last answer; `StockAlarm.OK` at start.
        status: The stock.
        low_water: Alarm when fewer keys than this are there; 0 only alarms on empty.
    """
    unused = status.available + status.reserved
    if unused == 0:
        return StockAlarm.EMPTY
    if previous is StockAlarm.EMPTY and unused < low_water * EMPTY_CLEAR_FACTOR:
        return StockAlarm.EMPTY
    stock = unused - status.unconfirmed
    if stock < low_water:
        return StockAlarm.LOW
    if previous is not StockAlarm.OK and stock < low_water * CLEAR_FACTOR:
        return StockAlarm.LOW
    return StockAlarm.OK
