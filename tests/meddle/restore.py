"""The hosts of two sites as they were at the start, whatever was done to them."""

from lab.netns import run
from lab.two_sites import OUTER, OUTER6, Side, TwoSites

SETTINGS = (
    "net.ipv4.ip_forward=1",
    "net.ipv6.conf.all.forwarding=1",
    "net.ipv4.conf.all.rp_filter=0",
)


def restore_router(sites: TwoSites) -> None:
    """Take back what was done to the way between the gateways."""
    name = sites.router
    for family in ("-4", "-6"):
        while run("ip", "-n", name, family, "rule", "show", "pref", "50"):
            run("ip", "-n", name, family, "rule", "del", "pref", "50")
    for letter in "ab":
        for address in (OUTER[letter], OUTER6[letter]):
            run("ip", "-n", name, "route", "del", address, "dev", "leg-m", check=False)


def restore_host(side: Side) -> None:
    """Take back what was done to a gateway's rules, routes, links and settings."""
    name = side.gateway.name
    side.gateway.run("sysctl", "-qw", *SETTINGS)
    for family in ("-4", "-6"):
        run("ip", "-n", name, family, "rule", "flush")
        run("ip", "-n", name, family, "rule", "add", "pref", "32766", "lookup", "main")
        run("ip", "-n", name, family, "route", "flush", "table", "77", check=False)
    run("ip", "-n", name, "rule", "add", "pref", "32767", "lookup", "default")
    for device in ("wan0", "lan0"):
        run("ip", "-n", name, "link", "set", device, "down")
    run("ip", "-n", name, "route", "flush", "table", "main", check=False)
    side.restore_wan()
    side.restore_lan()
