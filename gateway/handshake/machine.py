"""The protocol machine: datagrams, time and answers in; datagrams and events out.

No socket, no clock, no await. A driver feeds `receive_datagram` and `handle_timer`,
sends what `datagrams_to_send` returns, acts on what `next_event` returns, and calls
`handle_timer` again at `get_timer`. What a peer sends never raises out of it: it is
dropped, counted by reason, and not answered.
"""

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import replace
from uuid import UUID

from gateway.errors import CryptoError, ProtocolError
from gateway.handshake import limits
from gateway.handshake.attempts import (
    InitiatorHandshake,
    ResponderHandshake,
    TunnelHandshakes,
)
from gateway.handshake.control import ControlSide
from gateway.handshake.core import PING_TIMER, Core, LocalIdentity
from gateway.handshake.events import (
    Address,
    Event,
    HandshakeID,
)
from gateway.handshake.freshness import is_due
from gateway.handshake.holder import Holder
from gateway.handshake.initiator import InitiatorSide
from gateway.handshake.noise.symmetric import QKDKey
from gateway.handshake.responder import ResponderSide
from gateway.handshake.session import Session
from gateway.handshake.tunnel import TunnelParameters
from gateway.secret import Secret
from gateway.wire.control import ControlMessage
from gateway.wire.header import (
    DEFAULT_MTU,
    MAX_MTU,
    MIN_MTU,
    Header,
    Type,
    decode_header,
)
from gateway.wire.payloads import Status


