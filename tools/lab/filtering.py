"""A firewall on the network between hosts: what it drops of what they send.

It stands in the bridge of a `lab.netns` network, where neither gateway sees it: by
nftables, or by the traffic control of kernels that have none (User-mode Linux).
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lab.netns import Namespace, run

ESP = 50
"""IP protocol number."""

_TABLE = "firewall"


@dataclass(frozen=True, slots=True)
class Dropped:
    """What is dropped, of IPv4: a protocol, or UDP to some ports."""

    protocol: int = 0
    ports: tuple[int, ...] = ()


def close(dropped: Dropped, senders: Sequence[Namespace]) -> None:
    """Drop what these hosts send of it."""
    wire = senders[0].wire
    if _has_nft(wire):
        legs = ", ".join(f'"{one.leg}"' for one in senders)
        what = f"ip protocol {dropped.protocol}"
        if dropped.ports:
            what = f"udp dport {{ {', '.join(map(str, dropped.ports))} }}"
        rule = f"iifname {{ {legs} }} {what} drop"
        _nft(wire, f"add rule bridge {_TABLE} forward {rule}")
        return
    for one in senders:
        tc = ("tc", "-n", wire)
        run(*tc, "qdisc", "replace", "dev", one.leg, "ingress")
        matches = [("protocol", str(dropped.protocol), "0xff")]
        if dropped.ports:
            matches = [("dport", str(port), "0xffff") for port in dropped.ports]
        for match in matches:
            run(*tc, "filter", "add", "dev", one.leg, "parent", "ffff:", "protocol",
                "ip", "u32", "match", "ip", *match, "action", "drop")  # fmt: skip


def open_up(hosts: Sequence[Namespace]) -> None:
    """Let everything through again."""
    wire = hosts[0].wire
    if _has_nft(wire):
        _nft(wire, f"flush chain bridge {_TABLE} forward")
        return
    for one in hosts:
        run("tc", "-n", wire, "qdisc", "del", "dev", one.leg, "ingress", check=False)


@contextlib.contextmanager
def filtered(
    dropped: Dropped, senders: Sequence[Namespace], hosts: Sequence[Namespace]
) -> Iterator[None]:
    """Drop what some of the hosts send of it, for a while."""
    close(dropped, senders)
    try:
        yield
    finally:
        open_up(hosts)


def _has_nft(wire: str) -> bool:
    """Make the table that is to drop; say whether this kernel has any."""
    try:
        _nft(wire, f"add table bridge {_TABLE}")
        hook = "{ type filter hook forward priority 0; }"
        _nft(wire, f"add chain bridge {_TABLE} forward {hook}")
    except RuntimeError:
        return False
    return True


def _nft(wire: str, command: str) -> None:
    run("ip", "netns", "exec", wire, "nft", command)
