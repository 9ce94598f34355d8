"""Reloads of each key of a tunnel, and of tunnels beside it."""

from lab.gateway import PORT
from lab.two_sites import (
    INSIDE,
    INSIDE6,
    NET,
    NET6,
    OUTER,
    OUTER6,
    SECOND,
)

from tests.meddle.judge import INTERVAL, LIFETIME
from tests.meddle.kind import ESP, FLOWS, Phase, Spot, Steps, free, kind

EXTRA = {"a": "10.81.0.0/24", "b": "10.82.0.0/24"}
"""A further network of each site."""


def _here(at: Spot, **values: object) -> Steps:
    """Change keys at one end, and back."""
    at.rewrite(**values)
    yield FLOWS
    at.reset()


def _everywhere(at: Spot, **values: object) -> Steps:
    """Change keys at both ends, one after the other, and back."""
    for spot in at.both():
        spot.rewrite(**values)
    yield FLOWS
    for spot in at.both():
        spot.reset()


@kind()
def mtu_reloaded(at: Spot) -> Steps:
    """One end."""
    yield from _here(at, mtu=1300)


@kind(seconds=4.0)
def mtu_reloaded_with_forty_more_tunnels(at: Spot) -> Steps:
    """All in one reload."""
    _beside(at, 40)
    yield from _here(at, mtu=1300)


@kind()
def addresses_reloaded(at: Spot) -> Steps:
    """Another one beside those there are."""
    here = [f"{INSIDE[at.letter]}/30", f"{INSIDE6[at.letter]}/126"]
    yield from _here(at, addresses=[*here, f"10.255.9.{1 + (at.letter == 'b')}/30"])


@kind()
def remote_subnets_reloaded(at: Spot) -> Steps:
    """A prefix more."""
    prefixes = [NET[at.peer], NET6[at.peer], EXTRA[at.peer]]
    yield from _here(at, remote_subnets=prefixes)


@kind()
def local_subnets_reloaded(at: Spot) -> Steps:
    """A prefix more at this end, and at the other one accordingly."""
    here, far = at.both()
    here.rewrite(local_subnets=[NET[at.letter], NET6[at.letter], EXTRA[at.letter]])
    far.rewrite(remote_subnets=[NET[at.letter], NET6[at.letter], EXTRA[at.letter]])
    yield FLOWS
    far.reset()
    here.reset()


@kind()
def endpoint_reloaded(at: Spot) -> Steps:
    """The peer's second address."""
    yield from _here(at, endpoint=f"{SECOND[at.peer]}:{PORT}")


@kind()
def endpoint_of_the_other_family(at: Spot) -> Steps:
    """IPv6 in place of IPv4, or the reverse."""
    host = at.far().host.address
    new = OUTER[at.peer] if ":" in host else f"[{OUTER6[at.peer]}]"
    yield from _here(at, endpoint=f"{new}:{PORT}")


@kind()
def interval_reloaded(at: Spot) -> Steps:
    """Both ends."""
    yield from _everywhere(at, rotation_interval=1.5 * INTERVAL)


@kind()
def lifetime_reloaded(at: Spot) -> Steps:
    """One end."""
    yield from _here(at, max_epoch_lifetime=1.2 * LIFETIME)


@kind()
def qkd_policy_reloaded(at: Spot) -> Steps:
    """Both ends."""
    yield from _everywhere(at, qkd="preferred")


@kind()
def qkd_every_reloaded(at: Spot) -> Steps:
    """Both ends."""
    yield from _everywhere(at, qkd_every=3)


@kind(planes=ESP)
def encap_reloaded(at: Spot) -> Steps:
    """Both ends; between the two, one sends what the other does not take."""
    for spot in at.both():
        spot.rewrite(encap=True)
    yield FLOWS
    for spot in at.both():
        spot.reset()


@kind()
def interface_reloaded(at: Spot) -> Steps:
    """Another name, one that is no prefix of ours."""
    yield from _here(at, interface="vpn0")


@kind()
def tunnel_disabled_and_enabled(at: Spot) -> Steps:
    """One end, for a moment."""
    at.rewrite(enabled=False)
    yield free(0.7)
    at.reset()


@kind()
def tunnels_added_and_removed_beside(at: Spot) -> Steps:
    """Three that have no peer to talk to."""
    _beside(at, 3)
    at.file.write()
    at.reload()
    yield FLOWS
    at.reset()


def _beside(at: Spot, count: int) -> None:
    """Describe tunnels to peers that are nowhere."""
    for number in range(count):
        at.file.tables[f"tunnels.beside-{number}"] = {
            "peer": at.stranger(number),
            "endpoint": f"203.0.113.{20 + number}:{PORT}",
            "plane": at.lab.plane,
            "qkd": "off",
            "remote_subnets": [f"10.{100 + number}.0.0/16"],
        }


@kind()
def reload_without_a_change(at: Spot) -> Steps:
    """Again and again."""
    for _ in range(3):
        at.reload()
    yield FLOWS


@kind(seconds=6.0)
def tunnel_removed_and_added(at: Spot) -> Steps:
    """The operator takes the tunnel away at both ends, then has it back.

    Its prefixes are nobody's meanwhile: the PCs are silent then, as without a fence
    their packets go wherever the routes say.
    """
    at.lab.flows.pause()
    at.lab.forger.pause()
    for spot in at.both():
        del spot.file.tables["tunnels.demo"]
        spot.file.write()
        spot.reload()
    yield Phase(lasts=0.5)
    for spot in at.both():
        spot.reset()
    at.lab.flows.resume()
    at.lab.forger.resume()
