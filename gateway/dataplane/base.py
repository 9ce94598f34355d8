"""The interface of every data plane, in plain values.

The interface is blocking and takes and returns plain values only, so that it can
stand behind a process boundary. The daemon makes one call at a time, those that may
wait from a worker thread of their own.

Invariants every plane keeps:

* Fail closed. From `add_tunnel` until `remove_tunnel` no packet for the tunnel's
  remote subnets leaves in clear: not before the first epoch, not after the last
  one expires, not while `block` is in force.
* `prepare` makes the receive side of an epoch work and sends nothing with it;
  `activate` moves sending to it; `retire` removes one epoch's keys. Each is
  idempotent, and a failed call leaves what was in force before in force.
* What the plane did not create it does not touch; what it created survives the
  daemon, and `add_tunnel` adopts it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.dataplane.fence.base import Passage
from gateway.dataplane.held.restored import Restoration, Scope
from gateway.dataplane.view import TunnelView
from gateway.secret import Secret


@dataclass(frozen=True, slots=True)
class TunnelSpec:
    """What a plane needs to know of a tunnel before any key exists.

    Attributes:
        name: The tunnel's name, equal at both ends.
        index: Small number, 1 to 65535, unique on this gateway and stable across
            restarts; planes derive reqid, if_id and the like from it.
        interface: Name for the tunnel's own interface where the plane has one (at
            most 15 bytes).
        addresses: Addresses inside the tunnel for that interface, ``"10.9.0.1/30"``.
        local_subnets: Prefixes behind this gateway, ``"10.1.0.0/16"``.
        remote_subnets: Prefixes behind the peer; routed into the tunnel.
        mtu: Inner MTU in bytes, or None to derive it from the outer path.
        encap: Whether ESP travels in UDP (RFC 3948), sharing the control port.
    """

    name: str
    index: int
    interface: str
    addresses: tuple[str, ...]
    local_subnets: tuple[str, ...]
    remote_subnets: tuple[str, ...]
    mtu: int | None = None
    encap: bool = False


@dataclass(frozen=True, slots=True)
class PlaneKeys:
    """Session keys of one epoch, as the handshake exported them (docs/protocol.md).

    Attributes:
        esp_send: 36 bytes: AES-256 key and 4-byte salt (RFC 4106) for what we send.
        esp_receive: The same for what we receive.
        wireguard_psk: 32 bytes.
    """

    esp_send: Secret
    esp_receive: Secret
    wireguard_psk: Secret


@dataclass(frozen=True, slots=True)
class EpochInstall:
    """Everything `prepare` needs to install one epoch of one tunnel.

    Attributes:
        tunnel: Name given in `TunnelSpec`.
        epoch: Epoch number, 1 to 2**64 - 1.
        initiator: Whether this end is the handshake's initiator.
        local_address: Our outer address, ``("192.0.2.1", 51810)``: the control
            socket's, from which ESP's own follows.
        peer_address: The peer's outer address, as last authenticated.
        local_offer: What `offer` returned here for this epoch.
        peer_offer: What the peer's `offer` returned there.
        keys: The epoch's session keys.
        lifetime: Seconds after which the kernel itself must forget the keys, where
            it can.
    """

    tunnel: str
    epoch: int
    initiator: bool
    local_address: tuple[str, int]
    peer_address: tuple[str, int]
    local_offer: bytes
    peer_offer: bytes
    keys: PlaneKeys
    lifetime: float


@dataclass(frozen=True, slots=True)
class EpochState:
    """What the kernel says of one installed epoch.

    Attributes:
        epoch: The epoch number.
        active: Whether sending uses it.
        received: Whether something sent by the peer under this epoch's keys has
            arrived and passed its check here: the local half of "in force".
        packets_in: Packets received under it, where the plane can tell; else 0.
        packets_out: Packets sent under it, where the plane can tell; else 0.
        bytes_in: Bytes received under it.
        bytes_out: Bytes sent under it.
    """

    epoch: int
    active: bool
    received: bool
    packets_in: int = 0
    packets_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


@dataclass(frozen=True, slots=True)
class PlaneState:
    """What the kernel says of one tunnel.

    Attributes:
        blocked: Whether nothing can be sent, neither in clear nor under a key.
        epochs: Installed epochs, oldest first. After a restart of the daemon a
            plane reports what it can recognise in the kernel. One whose number it
            cannot know (WireGuard keeps none) is reported as epoch 0, and
            ``retire(name, 0)`` removes all of those; ESP knows the low 31 bits.
    """

    blocked: bool
    epochs: tuple[EpochState, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class PlaneTraits:
    """A plane's own ways, for code that would otherwise ask for its name.

    Attributes:
        probes: Whether it sends probes through an idle tunnel; else keepalives of its
            own say, less often, that the peer is there.
        has_encap: Whether its packets can travel in UDP by the control port.
        one_tunnel_a_peer: Whether it knows a gateway by its key, so that two tunnels
            with one gateway would share a peer.
        capture: tcpdump's filter for its packets outside, without ``encap``.
    """

    probes: bool
    has_encap: bool
    one_tunnel_a_peer: bool
    capture: str


class DataPlane(Protocol):
    """One way of keeping tunnels in the kernel.

    Every method may raise `DataPlaneError` or one of its subclasses.
    """

    name: str
    """``esp``, ``wireguard`` or ``wireguard-go``."""

    kind: str
    """What both ends must agree on: the name of a `gateway.wire.payloads.PlaneKind`, in
    lower case."""

    quick: bool
    """Whether `offer`, `activate`, `poll`, `read_state`, `retire` and `block` need no
    more than the kernel's answer to a system call: no process, no other event loop,
    nothing that can hold up the daemon's."""

    counts_packets: bool
    """Whether `EpochState` has packets; WireGuard counts bytes only."""

    @property
    def traits(self) -> PlaneTraits:
        """Its own ways; they never change."""

    def open(self) -> None:
        """Check that this kernel can do it and make what all tunnels share.

        Raises:
            PlaneUnsupportedError: The kernel lacks something; the hint says what.
            PlanePermissionError: CAP_NET_ADMIN is missing.
        """

    def add_tunnel(self, spec: TunnelSpec) -> None:
        """Make the tunnel's interface, addresses and routes, blocked; or adopt them.

        Raises:
            PlaneConflictError: A name or address belongs to somebody else.
        """

    def update_tunnel(self, spec: TunnelSpec) -> None:
        """Change what a spec says of a tunnel that is there, without a gap.

        Keys stay in force; `encap` counts from the next epoch on. On failure what was
        before stands.
        """

    def update_tunnels(self, specs: Sequence[TunnelSpec]) -> None:
        """Change several that take prefixes or addresses from each other.

        One by one each would be refused for what another one still has. A packet for
        a prefix that moves is sent by its old tunnel, by its new one, or not at all.
        On failure what was before stands, of all.
        """

    def listen_on(self, ports: tuple[int, int]) -> None:
        """Have the plane's devices listen on other UDP ports, if they do on any.

        Sessions stay, and peers are told at once. On failure all ports are as before.
        """

    def remove_tunnel(self, name: str) -> None:
        """Remove all that was made for the tunnel. Unknown names are ignored."""

    def offer(self, name: str, epoch: int) -> bytes:
        """Return what the peer must know to install this epoch (at most 64 bytes).

        Touches nothing in the kernel that carries traffic: it is called for
        handshakes that may never complete.
        """

    def prepare(self, install: EpochInstall) -> None:
        """Make receiving under this epoch work; send nothing with it yet."""

    def prepares_quickly(self, install: EpochInstall) -> bool:
        """Whether `prepare` of this epoch is as quick as the calls that `quick` names.

        It never is on a plane that is not.
        """

    def activate(self, name: str, epoch: int) -> None:
        """Send under this epoch from now on, and make something be sent at once.

        Where the plane cannot switch before its own handshake ended (WireGuard),
        the switch happens inside a later `poll`.
        """

    def poll(self, name: str) -> PlaneState:
        """Read the state, after pushing an activation that is not yet complete.

        Called a few times a second while an epoch is not in force: re-sends the
        probe of `activate`, moves the route once WireGuard's handshake is done.
        """

    def read_state(self, name: str) -> PlaneState:
        """Read the state and change nothing."""

    def describe(self, name: str) -> TunnelView:
        """Say what is real of a tunnel, for an operator; it may be asked any time.

        What is not there is left out: a tunnel whose interface somebody removed has
        no device, and that is no error.
        """

    def move_peer(self, name: str, address: tuple[str, int]) -> None:
        """Follow the peer to a new outer address, as far as the plane can."""

    def passage(self, name: str) -> Passage:
        """Return by what a tunnel's packets may pass: its devices, its SAs.

        All of them protect what they carry, and refuse what they have no key for.
        """

    def retire(self, name: str, epoch: int) -> None:
        """Remove one epoch's keys. Unknown epochs are ignored."""

    def block(self, name: str) -> None:
        """Remove every epoch's keys; nothing leaves until the next `activate`."""

    def restore(self, scope: Scope = Scope.ALL) -> Restoration:
        """Compare all tunnels with the kernel and put back what is missing.

        What cannot be put back is named in the answer; keys never can.
        """

    def look(self) -> Restoration:
        """Look for changes of which nothing notifies, and put back what can be.

        Asked every second or so: costs little, or looks less often.
        """

    def ports(self) -> tuple[int, ...]:
        """Return the netlink port ids of requests whose notifications are our own."""

    def udp_ports(self) -> tuple[int, ...]:
        """Return the UDP ports at which it takes packets itself: none, or two."""

    def port_in(self, offer: bytes) -> int | None:
        """Return the UDP port that a peer's offer names, None if it names none.

        Raises:
            DataPlaneError: It is no offer of this plane's.
        """

    def close(self) -> None:
        """Let go of sockets; leave tunnels as they are."""