class Machine:
    """All tunnels of one gateway, over one UDP port."""

    def __init__(
        self,
        *,
        random: Callable[[int], bytes],
        mtu: int = DEFAULT_MTU,
        remote_of: Callable[[Address], Hashable] = lambda address: address,
        peer_rate: float = limits.PEER_RATE,
    ) -> None:
        """Make a machine without tunnels.

        Args:
            random: Source of randomness: takes a size, returns that many bytes.
            mtu: Largest datagram to send, bytes.
            remote_of: Returns the part of an address that says where the peer is; the
                rest, at an initiator, is ours to change.
            peer_rate: Epochs a second that a tunnel's peer may begin.

        Raises:
            ValueError: `mtu` is below `MIN_MTU` or above `MAX_MTU`.
        """
        if not MIN_MTU <= mtu <= MAX_MTU:
            raise ValueError(f"mtu {mtu} is not within {MIN_MTU} to {MAX_MTU}")
        self._peer_rate = peer_rate
        self._core = Core(random, mtu, remote_of)
        self._initiator = InitiatorSide(self._core)
        self._responder = ResponderSide(self._core)
        self._control = ControlSide(self._core)

    # -- Tunnels

    def add_tunnel(self, parameters: TunnelParameters, *, committed: int = 0) -> None:
        """Know a tunnel from now on.

        Args:
            parameters: What the configuration says.
            committed: The last epoch committed before a restart, 0 for none.

        Raises:
            ValueError: The name is taken, the peer is ourselves, or its suite
                is not that of our identity.
        """
        core, local, peer = self._core, parameters.local, parameters.peer
        if parameters.name in core.tunnels:
            raise ValueError(f"tunnel {parameters.name} is there already")
        if peer.suite_id != local.suite.id:
            raise ValueError("the peer's identity is of another suite")
        if peer.fingerprint == local.public.fingerprint:
            raise ValueError("the peer's identity is our own")
        tunnel = TunnelHandshakes(parameters, committed, self._peer_rate)
        core.tunnels[parameters.name] = tunnel
        identity = core.identities.setdefault(
            local.public.fingerprint, LocalIdentity(local)
        )
        identity.peers.setdefault(peer.fingerprint, {})[parameters.name] = tunnel

    def update_tunnel(self, parameters: TunnelParameters) -> None:
        """Change a tunnel's policy, PSK, interval or plane; its keys stay.

        A handshake under the old terms fails, unless M3 is out already: none may
        complete without a QKD key, say, after `required` was asked for.

        Raises:
            ValueError: It would be another tunnel: identities or role differ.
        """
        tunnel = self._core.tunnels[parameters.name]
        old = tunnel.parameters
        same = (
            old.local is parameters.local
            and old.peer == parameters.peer
            and old.initiator == parameters.initiator
        )
        if not same:
            raise ValueError("identities and role of a tunnel cannot change")
        tunnel.parameters = parameters
        tunnel.terms = parameters.terms()
        if replace(parameters, interval=old.interval) != old:
            self._initiator.abandon(tunnel, "the configuration changed")
            self._responder.abandon(tunnel, "the configuration changed")

    def remove_tunnel(self, name: str) -> None:
        """Forget a tunnel, its handshakes and its keys."""
        core = self._core
        tunnel = core.tunnels.pop(name)
        if tunnel.handshake is not None:
            self._initiator.fail(tunnel.handshake, "aborted", "tunnel removed")
        for handshake in list(tunnel.pending.values()):
            self._responder.fail(handshake, "aborted", "tunnel removed")
        for session in (tunnel.current, tunnel.previous):
            if session is not None:
                core.holders.pop(session.local_id, None)
                session.wipe()
        core.timers.cancel((PING_TIMER, name))
        core.move(tunnel, None)
        parameters = tunnel.parameters
        identity = core.identities[parameters.local.public.fingerprint]
        peers = identity.peers[parameters.peer.fingerprint]
        del peers[name]
        if not peers:
            del identity.peers[parameters.peer.fingerprint]
        if not identity.peers:
            del core.identities[parameters.local.public.fingerprint]

    # -- Input

    def receive_datagram(self, data: bytes, address: Address, *, now: float) -> None:
        """Take in one datagram from the network; never raises."""
        try:
            self._receive(data, address, now=now)
        except ProtocolError as error:
            self._core.drop(error.reason, address)
        except CryptoError:
            self._core.drop("authentication", address)

    def handle_timer(self, *, now: float) -> None:
        """Do what is due: retransmit, give up, ping."""
        core = self._core
        for kind, key in core.timers.pop_due(now):
            if kind == PING_TIMER:
                tunnel = core.tunnels.get(str(key))
                if tunnel is not None:
                    self._control.watch(tunnel, now=now)
                continue
            holder = core.holders.get(key if isinstance(key, bytes) else b"")
            if isinstance(holder, InitiatorHandshake):
                self._initiator.handle_timer(holder, now=now)
            elif isinstance(holder, ResponderHandshake):
                self._responder.expire(holder)

    # -- Output

    def get_timer(self) -> float | None:
        """Return when `handle_timer` is to be called next, or None."""
        return self._core.timers.next()

    def datagrams_to_send(self) -> list[tuple[bytes, Address]]:
        """Return what is to be sent now, and forget it."""
        outgoing, self._core.outgoing = self._core.outgoing, []
        return outgoing + self.replies_to_strangers()

    def replies_to_strangers(self) -> list[tuple[bytes, Address]]:
        """Return what of it anybody may have asked for, and forget that.

        A driver that calls this first sends it so that it cannot hold up the rest: the
        addresses may be made up.
        """
        replies, self._core.replies = self._core.replies, []
        return replies

    def next_event(self) -> Event | None:
        """Return the oldest event that was not yet returned."""
        events = self._core.events
        return events.popleft() if events else None

    def tell_drops(self, *, wanted: bool) -> None:
        """Say whether `DatagramDropped` is wanted; all are counted in any case.

        To make an event of each costs a fifth of what it costs to drop one.
        """
        self._core.tells_drops = wanted

    def dropped(self) -> dict[str, int]:
        """Return how many datagrams were dropped, by reason."""
        return dict(self._core.dropped)

    def committed(self, name: str) -> int:
        """Return the last epoch a tunnel committed, 0 for none."""
        return self._core.tunnels[name].committed

    def qkd_due(self, name: str) -> bool:
        """Whether the next epoch needs a fresh QKD key by this end's `qkd_every`."""
        tunnel = self._core.tunnels[name]
        chain = tunnel.chains[0] if tunnel.chains else None
        return is_due(chain, tunnel.terms.qkd_every)

    def peer_address(self, name: str) -> Address:
        """Return where a tunnel's peer was last heard authentically, or None."""
        return self._core.tunnels[name].address

    def move(self, name: str, address: Address) -> None:
        """Send to a tunnel's peer by another path, until it is heard by another one."""
        self._core.tunnels[name].address = address

    def has_session(self, name: str) -> bool:
        """Whether control messages can be sent to a tunnel's peer."""
        tunnel = self._core.tunnels[name]
        return tunnel.current is not None and tunnel.address is not None

    # -- Initiator

    def start_handshake(
        self,
        name: str,
        *,
        epoch: int,
        key_ids: Sequence[UUID],
        plane_offer: bytes,
        address: Address,
        now: float,
    ) -> HandshakeID:
        """Ask the peer for an epoch.

        Args:
            name: The tunnel.
            epoch: Its number: above every epoch proposed before.
            key_ids: QKD keys to offer, no more than `keys_that_fit`.
            plane_offer: What the peer's data plane must know.
            address: Where the peer is.
            now: Current time, seconds.
        """
        return self._initiator.start(
            self._core.tunnels[name],
            epoch=epoch,
            key_ids=key_ids,
            plane_offer=plane_offer,
            address=address,
            now=now,
        )

    def provide_qkd_key(
        self, handshake: HandshakeID, secret: Secret, *, now: float
    ) -> None:
        """Answer `QKDKeyRequested`: the key is consumed, here it is."""
        holder = self._core.holders.get(handshake)
        if isinstance(holder, InitiatorHandshake):
            self._initiator.provide_key(holder, secret, now=now)

    def refuse_qkd_key(self, handshake: HandshakeID, detail: str) -> None:
        """Answer `QKDKeyRequested`: the key cannot be had; the handshake fails."""
        holder = self._core.holders.get(handshake)
        if isinstance(holder, InitiatorHandshake):
            self._initiator.fail(holder, "qkd", detail)

    def commit(self, handshake: HandshakeID, *, now: float) -> None:
        """Answer `EpochPrepared`: receiving works, send M3."""
        holder = self._core.holders.get(handshake)
        if isinstance(holder, InitiatorHandshake):
            self._initiator.commit(holder, now=now)

    # -- Responder

    def accept_initiation(
        self,
        handshake: HandshakeID,
        *,
        plane_offer: bytes,
        qkd: QKDKey | None = None,
        used: Collection[UUID] = (),
    ) -> None:
        """Answer `InitiationReceived` with a yes.

        Args:
            handshake: From the event.
            plane_offer: What the peer's data plane must know.
            qkd: The key reserved, one of those offered, or None.
            used: Keys offered that this end has used up.
        """
        holder = self._core.holders.get(handshake)
        if isinstance(holder, ResponderHandshake):
            self._responder.accept(holder, plane_offer=plane_offer, qkd=qkd, used=used)

    def refuse_initiation(
        self, handshake: HandshakeID, status: Status, *, used: Collection[UUID] = ()
    ) -> None:
        """Answer `InitiationReceived` with a no."""
        holder = self._core.holders.get(handshake)
        if isinstance(holder, ResponderHandshake):
            self._responder.refuse(holder, status, used=used)

    def confirm(self, handshake: HandshakeID, *, now: float) -> None:
        """Answer `CommitReceived`: the epoch is installed, send M4."""
        holder = self._core.holders.get(handshake)
        if isinstance(holder, ResponderHandshake):
            self._responder.confirm(holder, now=now)

    # -- Both

    def abort(self, handshake: HandshakeID, detail: str) -> None:
        """End a handshake that this end cannot complete."""
        holder = self._core.holders.get(handshake)
        if isinstance(holder, InitiatorHandshake):
            self._initiator.fail(holder, "aborted", detail)
        elif isinstance(holder, ResponderHandshake):
            self._responder.fail(holder, "aborted", detail)

    def send_control(self, name: str, message: ControlMessage) -> bool:
        """Send a control message under the newest epoch.

        False if there is none, or if its key has sealed all that it may: the next
        epoch has another.
        """
        return self._control.send(self._core.tunnels[name], message)

    # -- Inside

    def _receive(self, data: bytes, address: Address, *, now: float) -> None:
        header = decode_header(data)
        if header.type is Type.INITIATION:
            self._responder.receive_initiation(header, data, address, now=now)
            return
        holder = self._core.holders.get(header.session_id)
        if holder is None:
            raise ProtocolError("unknown session")
        self._deliver(holder, header, data, address, now=now)

    def _deliver(
        self,
        holder: Holder,
        header: Header,
        data: bytes,
        address: Address,
        *,
        now: float,
    ) -> None:
        """Hand a datagram to whoever its identifier names; all else is unexpected."""
        match header.type, holder:
            case Type.RESPONSE, InitiatorHandshake():
                self._initiator.receive_response(holder, header, data, address, now=now)
            case Type.COMMIT, ResponderHandshake():
                self._responder.receive_commit(holder, data, address, now=now)
            case Type.COMMIT, Session():
                self._responder.receive_repeated_commit(holder, data, address, now=now)
            case Type.COMMITTED, InitiatorHandshake():
                self._initiator.receive_committed(holder, data, address, now=now)
            case Type.COOKIE_REPLY, InitiatorHandshake():
                self._initiator.receive_cookie(holder, data, now=now)
            case Type.CONTROL, InitiatorHandshake():
                self._initiator.receive_early_control(holder, data, address, now=now)
            case Type.CONTROL, Session():
                self._control.receive(holder, data, address, now=now)
            case _:
                raise ProtocolError("unexpected")
