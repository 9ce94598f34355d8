"""Settings of the kernel that an administrator turns."""

import time

from tests.meddle.judge import INTERVAL
from tests.meddle.kind import (
    ALL,
    BY_LIFETIME,
    ESP,
    FLOWS,
    RESTARTED,
    Phase,
    Spot,
    Steps,
    kind,
)

HOUR = 3600.0
"""Seconds, and far beyond every lifetime."""

AFTER_EPOCHS = Phase(ALL, lasts=2.5 * INTERVAL)
"""Two epochs begin under the new time."""


@kind()
def forwarding_off_and_on(at: Spot) -> Steps:
    """What is between the gateways goes on; the site's does not."""
    at.sysctl("net.ipv4.ip_forward=0")
    yield Phase(("in",), lasts=0.5, up=True)
    at.sysctl("net.ipv4.ip_forward=1")


@kind()
def strict_reverse_path_filter(at: Spot) -> Steps:
    """On every device."""
    at.sysctl("net.ipv4.conf.all.rp_filter=1")
    yield FLOWS
    at.sysctl("net.ipv4.conf.all.rp_filter=0")


@kind()
def loose_reverse_path_filter(at: Spot) -> Steps:
    """Debian's default."""
    at.sysctl("net.ipv4.conf.all.rp_filter=2")
    yield FLOWS
    at.sysctl("net.ipv4.conf.all.rp_filter=0")


def _set_clock(by: float) -> None:
    """Set the wall clock, of a kernel that is ours alone."""
    clock = time.CLOCK_REALTIME
    time.clock_settime(clock, time.clock_gettime(clock) + by)


@kind(needs="clock", last_word=True, seconds=6.0)
def wall_clock_set_forward(at: Spot) -> Steps:
    """By an hour: what lives by that clock ends at once, as keys of ESP do."""
    assert at.lab.all_up()
    _set_clock(HOUR)
    yield AFTER_EPOCHS
    yield FLOWS


@kind(needs="clock", last_word=True, seconds=6.0)
def wall_clock_set_back(at: Spot) -> Steps:
    """By an hour: what lives by that clock lives an hour longer."""
    assert at.lab.all_up()
    _set_clock(-HOUR)
    yield AFTER_EPOCHS
    yield FLOWS


@kind(planes=ESP, needs="clock-and-nft", seconds=20.0, last_word=True)
def clock_set_back_and_both_daemons_dead(at: Spot) -> Steps:
    """The keys go on; the fence ends what passes, by a clock that nobody sets."""
    for spot in at.both():
        spot.end.kill()
    _set_clock(-HOUR)
    yield Phase(lasts=BY_LIFETIME + 1.0, stops_by=BY_LIFETIME)
    for spot in at.both():
        spot.end.start()
    for spot in at.both():
        spot.end.wait_ready()
    yield RESTARTED
