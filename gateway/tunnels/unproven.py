"""Words for an epoch that no packet has proven: what is known, what may filter it."""

from dataclasses import dataclass

from gateway.dataplane.base import EpochInstall
from gateway.errors import DataPlaneError


@dataclass(frozen=True, slots=True)
class Outside:
    """What a tunnel's packets look like outside, for who reads a firewall's rules.

    Attributes:
        is_udp: Whether they travel in UDP; else they are IP protocol 50.
        here: UDP ports at which they come here.
        there: UDP ports at which the peer takes them.
    """

    is_udp: bool
    here: tuple[int, ...] = ()
    there: tuple[int, ...] = ()

    def joined_by(self, other: "Outside") -> "Outside":
        """Return this one with another epoch's ports: WireGuard's take turns."""
        if self.is_udp is not other.is_udp:
            return other
        here, there = {*self.here, *other.here}, {*self.there, *other.there}
        return Outside(self.is_udp, tuple(sorted(here)), tuple(sorted(there)))


def outside_of(install: EpochInstall, kind: str, *, encap: bool) -> Outside:
    """Return what the packets of one epoch look like.

    Args:
        install: The epoch.
        kind: The plane's kind.
        encap: Whether ESP travels in UDP, by the control port.

    Returns:
        Its ports too, unless an offer is none: the plane will refuse that.
    """
    if kind == "wireguard":
        # Imported here: it is loaded already where a WireGuard plane is in use.
        from gateway.dataplane.wireguard.offer import decode_offer  # noqa: PLC0415

        try:
            here, there = map(decode_offer, (install.local_offer, install.peer_offer))
        except DataPlaneError:
            return Outside(is_udp=True)
        return Outside(is_udp=True, here=(here.port,), there=(there.port,))
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
    return (
        f"{known}: is UDP filtered on the way? {_ports(outside.here)} must be open "
        f"here, and {_ports(outside.there)} at the peer"
    )


def _ports(ports: tuple[int, ...]) -> str:
    if not ports:
        return "its ports"
    numbers = " and ".join(map(str, ports))
    return f"port{'s' if len(ports) > 1 else ''} {numbers}"
