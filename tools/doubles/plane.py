"""A data plane in memory, for simulations and for tests of what is above it.

It keeps the contract of `gateway.dataplane.base` (one suite runs over it and over
the planes of the kernel) and records every call. Two of them can be joined with
`connect`: then a packet that one sends is received by the other exactly if both
hold the same keys for the epoch, and proof in force comes about as in a kernel.
Alone, `receive` says that something arrived.

Time passes only by `expire`. Failures are asked for with `fail_next`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.config.tables import DEFAULT_WIREGUARD_PORTS
from gateway.dataplane.base import (
    EpochInstall,
    EpochState,
    PlaneState,
    PlaneTraits,
    TunnelSpec,
)
from gateway.dataplane.esp.plane import EspPlane
from gateway.dataplane.fence.base import Passage
from gateway.dataplane.held.restored import Restoration, Scope
from gateway.dataplane.view import DeviceView, SessionView, TunnelView
from gateway.dataplane.wireguard.offer import decode_offer
from gateway.dataplane.wireguard.plane import WireGuardPlane
from gateway.errors import DataPlaneError, PlaneConflictError

OFFER_SIZE = 4
"""Bytes, as of an SPI."""

DEFAULT_MTU = 1400
"""Bytes, of a tunnel that is given none."""


@dataclass(slots=True)
class _Epoch:
    install: EpochInstall
    received: int = 0
    sent: int = 0


@dataclass(slots=True)
class _Tunnel:
    spec: TunnelSpec
    epochs: dict[int, _Epoch] = field(default_factory=dict)
    active: int | None = None
    peer: tuple[str, int] | None = None


class FakePlane:
    """A recording data plane that carries packets between two ends in memory.

    Attributes:
        calls: Every call that changes something: ``("activate", "paris", 7)``.
        auto_receive: With no plane connected, whether an activated epoch counts as
            received at once.
        delivers: Whether what is sent reaches the connected plane.
        other: The connected plane.
        quick: See `DataPlane.quick`.
        counts_packets: See `DataPlane.counts_packets`.
    """

    def __init__(
        self, kind: str = "esp", *, auto_receive: bool = False, quick: bool = True
    ) -> None:
        self.name = kind
        self.kind = kind
        self.quick = quick
        self.counts_packets = True
        self.calls: list[tuple[object, ...]] = []
        self.auto_receive = auto_receive
        self.delivers = True
        self.is_open = False
        self._tunnels: dict[str, _Tunnel] = {}
        self._failures: dict[str, list[DataPlaneError]] = {}
        self._offers = 0
        self.other: FakePlane | None = None

    def connect(self, other: "FakePlane") -> None:
        """Join two planes, so that what one sends the other can receive."""
        self.other, other.other = other, self

    def fail_next(self, method: str, error: DataPlaneError | None = None) -> None:
        """Make the next call of a method raise, and change nothing."""
        failure = error or DataPlaneError(f"{method} was told to fail", retryable=True)
        self._failures.setdefault(method, []).append(failure)

    def receive(self, name: str, epoch: int) -> None:
        """Pretend that one packet of the peer's arrived under an epoch's keys."""
        self._tunnel(name).epochs[epoch].received += 1

    def expire(self, name: str, epoch: int) -> None:
        """Do what the kernel does when an epoch's lifetime has passed."""
        tunnel = self._tunnel(name)
        tunnel.epochs.pop(epoch, None)
        if tunnel.active == epoch:
            tunnel.active = None

    def send(self, name: str) -> bool:
        """Send a packet through a tunnel; return whether it reached the other end."""
        tunnel = self._tunnel(name)
        if tunnel.active is None:
            return False
        epoch = tunnel.epochs[tunnel.active]
        epoch.sent += 1
        if self.other is None:
            return False
        return self.delivers and self.other._take_in(name, epoch.install)  # noqa: SLF001  # the other end of the same class

    def specs(self) -> dict[str, TunnelSpec]:
        """Return the tunnels that are there."""
        return {name: tunnel.spec for name, tunnel in self._tunnels.items()}

    def install_of(self, name: str, epoch: int) -> EpochInstall:
        """Return what was installed for an epoch."""
        return self._tunnel(name).epochs[epoch].install

    def open(self) -> None:
        """See `DataPlane.open`."""
        self._begin("open")
        self.is_open = True

    def close(self) -> None:
        """See `DataPlane.close`."""
        self._begin("close")
        self.is_open = False

    def add_tunnel(self, spec: TunnelSpec) -> None:
        """See `DataPlane.add_tunnel`."""
        self._begin("add_tunnel", spec.name)
        if spec.name in self._tunnels:
            self._tunnels[spec.name].spec = spec
            return
        for other in self._tunnels.values():
            if other.spec.interface == spec.interface:
                raise PlaneConflictError(f"interface {spec.interface} is taken")
            if other.spec.index == spec.index:
                raise DataPlaneError(f"index {spec.index} is taken")
        self._tunnels[spec.name] = _Tunnel(spec)

    def update_tunnel(self, spec: TunnelSpec) -> None:
        """See `DataPlane.update_tunnel`."""
        self._begin("update_tunnel", spec.name)
        self._tunnel(spec.name).spec = spec

    def update_tunnels(self, specs: Sequence[TunnelSpec]) -> None:
        """See `DataPlane.update_tunnels`."""
        for spec in specs:
            self.update_tunnel(spec)

    def listen_on(self, ports: tuple[int, int]) -> None:
        """See `DataPlane.listen_on`."""
        self._begin("listen_on", ports)

    def remove_tunnel(self, name: str) -> None:
        """See `DataPlane.remove_tunnel`."""
        self._begin("remove_tunnel", name)
        self._tunnels.pop(name, None)

    def offer(self, name: str, epoch: int) -> bytes:
        """See `DataPlane.offer`."""
        self._begin("offer", name, epoch)
        self._tunnel(name)
        self._offers += 1
        return (0x1000 + self._offers).to_bytes(OFFER_SIZE)

    def prepares_quickly(self, install: EpochInstall) -> bool:
        """See `DataPlane.prepares_quickly`: so once an epoch is there."""
        tunnel = self._tunnels.get(install.tunnel)
        return self.quick and tunnel is not None and bool(tunnel.epochs)

    def prepare(self, install: EpochInstall) -> None:
        """See `DataPlane.prepare`."""
        self._begin("prepare", install.tunnel, install.epoch)
        tunnel = self._tunnel(install.tunnel)
        known = tunnel.epochs.get(install.epoch)
        if known is None or known.install != install:
            tunnel.epochs[install.epoch] = _Epoch(install)

    def activate(self, name: str, epoch: int) -> None:
        """See `DataPlane.activate`."""
        self._begin("activate", name, epoch)
        tunnel = self._tunnel(name)
        if epoch not in tunnel.epochs:
            raise DataPlaneError(f"epoch {epoch} of tunnel {name} is not prepared")
        tunnel.active = epoch
        self.send(name)
        if self.auto_receive:
            self.receive(name, epoch)

    def poll(self, name: str) -> PlaneState:
        """See `DataPlane.poll`."""
        if self._tunnel(name).active is not None:
            self.send(name)
        return self.read_state(name)

    def read_state(self, name: str) -> PlaneState:
        """See `DataPlane.read_state`."""
        tunnel = self._tunnel(name)
        states = tuple(
            EpochState(
                number,
                active=number == tunnel.active,
                received=epoch.received > 0,
                packets_in=epoch.received,
                packets_out=epoch.sent,
            )
            for number, epoch in sorted(tunnel.epochs.items())
        )
        return PlaneState(blocked=tunnel.active is None, epochs=states)

    def describe(self, name: str) -> TunnelView:
        """See `DataPlane.describe`; an offer stands for an SPI."""
        tunnel = self._tunnel(name)
        spec, mtu = tunnel.spec, tunnel.spec.mtu or DEFAULT_MTU
        return TunnelView(
            devices=(DeviceView(spec.interface, spec.addresses, mtu, is_up=True),),
            sessions=tuple(
                SessionView(
                    number,
                    active=number == tunnel.active,
                    device=spec.interface,
                    local=epoch.install.local_address[0],
                    peer=epoch.install.peer_address[0],
                    spi_in=int.from_bytes(epoch.install.local_offer),
                    spi_out=int.from_bytes(epoch.install.peer_offer),
                )
                for number, epoch in sorted(tunnel.epochs.items())
            ),
            mtu=mtu,
        )

    def move_peer(self, name: str, address: tuple[str, int]) -> None:
        """See `DataPlane.move_peer`."""
        self._begin("move_peer", name, address)
        self._tunnel(name).peer = address

    def passage(self, name: str) -> Passage:
        """See `DataPlane.passage`."""
        return Passage(devices=(self._tunnel(name).spec.interface,))

    def retire(self, name: str, epoch: int) -> None:
        """See `DataPlane.retire`."""
        self._begin("retire", name, epoch)
        self.expire(name, epoch)

    def block(self, name: str) -> None:
        """See `DataPlane.block`."""
        self._begin("block", name)
        tunnel = self._tunnel(name)
        tunnel.epochs.clear()
        tunnel.active = None

    def restore(self, scope: Scope = Scope.ALL) -> Restoration:
        """See `DataPlane.restore`; nobody takes anything from a plane in memory."""
        self._begin("restore", scope)
        return Restoration()

    def look(self) -> Restoration:
        """See `DataPlane.look`."""
        return Restoration()

    def ports(self) -> tuple[int, ...]:
        """See `DataPlane.ports`."""
        return ()

    def udp_ports(self) -> tuple[int, ...]:
        """See `DataPlane.udp_ports`."""
        return DEFAULT_WIREGUARD_PORTS if self.kind == "wireguard" else ()

    @property
    def traits(self) -> PlaneTraits:
        """See `DataPlane.traits`: those of the plane whose kind it has."""
        return EspPlane.traits if self.kind == "esp" else WireGuardPlane.traits

    def port_in(self, offer: bytes) -> int | None:
        """See `DataPlane.port_in`."""
        return None if self.kind == "esp" else decode_offer(offer).port

    def _take_in(self, name: str, sent: EpochInstall) -> bool:
        """Receive a packet if we hold the keys it was sent under."""
        tunnel = self._tunnels.get(name)
        epoch = tunnel.epochs.get(sent.epoch) if tunnel is not None else None
        if epoch is None or epoch.install.local_offer != sent.peer_offer:
            return False
        if self.kind == "esp":
            agreed = epoch.install.keys.esp_receive == sent.keys.esp_send
        else:
            agreed = epoch.install.keys.wireguard_psk == sent.keys.wireguard_psk
        epoch.received += agreed
        return agreed

    def _tunnel(self, name: str) -> _Tunnel:
        try:
            return self._tunnels[name]
        except KeyError:
            raise DataPlaneError(f"there is no tunnel {name}") from None

    def _begin(self, method: str, *arguments: object) -> None:
        self.calls.append((method, *arguments))
        failures = self._failures.get(method)
        if failures:
            raise failures.pop(0)
