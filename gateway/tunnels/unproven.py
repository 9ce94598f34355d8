"""Words for an epoch that no packet has proven: what is known, what may filter it."""

from dataclasses import dataclass, replace

from gateway.dataplane.base import DataPlane, EpochInstall
from gateway.errors import DataPlaneError


@dataclass(frozen=True, slots=True)
class Outside:
    """What a tunnel's packets look like outside, for who reads a firewall's rules.

    Attributes:
        is_udp: Whether they travel in UDP; else they are IP protocol 50.
        here: UDP ports at which they come here, all of them.
        there: UDP ports at which the peer takes them, the latest first: those of its
            epochs so far.
    """

    is_udp: bool
    here: tuple[int, ...] = ()
    there: tuple[int, ...] = ()

    def joined_by(self, other: "Outside") -> "Outside":
        """Return a later epoch's, with the peer's port of this one.

        WireGuard's devices take turns, and an offer names one port: what a firewall
        lets pass in one epoch may be shut in the next.
        """
        if self.is_udp is not other.is_udp or len(other.here) != len(self.here):
            return other
        there = dict.fromkeys((*other.there, *self.there))
        most = max(1, len(other.here))
        return replace(other, there=tuple(there)[:most])


def outside_of(install: EpochInstall, plane: DataPlane, *, encap: bool) -> Outside:
    """Return what the packets of one epoch look like.

    Args:
        install: The epoch.
        plane: What carries it.
        encap: Whether ESP travels in UDP, by the control port.

    Returns:
        Its ports too, unless an offer is none: the plane will refuse that.
    """
    if here := plane.udp_ports():
        try:
            port = plane.port_in(install.peer_offer)
        except DataPlaneError:
            port = None
        return Outside(is_udp=True, here=here, there=() if port is None else (port,))
    if encap:
        here_port, there_port = install.local_address[1], install.peer_address[1]
        return Outside(is_udp=True, here=(here_port,), there=(there_port,))
    return Outside(is_udp=False)


def describe_unproven(
    *, here: bool, there: bool, outside: Outside | None, fault: str
) -> str:
    """Say why an epoch is not in force, and what to do about it.

    Args:
        here: Whether packets of the peer's have arrived here.
        there: Whether the peer says that ours have arrived there.
        outside: What packets look like, None if none was ever installed.
        fault: What the plane last objected to, or empty.
    """
    match here, there:
        case True, False:
            known, where = "packets come from the peer, none reaches it", "the peer's"
        case False, True:
            known, where = "packets reach the peer, none comes back", "this gateway's"
        case _:
            known, where = "no packet has come back", "the peer's"
    if fault:
        return f"{known}: the data plane says: {fault}"
    if outside is None:
        return known
    if not outside.is_udp:
        return (
            f"{known}: is IP protocol 50 filtered on the way? set encap = true at both "
            f"ends, or open it in {where} firewall"
        )
    is_half = 0 < len(outside.there) < len(outside.here)
    other = " and the other one of its wireguard_ports" if is_half else ""
    return (
        f"{known}: is UDP filtered on the way? {_ports(outside.here)} must be open "
        f"here, and {_ports(outside.there)}{other} at the peer"
    )


def _ports(ports: tuple[int, ...]) -> str:
    if not ports:
        return "its ports"
    numbers = " and ".join(map(str, sorted(ports)))
    return f"port{'s' if len(ports) > 1 else ''} {numbers}"
