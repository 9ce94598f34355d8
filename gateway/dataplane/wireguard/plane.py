"""The data planes ``wireguard`` and ``wireguard-go``.

Invariants, beside those of `gateway.dataplane.base`:

* A peer is added only with an epoch's PSK, so no session without it can exist.
* `prepare` only touches the device to which the tunnel's routes do not lead, so
  nothing is sent to the new peer, and the old one goes on receiving until `retire`.
* A peer is always added afresh. Its first completed handshake is therefore one with
  this epoch's PSK, and no clock is needed to tell.
* Routes move only after that handshake, in one step, and only at this end: the other
  end receives on both devices.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from gateway.dataplane.base import (
    EpochInstall,
    EpochState,
    PlaneState,
    PlaneTraits,
    TunnelSpec,
)
from gateway.dataplane.fence.base import Passage
from gateway.dataplane.held.compare import NOBODY
from gateway.dataplane.held.exchanged import change_all, moving_prefixes
from gateway.dataplane.held.keeper import Keeper
from gateway.dataplane.held.restored import Loss, Restoration, Scope
from gateway.dataplane.held.spans import Span, span_of
from gateway.dataplane.view import TunnelView
from gateway.dataplane.wireguard.adoption import Adoption
from gateway.dataplane.wireguard.backend import (
    RESPONSE_SIZE,
    Backend,
    DeviceGoneError,
    PeerReading,
    PeerSettings,
)
from gateway.dataplane.wireguard.describe import describe_tunnel
from gateway.dataplane.wireguard.devices import DevicePair
from gateway.dataplane.wireguard.offer import Offer, decode_offer, encode_offer
from gateway.dataplane.wireguard.paths import TunnelPaths
from gateway.dataplane.wireguard.tunnel import (
    KEEPALIVE,
    PROBE_INTERVAL,
    Installed,
    WireGuardTunnel,
    copy_psk,
    tunnel_prefixes,
)
from gateway.errors import DataPlaneError, PlaneConflictError


class WireGuardPlane:
    """Implements `gateway.dataplane.base.DataPlane` over a `Backend`."""

    kind = "wireguard"
    quick = False
    counts_packets = False
    traits = PlaneTraits(
        probes=False,
        has_encap=False,
        one_tunnel_a_peer=True,
        capture="udp portrange 51811-51812",
    )

    _keeper: Keeper
    _paths: TunnelPaths
    _adoption: Adoption

    def __init__(
        self,
        backend: Backend,
        devices: tuple[str, str],
        ports: tuple[int, int],
        clock: Callable[[], float] = time.monotonic,
        keeper: Keeper | None = None,
    ) -> None:
        self._given = keeper
        self._found = Restoration()
        self.name = backend.name
        self._backend = backend
        self._clock = clock
        self._devices = DevicePair(backend, devices, ports, clock)
        self._tunnels: dict[str, WireGuardTunnel] = {}
        self._moving: frozenset[str] = frozenset()

    def open(self) -> None:
        """Make or adopt both devices. Raises as `DataPlane.open`."""
        self._keeper = self._given or Keeper()
        try:
            self._backend.open(self._keeper)
            self._devices.ensure()
            self._adoption = Adoption(
                self._devices.adoptable(),
                self._keeper.routed_links(),
                self._clock(),
            )
        except DataPlaneError:
            self.close()
            raise
        self._paths = TunnelPaths(self._keeper, self._devices.aliases)

    def add_tunnel(self, spec: TunnelSpec) -> None:
        """Route a tunnel into nowhere, or adopt its peers and its routes."""
        if spec.name in self._tunnels:
            self.update_tunnel(spec)
            return
        tunnel = WireGuardTunnel(spec, tunnel_prefixes(spec), mtu=spec.mtu)
        self._refuse_shared_prefixes(tunnel)
        self._ensure_devices()
        self._adoption.claim(tunnel, self._devices.aliases, self._clock())
        if tunnel.active is not None:
            tunnel.device = tunnel.active.device
        elif tunnel.installed:
            tunnel.device = 1 - tunnel.installed[-1].device
        self._paths.hold(tunnel)
        self._tunnels[spec.name] = tunnel

    def update_tunnel(self, spec: TunnelSpec) -> None:
        """Change prefixes, addresses and MTU; sessions go on."""
        tunnel = self._find(spec.name)
        changed = replace_spec(tunnel, spec)
        self._refuse_shared_prefixes(changed)
        staying = tuple(p for p in tunnel.prefixes if p not in self._moving)
        wider = tuple(dict.fromkeys(changed.prefixes + staying))
        # What a peer may send and is sent grows before routes lead there, and shrinks
        # once none does; but for what another peer takes over.
        self._allow(tunnel, wider)
        try:
            self._paths.hold(changed)
        except DataPlaneError:
            self._allow(tunnel, tunnel.prefixes)
            raise
        self._allow(tunnel, changed.prefixes)
        tunnel.spec, tunnel.prefixes = changed.spec, changed.prefixes
        tunnel.mtu = changed.mtu
        self._paths.fit_device(tunnel.device, tunnel.mtu)

    def update_tunnels(self, specs: Sequence[TunnelSpec]) -> None:
        """See `DataPlane.update_tunnels`."""
        old = [self._find(spec.name).spec for spec in specs]
        self._moving = moving_prefixes(old, specs, tunnel_prefixes)
        try:
            with self._keeper.exchanging(self._moving, [spec.name for spec in specs]):
                change_all(self.update_tunnel, old, specs)
        finally:
            self._moving = frozenset()

    def _allow(self, tunnel: WireGuardTunnel, prefixes: tuple[str, ...]) -> None:
        """Let a tunnel's peers have these prefixes, if they have others."""
        for one in tunnel.installed:
            if one.allowed == prefixes:
                continue
            with _unless_gone():
                device = self._devices.names[one.device]
                self._backend.set_allowed(device, one.key, prefixes)
                one.allowed = prefixes
            if one.settings is not None:
                one.settings = replace(one.settings, allowed=prefixes)

    def listen_on(self, ports: tuple[int, int]) -> None:
        """See `DataPlane.listen_on`; peers follow what they hear from a new port."""
        moved = self._devices.move(ports)
        for tunnel in self._tunnels.values():
            for one in tunnel.installed:
                if one.device not in moved:
                    continue
                if one.confirmed:
                    self._say_something(one)
                one.next_attempt = self._clock()

    def remove_tunnel(self, name: str) -> None:
        """Remove a tunnel's peers, then its routes and addresses."""
        tunnel = self._tunnels.get(name)
        if tunnel is None:
            return
        for one in list(tunnel.installed):
            self._remove(tunnel, one)
        self._paths.release(name)
        del self._tunnels[name]

    def offer(self, name: str, epoch: int) -> bytes:
        """Return the idle device's public key and port (35 bytes)."""
        del epoch
        tunnel = self._find(name)
        self._ensure_devices()
        self._forget_lost(tunnel)
        device = tunnel.idle_device()
        return encode_offer(
            Offer(self._devices.key(device), self._devices.ports[device])
        )

    def prepares_quickly(self, install: EpochInstall) -> bool:  # noqa: ARG002  # never
        """Whether `prepare` does not wait: it talks to processes and to pyroute2."""
        return False

    def prepare(self, install: EpochInstall) -> None:
        """Add the peer to the device that `offer` named; nothing is sent."""
        tunnel = self._find(install.tunnel)
        if tunnel.find(install.epoch) is not None:
            return
        peer = decode_offer(install.peer_offer)
        device = self._devices.find(decode_offer(install.local_offer).public_key)
        if device != tunnel.idle_device():
            raise DataPlaneError(
                "the device that was offered for this epoch is not idle any more",
                "the next rotation uses another one",
                retryable=True,
            )
        self._refuse_shared_peer(tunnel, device, peer.public_key)
        settings = PeerSettings(
            public_key=peer.public_key,
            psk=copy_psk(install.keys.wireguard_psk),
            endpoint=(install.peer_address[0], peer.port),
            allowed=tunnel.prefixes,
        )
        self._backend.replace_peer(self._devices.names[device], settings)
        one = Installed(
            epoch=install.epoch,
            device=device,
            key=peer.public_key,
            since=self._clock(),
            initiator=install.initiator,
            settings=settings,
            port=peer.port,
            allowed=settings.allowed,
        )
        for old in [old for old in tunnel.installed if old.device == device]:
            if old.key == one.key:
                old.forget_psk()
                tunnel.installed.remove(old)
            else:
                self._remove(tunnel, old)
        tunnel.installed.append(one)
        if tunnel.spec.mtu is None:
            tunnel.mtu = self._paths.derive_mtu(install.peer_address[0])
        self._paths.fit_device(device, tunnel.mtu)

    def _refuse_shared_peer(
        self, tunnel: WireGuardTunnel, device: int, key: bytes
    ) -> None:
        """Keep a second tunnel with one gateway from replacing the first one's peer."""
        for other in self._tunnels.values():
            if other is not tunnel and any(
                one.device == device and one.key == key for one in other.installed
            ):
                raise PlaneConflictError(
                    f"tunnel {other.spec.name} already has this peer on WireGuard",
                    'use one tunnel between two gateways, or plane = "esp"',
                )

    def activate(self, name: str, epoch: int) -> None:
        """Start WireGuard's handshake if this end is the initiator; `poll` goes on."""
        tunnel = self._find(name)
        one = tunnel.find(epoch)
        if one is None:
            raise DataPlaneError(f"epoch {epoch} of tunnel {name} is not prepared")
        if one.activated:
            return
        one.activated = True
        one.schedule_attempt(self._clock())
        if one.initiator:
            self._backend.set_keepalive(
                self._devices.names[one.device], one.key, KEEPALIVE
            )

    def poll(self, name: str) -> PlaneState:
        """Look for the handshake, move the routes after it, try again if it is late."""
        tunnel = self._find(name)
        self._remove_unclaimed()
        self._forget_lost(tunnel)
        one = tunnel.pending()
        with _unless_gone():
            if one is not None:
                self._push(tunnel, one)
            elif tunnel.active is not None:
                self._probe(tunnel.active)
        state = self.read_state(name)
        late = tunnel.pending()
        if late is not None and self._reading(late).confirmed:
            # The handshake completed between the two readings: whoever hears of it
            # may poll no more, and the routes would stay where they are.
            with _unless_gone():
                self._push(tunnel, late)
            state = self.read_state(name)
        return state

    def read_state(self, name: str) -> PlaneState:
        """Read what the devices say of a tunnel."""
        tunnel = self._find(name)
        states: dict[int, EpochState] = {}
        blocked = True
        for one in tunnel.installed:
            if self._is_lost(one):
                continue
            active = one is tunnel.active
            blocked = blocked and not active
            peer = self._reading(one)
            before = states.get(one.epoch, EpochState(one.epoch, False, False))  # noqa: FBT003  # neither yet
            states[one.epoch] = replace(
                before,
                active=before.active or active,
                received=before.received or one.confirmed or bool(peer.confirmed),
                bytes_in=before.bytes_in + peer.received,
                bytes_out=before.bytes_out + peer.sent,
            )
        return PlaneState(blocked, tuple(states.values()))

    def describe(self, name: str) -> TunnelView:
        """See `DataPlane.describe`: both devices, since each epoch takes the other."""
        return describe_tunnel(
            self._find(name), self._devices, self._backend, self._keeper
        )

    def move_peer(self, name: str, address: tuple[str, int]) -> None:
        """Tell WireGuard a new address, unless its own roaming knows it already."""
        tunnel = self._find(name)
        host = address[0]
        for one in tunnel.installed:
            device = self._devices.names[one.device]
            with _unless_gone():
                peers = self._backend.read_peers(device, with_details=True)
                peer = peers.get(one.key)
                if peer is None or peer.host == host or not one.port:
                    continue
                self._backend.set_endpoint(device, one.key, (host, one.port))
                if one.settings is not None:
                    one.settings = replace(one.settings, endpoint=(host, one.port))

    def passage(self, name: str) -> Passage:
        """Return both devices: the other end may still use the one we have left."""
        self._find(name)
        return Passage(devices=self._devices.names)

    def retire(self, name: str, epoch: int) -> None:
        """Remove one epoch's peer; 0 stands for what was adopted."""
        tunnel = self._find(name)
        for one in [one for one in tunnel.installed if one.epoch == epoch]:
            self._remove(tunnel, one)

    def block(self, name: str) -> None:
        """Remove all peers; the routes stay and lead to nobody."""
        tunnel = self._find(name)
        for one in list(tunnel.installed):
            self._remove(tunnel, one)

    def close(self) -> None:
        """Close sockets; devices, processes, peers and routes stay."""
        self._backend.close()
        if self._given is None:
            self._keeper.close()

    def restore(self, scope: Scope = Scope.ALL) -> Restoration:
        """See `DataPlane.restore`; XFRM does not concern it."""
        result, self._found = self._found, Restoration()
        if Scope.ROUTING in scope:
            result.add(self._keeper.restore())
            if gone := self._devices.find_gone(self._keeper):
                self._make_again(result, gone)
        result.add(self.look())
        return result

    def _make_again(self, result: Restoration, gone: list[str]) -> None:
        """Make devices again that somebody removed, with what was on them but keys."""
        try:
            self._ensure_devices()
        except DataPlaneError as error:
            losses = [Loss(NOBODY, f"interface {name}") for name in gone]
            result.missing |= dict.fromkeys(losses, error.message)
            return
        result.missing.clear()
        result.add(self._found)
        self._found = Restoration()

    def look(self) -> Restoration:
        """See `DataPlane.look`: WireGuard notifies of nothing that it changes."""
        found = Restoration()
        self._backend.unblock()
        peers = self._devices.look()
        if peers is None:
            return found
        for name, tunnel in self._tunnels.items():
            active = tunnel.active
            self._forget_lost(tunnel)
            if tunnel.active is not active:
                found.keyless.add(name)
            if self._take_back(tunnel, peers):
                found.restored[Loss(name, "the prefixes of its WireGuard peer")] = None
        for device in self._remove_strangers(peers):
            found.restored[Loss(NOBODY, f"{device} without a foreign peer")] = None
        for device in self._devices.set_again():
            found.restored[Loss(NOBODY, f"port and mark of {device}")] = None
        return found

    def _take_back(
        self, tunnel: WireGuardTunnel, peers: Sequence[Mapping[bytes, PeerReading]]
    ) -> bool:
        """Give peers their prefixes back; return whether somebody had taken any."""
        taken = False
        for one in tunnel.installed:
            peer = peers[one.device].get(one.key)
            if peer is None or spans(peer.allowed) == spans(one.allowed):
                continue
            # An epoch's peer on the other device has them there, too.
            with _unless_gone():
                device = self._devices.names[one.device]
                self._backend.set_allowed(device, one.key, one.allowed)
                taken = True
        return taken

    def _remove_strangers(
        self, peers: Sequence[Mapping[bytes, PeerReading]]
    ) -> list[str]:
        """Remove peers that no tunnel has: what they are sent is under their keys.

        Returns:
            The devices that had one.
        """
        if self._adoption.is_open(self._clock()):
            return []
        own = {(o.device, o.key) for t in self._tunnels.values() for o in t.installed}
        found = []
        for index, name in enumerate(self._devices.names):
            strange = [key for key in peers[index] if (index, key) not in own]
            for key in strange:
                with _unless_gone():
                    self._backend.remove_peer(name, key)
            if strange:
                found.append(name)
        return found

    def ports(self) -> tuple[int, ...]:
        """Return none: the keeper's are its own to name."""
        return ()

    def udp_ports(self) -> tuple[int, ...]:
        """See `DataPlane.udp_ports`: those of both devices."""
        return self._devices.ports

    def port_in(self, offer: bytes) -> int:
        """See `DataPlane.port_in`: that of the peer's device."""
        return decode_offer(offer).port

    def remove_devices(self) -> None:
        """Remove both devices with all keys: for uninstalling, and for tests."""
        for device in self._devices.names:
            self._backend.remove_device(device)

    def _push(self, tunnel: WireGuardTunnel, one: Installed) -> None:
        """Bring a pending epoch into use, or its handshake further."""
        peer = self._reading(one)
        now = self._clock()
        if peer.confirmed:
            self._paths.move(tunnel, one.device)
            tunnel.active, one.confirmed = one, True
            one.forget_psk()
            if not one.initiator:
                # From 0 to more sends one at once: the initiator's proof.
                device = self._devices.names[one.device]
                self._backend.set_keepalive(device, one.key, KEEPALIVE)
            one.next_probe = now + PROBE_INTERVAL
        elif one.settings is not None and now >= one.next_attempt:
            device = self._devices.names[one.device]
            if one.initiator:
                again = replace(one.settings, keepalive=KEEPALIVE)
                self._backend.replace_peer(device, again)
                one.since = self._clock()
            elif not peer.received:
                self._backend.set_keepalive(device, one.key, KEEPALIVE)
            one.schedule_attempt(now)

    def _probe(self, one: Installed) -> None:
        """Repeat the keepalive that completes the handshake at the responder.

        Until something besides the handshake's response has arrived: then the
        responder has switched, and has said so.
        """
        now = self._clock()
        if not one.initiator or now < one.next_probe:
            return
        if self._reading(one).received > RESPONSE_SIZE:
            return
        one.next_probe = now + PROBE_INTERVAL
        self._say_something(one)

    def _say_something(self, one: Installed) -> None:
        """Have the device send the peer a keepalive now."""
        with _unless_gone():
            device = self._devices.names[one.device]
            self._backend.set_keepalive(device, one.key, 0)
            self._backend.set_keepalive(device, one.key, KEEPALIVE)

    def _reading(self, one: Installed) -> PeerReading:
        peers = self._devices.peers(one.device, one.since) or {}
        return peers.get(one.key, NO_READING)

    def _is_lost(self, one: Installed) -> bool:
        """Return whether the device surely has no such peer any more."""
        peers = self._devices.peers(one.device, one.since)
        return peers is not None and one.key not in peers

    def _forget_lost(self, tunnel: WireGuardTunnel) -> None:
        """Drop epochs whose device was deleted or died; they cannot come back."""
        for one in [one for one in tunnel.installed if self._is_lost(one)]:
            self._drop(tunnel, one)

    def _remove(self, tunnel: WireGuardTunnel, one: Installed) -> None:
        with _unless_gone():
            self._backend.remove_peer(self._devices.names[one.device], one.key)
        self._drop(tunnel, one)

    def _drop(self, tunnel: WireGuardTunnel, one: Installed) -> None:
        one.forget_psk()
        tunnel.installed.remove(one)
        if tunnel.active is one:
            tunnel.active = None

    def _ensure_devices(self) -> None:
        """Make devices that vanished anew, with their addresses and routes."""
        made = self._devices.ensure()
        if made:
            for tunnel in self._tunnels.values():
                self._forget_lost(tunnel)
            for index in made:
                name = self._devices.names[index]
                self._found.restored[Loss(NOBODY, f"interface {name}")] = None
            self._found.add(self._keeper.restore())

    def _remove_unclaimed(self) -> None:
        for peer in self._adoption.take_unclaimed(self._clock()):
            with _unless_gone():
                self._backend.remove_peer(self._devices.names[peer.device], peer.key)

    def _refuse_shared_prefixes(self, tunnel: WireGuardTunnel) -> None:
        for other in self._tunnels.values():
            if other.spec.name == tunnel.spec.name:
                continue
            shared = set(other.prefixes) & set(tunnel.prefixes)
            for prefix in shared - self._moving:
                raise PlaneConflictError(
                    f"{prefix} of tunnel {tunnel.spec.name} already belongs to "
                    f"tunnel {other.spec.name}",
                    "give each tunnel its own remote_subnets and inside network",
                )

    def _find(self, name: str) -> WireGuardTunnel:
        try:
            return self._tunnels[name]
        except KeyError:
            raise DataPlaneError(f"there is no tunnel {name}") from None


NO_READING = PeerReading(handshake=(0, 0), received=0, sent=0)
"""Stands for a peer that was not read since it was installed."""


def spans(prefixes: tuple[str, ...]) -> set[Span]:
    """Return prefixes as numbers, however they are spelt."""
    return set(map(span_of, prefixes))


def replace_spec(tunnel: WireGuardTunnel, spec: TunnelSpec) -> WireGuardTunnel:
    """Return a tunnel as it will be with a new spec."""
    mtu = spec.mtu if spec.mtu is not None else tunnel.mtu
    return replace(tunnel, spec=spec, prefixes=tunnel_prefixes(spec), mtu=mtu)


@contextmanager
def _unless_gone() -> Iterator[None]:
    """Go on when a device is gone: what was on it is gone as well."""
    try:
        yield
    except DeviceGoneError:
        return
