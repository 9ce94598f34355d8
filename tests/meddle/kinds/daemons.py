"""Daemons that die, stop, start again, and are told to by operators."""

import signal

from lab.two_sites import WAN

from tests.meddle.kind import (
    BY_LIFETIME,
    FLOWS,
    RESTARTED,
    STAYS,
    WIREGUARD,
    Phase,
    Spot,
    Steps,
    free,
    kind,
)

RESTART = 0.3
"""Seconds until systemd starts it again, or so."""

AFTER_LIFETIME = Phase(lasts=BY_LIFETIME + 1.0, stops_by=BY_LIFETIME)


def _signal(at: Spot, number: signal.Signals) -> None:
    assert at.end.process is not None
    at.end.process.send_signal(number)


def _start(*spots: Spot) -> None:
    for spot in spots:
        spot.end.start()
    for spot in spots:
        spot.end.wait_ready()


@kind(seconds=4.0)
def daemon_killed(at: Spot) -> Steps:
    """One end."""
    at.end.kill()
    yield Phase(STAYS.flows, lasts=RESTART)
    _start(at)


@kind(seconds=4.0)
def both_daemons_killed(at: Spot) -> Steps:
    """Both at once."""
    for spot in at.both():
        spot.end.kill()
    yield Phase(STAYS.flows, lasts=RESTART)
    _start(*at.both())


@kind(seconds=4.0)
def daemon_restarted(at: Spot) -> Steps:
    """As after an upgrade."""
    at.end.stop()
    yield Phase(STAYS.flows, lasts=RESTART)
    _start(at)


@kind(seconds=5.0)
def daemon_stopped_for_a_while(at: Spot) -> Steps:
    """SIGSTOP, and SIGCONT within the lifetime."""
    _signal(at, signal.SIGSTOP)
    yield Phase(STAYS.flows, lasts=2.5)
    _signal(at, signal.SIGCONT)


@kind(seconds=18.0, last_word=True)
def both_daemons_dead_beyond_the_lifetime(at: Spot) -> Steps:
    """Nobody is there to stop what passes."""
    for spot in at.both():
        spot.end.kill()
    yield AFTER_LIFETIME
    _start(*at.both())
    yield RESTARTED


@kind(seconds=18.0)
def both_daemons_stopped_beyond_the_lifetime(at: Spot) -> Steps:
    """They are there, and do nothing."""
    for spot in at.both():
        _signal(spot, signal.SIGSTOP)
    yield AFTER_LIFETIME
    for spot in at.both():
        _signal(spot, signal.SIGCONT)


@kind(seconds=18.0, last_word=True)
def daemon_dead_beyond_the_lifetime(at: Spot) -> Steps:
    """The other end blocks, and says so."""
    at.end.kill()
    yield AFTER_LIFETIME
    _start(at)
    yield RESTARTED


@kind()
def tunnel_down_and_up(at: Spot) -> Steps:
    """By the operator of either end."""
    at.order("tunnel.down")
    yield free(0.7)
    at.order("tunnel.up")


@kind(last_word=True)
def tunnel_rotated(at: Spot) -> Steps:
    """By the operator."""
    at.order("tunnel.rotate")
    yield FLOWS


@kind(needs="nft", seconds=6.0, last_word=True)
def host_reboots(at: Spot) -> Steps:
    """All is gone but files; an early unit loads the fence, then the network is up."""
    at.end.kill()
    at.ip("link", "set", "dev", WAN, "down")
    at.end_carriers()
    at.lab.clean(at.letter)
    load_early(at)
    at.side.restore_wan()
    yield free(1.0)
    _start(at)
    yield RESTARTED


@kind(needs="nft", seconds=6.0, last_word=True)
def both_hosts_reboot(at: Spot) -> Steps:
    """After a power cut: what sends is there before both daemons."""
    for spot in at.both():
        spot.end.kill()
        spot.ip("link", "set", "dev", WAN, "down")
        spot.end_carriers()
        spot.lab.clean(spot.letter)
        load_early(spot)
        spot.side.restore_wan()
    yield free(1.0)
    _start(*at.both())
    yield RESTARTED


def load_early(at: Spot) -> None:
    """Do what the early unit does."""
    at.host.run(at.lab.qgw, "fence", "load", str(at.end.folder / "state/fence.json"))


@kind(planes=WIREGUARD, seconds=6.0, last_word=True)
def carrier_port_taken_at_start(at: Spot) -> Steps:
    """By another program, while the daemon was away: blocked until it is free."""
    at.end.kill()
    at.ip("link", "set", "dev", WAN, "down")
    at.end_carriers()
    at.side.restore_wan()
    squatter = at.squat(51811)
    at.end.start()
    yield Phase(lasts=2.0, not_up=at.letter)
    squatter.close()
    at.end.kill()
    _start(at)
    yield RESTARTED
