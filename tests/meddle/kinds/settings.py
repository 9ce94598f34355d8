"""Settings of the kernel that an administrator turns."""

from tests.meddle.kind import FLOWS, Phase, Spot, Steps, kind


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
