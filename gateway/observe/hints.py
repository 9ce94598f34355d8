"""Advice on a tunnel that is not as it should be, by its cause."""

from dataclasses import dataclass
from typing import Final

BY_PEER: Final = "the peer took the tunnel down"
"""The reason that rotation gives when the peer said so."""

_BY_REASON: Final = {
    "unconfirmed": "check the path between the gateways for loss, and the peer's log",
    "symmetric": "compare the PSK files of both ends; if they are equal, purge and "
    "refill the link's stock at both",
    "install": "see: journalctl -u qgwd QGW_TUNNEL={name}",
    "plane": "see: journalctl -u qgwd QGW_TUNNEL={name}",
    "fault": "see: journalctl -u qgwd QGW_TUNNEL={name}; and report it",
    "unknown-tunnel": "give the tunnel the same name at both ends, and the other's "
    "public identity",
    "role-conflict": "leave role out at both ends, or set it to responder at one",
    "plane-mismatch": "set plane (and encap) alike at both ends",
    "psk-mismatch": "set psk at both ends, or at neither",
    "policy-mismatch": "agree on qkd: preferred goes with required and with off",
    "not-ready": "at the peer: qgw tunnel show {name}, and qgw tunnel up {name} if it "
    "is down",
    "endpoint": "check the name's address in DNS, and the route to the peer",
    "stale-epoch": "nothing, unless it repeats: the next attempt starts above",
    "epoch-leap": "ask the peer's operator; if one end lost its state, stop both "
    "daemons and remove tunnels/{name}.json in state_dir at both",
}
"""By the word that a failed attempt has for its cause."""

_OF_KEYS: Final = frozenset({"qkd", "qkd-unavailable"})
"""Those that concern QKD keys."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a hint depends on.

    Attributes:
        name: The tunnel's name.
        phase: Its state, as shown.
        reason: Why it is not up, one line.
        failing: The present failure's word, empty while nothing has failed since the
            last epoch in force.
        initiator: Whether this end starts the handshakes.
        capture: tcpdump's filter for the plane's packets (`PlaneTraits.capture`).
        encap: Whether they travel in UDP by the control port instead.
        link: Its QKD link, or empty.
        link_hint: What to do about that link's KME, empty while it gives keys.
        peer: Where the peer is called, without the port; empty if it has to call.
        unsent: Why this host did not send datagrams lately, empty if it did.
    """

    name: str
    phase: str
    reason: str
    failing: str
    initiator: bool
    capture: str
    encap: bool
    link: str
    link_hint: str
    peer: str
    unsent: str


def hint_of(now: Circumstances) -> str:
    """Return what to do about the present cause; empty if there is nothing to do."""
    if now.phase == "up" and not now.failing:
        return ""
    if now.phase == "down":
        return f"bring it up: qgw tunnel up {now.name}"
    if now.reason == BY_PEER:
        return f"at the peer: qgw tunnel up {now.name}"
    if now.phase == "unproven" or now.failing == "not-in-force":
        return _capture(now.capture, encap=now.encap)
    if now.failing in _OF_KEYS:
        return _keys(now)
    known = _BY_REASON.get(now.failing)
    return _silence(now) if known is None else known.format(name=now.name)


def _capture(outside: str, *, encap: bool) -> str:
    """Return how to see which end's packets are lost; the reason says what may be."""
    shown = "udp port 51810" if encap else outside
    return f"see at both ends where they are lost: tcpdump -ni any {shown}"


def _silence(now: Circumstances) -> str:
    """Return where to look when no answer comes, or no call."""
    if now.unsent and now.initiator:
        route = f": ip route get {now.peer}" if now.peer else ""
        return (
            f"this host cannot send ({now.unsent}): check its routes{route}, and its "
            "own firewall"
        )
    if not now.initiator:
        return (
            "the peer starts the handshakes: check there that qgwd runs, its endpoint, "
            "and that UDP 51810 reaches us"
        )
    return (
        "check that qgwd runs at the peer, the endpoint, that UDP 51810 passes both "
        "ways, and both fingerprints"
    )


def _keys(now: Circumstances) -> str:
    if now.link_hint:
        return now.link_hint
    if not now.link:
        return "the peer wants QKD keys: set qkd and link here, or qkd = off there"
    return (
        f"compare the stock at both ends: qgw qkd status {now.link}; or import keys at "
        "both"
    )
