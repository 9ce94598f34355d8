"""The interface of every fence, in plain values.

The interface is blocking, as `gateway.dataplane.base.DataPlane`, and belongs to the
planes' thread; `grant` and `revoke` need no more than the kernel's answer to one
request.

Invariants every fence keeps:

* A packet for a remote prefix leaves only by what the tunnel was granted; a packet
  from one enters only by that. Forwarded packets and the gateway's own alike.
* What came out of a tunnel for a network here leaves by a device that holds it.
* Each call is one step for the kernel: it has happened or it has not, and no packet
  sees anything between.
* Grants end by themselves, by a clock that nobody can set.
* `load` keeps the grants of tunnels that stay.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class FencedTunnel:
    """One tunnel, as far as the fence must know it.

    Attributes:
        name: The tunnel's name.
        remote: Prefixes that belong to the peer, ``"10.2.0.0/16"``.
        local: Prefixes behind this gateway, which a shorter remote prefix covers
            without claiming them.
    """

    name: str
    remote: tuple[str, ...]
    local: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Home:
    """A local network, and what it is reached by.

    Attributes:
        network: The network, ``"10.1.0.0/24"``.
        devices: Names of the interfaces that hold it, in order.
    """

    network: str
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FencePlan:
    """All that a fence holds for one configuration. Nothing in it is secret.

    Attributes:
        tunnels: Every configured tunnel.
        exempt: Networks that are connected here for good and accepted, which a shorter
            remote prefix covers without claiming them.
        ports: UDP ports on which peers reach this gateway itself.
        homes: Local networks: what came out of a tunnel for one of them leaves by its
            own devices or not at all.
        accepted: All networks that are exempt when they are connected.
    """

    tunnels: tuple[FencedTunnel, ...] = ()
    exempt: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    homes: tuple[Home, ...] = ()
    accepted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Passage:
    """The ways by which a tunnel's packets may pass, all of them protected.

    Attributes:
        devices: Names of the interfaces that encrypt for the tunnel.
        reqid: The reqid of its SAs, 0 if it has none.
    """

    devices: tuple[str, ...] = ()
    reqid: int = 0


@dataclass(frozen=True, slots=True)
class TunnelFence:
    """What the fence did for one tunnel.

    Attributes:
        dropped_out: Packets for its prefixes that were refused, since the daemon
            started or longer; this number only grows.
        dropped_in: Packets that claimed to come from there and were refused, and those
            that did and would have left by a device that they are not for.
        granted: Seconds for which packets may still pass; 0 while none may.
    """

    dropped_out: int = 0
    dropped_in: int = 0
    granted: float = 0.0


@dataclass(frozen=True, slots=True)
class FenceState:
    """What stands in the kernel.

    Attributes:
        present: Whether the fence stands.
        reason: Why this kernel can have none, in words; empty if it can.
        limits: What this kernel's fence cannot do, in words; empty for a whole one.
        tunnels: What it did, by tunnel.
        unfenced: Networks in a remote prefix that are connected here for a time
            only (DHCP, router advertisements): packets for them go into the tunnel or
            nowhere.
        unasked: Networks in a remote prefix that are connected here for good since the
            configuration was accepted; of them the same is true.
        passed: Networks in a remote prefix that are connected here for good, accepted,
            and in no local prefix, so that packets for them go past the tunnel.
        usual: The same in a full tunnel, where that is no surprise.
        unrecorded: Why the record for the next boot is not written, in words; empty
            if it is.
    """

    present: bool
    reason: str = ""
    limits: str = ""
    tunnels: Mapping[str, TunnelFence] = field(default_factory=dict)
    unfenced: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    usual: tuple[str, ...] = ()
    unrecorded: str = ""


class Notifications(Protocol):
    """Says that somebody may have changed the fence."""

    def fileno(self) -> int:
        """Return the descriptor that becomes readable."""

    def were_ours(self) -> bool:
        """Read what has come; return whether none of it was a change by others."""

    def close(self) -> None:
        """Stop listening."""


class Fence(Protocol):
    """One way of refusing packets. Every method may raise `DataPlaneError`."""

    def load(self, plan: FencePlan, before: FencePlan | None = None) -> None:
        """Make the fence refuse what the plan names, and no more.

        Args:
            plan: What is to stand.
            before: What stood until now and must be refused too, while a
                configuration is being changed. Where both plans name a tunnel for
                an address, that of `plan` counts.
        """

    def grant(self, name: str, passage: Passage, seconds: float) -> None:
        """Let a tunnel's packets pass by these ways and no others, for so long.

        Replaces what was granted before, without losing a packet of what stays.
        """

    def revoke(self, name: str) -> None:
        """Let nothing pass for a tunnel. Unknown names are ignored."""

    def repair(self, *, touched: bool) -> bool:
        """Restore what others changed, grants included; return whether they had.

        Args:
            touched: Whether somebody is known to have changed something. Else a
                glance decides whether to look.
        """

    def listen(self) -> Notifications | None:
        """Begin to hear of changes by others; None if there can be none."""

    def read(self) -> FenceState:
        """Read what stands and what it refused."""

    def remove(self) -> None:
        """Take the fence away with all that it holds."""

    def close(self) -> None:
        """Let go of sockets; the fence stays."""
