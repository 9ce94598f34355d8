"""The way between the gateways: filtered, cut, one-way, and released again."""

from lab.two_sites import OUTER, OUTER6

from tests.meddle.judge import NOTICED
from tests.meddle.kind import (
    BY_LIFETIME,
    ESP,
    STAYS,
    WIREGUARD,
    Phase,
    Spot,
    Steps,
    free,
    kind,
)

CONTROL = "51810"
CARRIERS = ("51811", "51812")
"""UDP ports of the WireGuard devices."""


def _filters(at: Spot, action: str, *match: str) -> None:
    for family in ("-4", "-6"):
        at.router(family, "rule", action, "pref", "50", *match, "blackhole")


def _filtered(at: Spot, phase: Phase, *matches: tuple[str, ...]) -> Steps:
    for match in matches:
        _filters(at, "add", *match)
    yield phase
    for match in matches:
        _filters(at, "del", *match)


def _ports(*ports: str) -> list[tuple[str, ...]]:
    return [("ipproto", "udp", "dport", port) for port in ports]


@kind(planes=ESP, seconds=12.0)
def esp_filtered_on_the_way(at: Spot) -> Steps:
    """IP protocol 50, by a firewall between the gateways."""
    phase = Phase(lasts=NOTICED, not_up="ab", causes=("encap", "firewall"))
    yield from _filtered(at, phase, ("ipproto", "esp"))


@kind(planes=WIREGUARD, seconds=12.0)
def carrier_ports_filtered_on_the_way(at: Spot) -> Steps:
    """The ports of the WireGuard devices."""
    phase = Phase(lasts=NOTICED, not_up="ab", causes=CARRIERS)
    yield from _filtered(at, phase, *_ports(*CARRIERS))


@kind(planes=WIREGUARD)
def one_carrier_port_filtered(at: Spot) -> Steps:
    """One of the two, for a moment."""
    yield from _filtered(at, free(1.5), *_ports(at.chance.choice(CARRIERS)))


@kind()
def control_port_filtered(at: Spot) -> Steps:
    """Epochs live on without it for a while."""
    yield from _filtered(at, Phase(STAYS.flows, lasts=2.5), *_ports(CONTROL))


@kind()
def path_cut_for_a_moment(at: Spot) -> Steps:
    """Nothing of the gateways gets through."""
    yield from _filtered(at, free(1.0), ("iif", "leg-a"), ("iif", "leg-b"))


@kind(seconds=20.0)
def path_cut_beyond_the_lifetime(at: Spot) -> Steps:
    """Both must have stopped by then."""
    phase = Phase(lasts=BY_LIFETIME + 1.0, not_up="ab", stops_by=0.5)
    yield from _filtered(at, phase, ("iif", "leg-a"), ("iif", "leg-b"))


@kind()
def one_way_cut(at: Spot) -> Steps:
    """Only what comes from this end is lost."""
    yield from _filtered(at, free(1.5), ("iif", f"leg-{at.letter}"))


@kind()
def the_meddler_owns_the_way(at: Spot) -> Steps:
    """The router sends this end's outer address to the meddler for a moment."""
    for address in (OUTER[at.letter], OUTER6[at.letter]):
        at.router("route", "add", address, "dev", "leg-m")
    yield free(0.7)
    for address in (OUTER[at.letter], OUTER6[at.letter]):
        at.router("route", "del", address, "dev", "leg-m")
