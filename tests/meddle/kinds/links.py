"""Links and addresses that come, go and change."""

from lab.two_sites import (
    GATE,
    GATE6,
    LAN,
    OUTER,
    OUTER6,
    WAN,
)

from tests.meddle.judge import wait_for
from tests.meddle.kind import FLOWS, Spot, Steps, free, kind
from tests.meddle.slowness import SLOW

RESTORED = 1.0 * SLOW
"""Seconds until what others changed is as it was."""


def _mtu(at: Spot, device: str) -> int:
    words = at.ip("-o", "link", "show", "dev", device).split()
    return int(words[words.index("mtu") + 1])


@kind(last_word=True)
def addresses_of_tunnel_devices_flushed(at: Spot) -> Steps:
    """On each of them."""
    for device in at.devices():
        at.ip("addr", "flush", "dev", device)
    yield FLOWS


@kind(last_word=True)
def one_tunnel_address_deleted(at: Spot) -> Steps:
    """IPv4 only, on each device."""
    for device in at.devices():
        at.ip("-4", "addr", "flush", "dev", device)
    yield FLOWS


@kind()
def lan_address_away_and_back(at: Spot) -> Steps:
    """A DHCP renewal, or VRRP."""
    at.ip("addr", "del", f"{GATE[at.letter]}/24", "dev", LAN)
    yield free(0.7)
    at.side.restore_lan()


@kind()
def lan_address_away_and_back_ipv6(at: Spot) -> Steps:
    """The same for IPv6."""
    at.ip("addr", "del", f"{GATE6[at.letter]}/64", "dev", LAN)
    yield free(0.7)
    at.side.restore_lan()


@kind()
def lan_addresses_renewed_at_once(at: Spot) -> Steps:
    """Away and back in one breath."""
    at.ip("addr", "flush", "dev", LAN)
    at.side.restore_lan()
    yield FLOWS


@kind()
def wan_address_away_and_back(at: Spot) -> Steps:
    """A lease that ran out and came again."""
    at.ip("addr", "flush", "dev", WAN)
    yield free(0.7)
    at.side.restore_wan()


@kind()
def wan_addresses_renewed_at_once(at: Spot) -> Steps:
    """The address goes and comes, and takes its routes along."""
    at.ip("addr", "del", f"{OUTER[at.letter]}/24", "dev", WAN)
    at.ip("addr", "del", f"{OUTER6[at.letter]}/64", "dev", WAN)
    at.side.restore_wan()
    yield FLOWS


@kind(last_word=True)
def tunnel_devices_down(at: Spot) -> Steps:
    """Set down, and nobody sets them up again."""
    for device in at.devices():
        at.ip("link", "set", "dev", device, "down")
    yield FLOWS


@kind(last_word=True)
def tunnel_devices_down_and_up(at: Spot) -> Steps:
    """Their routes and IPv6 addresses are gone then."""
    for device in at.devices():
        at.ip("link", "set", "dev", device, "down")
        at.ip("link", "set", "dev", device, "up")
    yield FLOWS


@kind()
def wan_down_and_up(at: Spot) -> Steps:
    """The cable to the provider."""
    at.ip("link", "set", "dev", WAN, "down")
    yield free(0.5)
    at.side.restore_wan()


@kind()
def lan_down_and_up(at: Spot) -> Steps:
    """The cable to the site."""
    at.ip("link", "set", "dev", LAN, "down")
    yield free(0.5)
    at.side.restore_lan()


@kind(last_word=True)
def mtu_of_tunnel_devices_changed(at: Spot) -> Steps:
    """To less than IPv6 lives with, which takes its addresses along."""
    before = {device: _mtu(at, device) for device in at.devices()}
    for device in before:
        at.ip("link", "set", "dev", device, "mtu", "1000")
    yield FLOWS
    for device, mtu in before.items():
        assert wait_for(
            lambda device=device, mtu=mtu: _mtu(at, device) == mtu,  # type: ignore[misc]
            RESTORED,
        ), f"{device} keeps MTU {_mtu(at, device)}, not {mtu}"


@kind()
def mtu_of_the_wan_changed(at: Spot) -> Steps:
    """A provider with PPPoE."""
    at.ip("link", "set", "dev", WAN, "mtu", "1400")
    yield FLOWS
    at.side.restore_wan()


@kind(last_word=True, seconds=4.0)
def tunnel_devices_deleted(at: Spot) -> Steps:
    """Each of them."""
    for device in at.devices():
        at.ip("link", "del", "dev", device)
    yield FLOWS


@kind(last_word=True)
def a_tunnel_device_deleted(at: Spot) -> Steps:
    """One of them, where there are several."""
    devices = at.devices()
    if devices:
        at.ip("link", "del", "dev", at.chance.choice(devices))
    yield FLOWS


@kind(last_word=True)
def tunnel_devices_renamed(at: Spot) -> Steps:
    """Down, renamed, up, as older kernels want it."""
    for number, device in enumerate(at.devices()):
        at.ip("link", "set", "dev", device, "down")
        at.ip("link", "set", "dev", device, "name", f"vpn{number}x")
        # Whoever restores it may have been faster.
        at.ip("link", "set", "dev", f"vpn{number}x", "up", check=False)
    yield FLOWS


@kind(last_word=True)
def aliases_of_tunnel_devices_removed(at: Spot) -> Steps:
    """What says that they are ours."""
    for device in at.devices():
        at.ip("link", "set", "dev", device, "alias", "")
    yield FLOWS


@kind(last_word=True)
def neighbours_flushed(at: Spot) -> Steps:
    """On both links."""
    for device in (WAN, LAN):
        at.ip("neigh", "flush", "dev", device)
    yield FLOWS


@kind()
def ipv6_disabled_on_tunnel_devices(at: Spot) -> Steps:
    """A hardening script does so, and somebody undoes it."""
    devices = at.devices()
    for device in devices:
        at.sysctl(f"net.ipv6.conf.{device}.disable_ipv6=1")
    yield free(0.5)
    for device in devices:
        at.sysctl(f"net.ipv6.conf.{device}.disable_ipv6=0")
