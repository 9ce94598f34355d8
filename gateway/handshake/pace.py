"""Waits that get shorter with the rotation interval, so that a tunnel heals within one.

From 40 s up, and so at the default of 120 s, each is what `limits` says.
"""

from gateway.handshake import limits


def max_rto(interval: float) -> float:
    """Return the longest wait between retransmissions, seconds."""
    return min(limits.MAX_RTO, limits.HEAL_SHARE * interval)


def commit_timeout(interval: float) -> float:
    """Return how long M4 is awaited, seconds."""
    share = limits.HEAL_SHARE * interval
    return min(limits.COMMIT_TIMEOUT, max(limits.MIN_COMMIT_TIMEOUT, share))


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
