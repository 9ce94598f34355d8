"""Waits that get shorter with the rotation interval, so that a tunnel heals within one.

From 40 s up, and so at the default of 120 s, each is what `limits` says.
"""

from gateway.handshake import limits


def first_rto(round_trip: float | None) -> float:
    """Return the wait before the first retransmission, seconds.

    Args:
        round_trip: Of M1 and M2, as last measured, seconds; None if unknown.
    """
    if round_trip is None:
        return limits.INITIAL_RTO
    wanted = round_trip * limits.RTT_FACTOR
    return min(max(wanted, limits.MIN_RTO), limits.MAX_RTO)


def max_rto(interval: float) -> float:
    """Return the longest wait between retransmissions, seconds."""
    return min(limits.MAX_RTO, limits.HEAL_SHARE * interval)


def commit_timeout(interval: float) -> float:
    """Return how long M4 is awaited, seconds."""
    share = limits.HEAL_SHARE * interval
    return min(limits.COMMIT_TIMEOUT, max(limits.MIN_COMMIT_TIMEOUT, share))


def doubt_timeout(round_trip: float | None) -> float:
    """Return how long another M2 is awaited after one whose last tag failed, seconds.

    Args:
        round_trip: Of M1 and M2, seconds, None if unknown.
    """
    # M1 is sent again after a wait, and answered a round trip later.
    again = (limits.RTT_FACTOR + 1) * (round_trip or 0.0)
    return max(limits.DOUBT_TIMEOUT, again)


def ping_interval(interval: float) -> float:
    """Return after how much silence the initiator pings, seconds."""
    return min(limits.PING_INTERVAL, limits.HEAL_SHARE * interval)


def double_grace(interval: float) -> float:
    """Return how late a datagram of the session before may be, seconds."""
    return min(limits.DOUBLE_GRACE, limits.HEAL_SHARE * interval)


def ping_retry(interval: float) -> float:
    """Return the wait between unanswered pings, seconds."""
    share = limits.HEAL_SHARE * interval / limits.PING_ATTEMPTS
    return min(limits.PING_RETRY, max(limits.MIN_PING_RETRY, share))
