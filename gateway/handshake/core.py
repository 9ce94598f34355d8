"""Common ground of the machine's two sides: tunnels, timers, datagrams to send."""

from collections import Counter, deque
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Final

from gateway.crypto.identity import PrivateIdentity
from gateway.handshake import limits
from gateway.handshake.attempts import TunnelHandshakes
from gateway.handshake.cookies import Seal
from gateway.handshake.events import (
    Address,
    DatagramDropped,
    Event,
    HandshakeID,
    PeerMoved,
)
from gateway.handshake.pace import ping_interval
from gateway.handshake.session import Session
from gateway.handshake.timers import TimerQueue
from gateway.wire.fragments import Reassembler
from gateway.wire.header import ID_SIZE

if TYPE_CHECKING:
    from gateway.handshake.holder import Holder

PING_TIMER: Final = "ping"
TimerKey = tuple[str, bytes | str]
"""(what for, which): a handshake's identifier or a tunnel's name."""


class LocalIdentity:
    """One of this gateway's identities, with what datagrams to it must show."""

    __slots__ = ("peers", "private", "seal")

    def __init__(self, private: PrivateIdentity) -> None:
        self.private = private
        self.seal = Seal(private.public)
        self.peers: dict[bytes, dict[str, TunnelHandshakes]] = {}
        """Tunnels by the peer's fingerprint, then by name."""


class Core:
    """Shared state of the machine; no logic of either role."""

    def __init__(
        self,
        random: Callable[[int], bytes],
        mtu: int,
        remote_of: Callable[[Address], Hashable],
    ) -> None:
        self.random = random
        self.mtu = mtu
        self.remote_of = remote_of
        self.identities: dict[bytes, LocalIdentity] = {}
        self.tunnels: dict[str, TunnelHandshakes] = {}
        self.holders: dict[HandshakeID, Holder] = {}
        self.timers: TimerQueue[TimerKey] = TimerQueue()
        self.initiations = Reassembler()
        self.responses = Reassembler()
        """Apart, so that a flood of initiations cannot push our responses out."""
        self.dropped: Counter[str] = Counter()
        self.tells_drops = True
        self.outgoing: list[tuple[bytes, Address]] = []
        self.replies: list[tuple[bytes, Address]] = []
        """To whoever asked, authentically or not, from where no peer is alive."""
        self._residents: dict[Hashable, TunnelHandshakes] = {}
        """Tunnels by where their peers were last heard."""
        self._paused: dict[Hashable, float] = {}
        self.events: deque[Event] = deque()

    def new_id(self) -> HandshakeID:
        """Return an identifier that nothing here has."""
        while (candidate := self.random(ID_SIZE)) in self.holders:
            pass
        return candidate

    def send(self, data: bytes, address: Address) -> None:
        """Queue a datagram."""
        self.outgoing.append((data, address))

    def reply(self, data: bytes, address: Address, *, now: float) -> None:
        """Queue a datagram that answers one which anybody may have sent."""
        alive = self.resident(address, now=now) is not None
        (self.outgoing if alive else self.replies).append((data, address))

    def resident(self, address: Address, *, now: float) -> TunnelHandshakes | None:
        """Return a tunnel whose peer is alive at this address, or None."""
        tunnel = self._residents.get(self.remote_of(address))
        if tunnel is None or now - tunnel.heard > limits.ALIVE:
            return None
        return tunnel

    def pause(self, address: Address, *, until: float) -> None:
        """Read no initiation from an address for a while."""
        remote = self.remote_of(address)
        self._paused.pop(remote, None)
        self._paused[remote] = until
        while len(self._paused) > limits.MAX_PAUSED:
            del self._paused[next(iter(self._paused))]

    def is_paused(self, address: Address, *, now: float) -> bool:
        """Whether no initiation is read from an address."""
        if not self._paused:
            return False
        remote = self.remote_of(address)
        until = self._paused.get(remote)
        if until is None:
            return False
        if now >= until:
            del self._paused[remote]
        return now < until

    def move(self, tunnel: TunnelHandshakes, address: Address) -> None:
        """Note where a tunnel's peer is; None for nowhere."""
        old = self.remote_of(tunnel.address)
        if self._residents.get(old) is tunnel:
            del self._residents[old]
        tunnel.address = address
        if address is not None:
            self._residents[self.remote_of(address)] = tunnel

    def emit(self, event: Event) -> None:
        """Queue an event."""
        self.events.append(event)

    def drop(self, reason: str, address: Address) -> None:
        """Count a dropped datagram; report it while the driver keeps up."""
        self.dropped[reason] += 1
        if self.tells_drops:
            self.report(DatagramDropped(reason, address))

    def report(self, event: Event) -> None:
        """Queue an event that strangers can cause, while the driver keeps up."""
        if len(self.events) < limits.MAX_PENDING_EVENTS:
            self.emit(event)

    def answered(self, called: Address, address: Address) -> Address:
        """Return where an initiator goes on sending.

        As it called, unless somebody answered from elsewhere: which of its own
        addresses it is seen at may change with its routes, and is no matter of keys.
        """
        if called == address or self.remote_of(called) != self.remote_of(address):
            return address
        return called

    def heard(
        self,
        tunnel: TunnelHandshakes,
        address: Address,
        *,
        now: float,
        keyed: bool = False,
    ) -> None:
        """Note an authentic message that is the newest from this peer.

        Args:
            tunnel: The tunnel.
            address: Where it came from.
            now: Current time, seconds.
            keyed: Whether it commits an epoch.
        """
        known = tunnel.address
        is_free = known is None or keyed
        if known != address and (is_free or tunnel.paces.moves.take(now=now)):
            self.move(tunnel, address)
            initiator = tunnel.parameters.initiator
            if known is not None and not (
                initiator and self.remote_of(known) == self.remote_of(address)
            ):
                self.emit(PeerMoved(tunnel.name, address, keyed))
        self.alive(tunnel, now=now)

    def alive(self, tunnel: TunnelHandshakes, *, now: float) -> None:
        """Note any authentic message."""
        tunnel.heard = now
        tunnel.pings = 0
        tunnel.silent = False

    def install_session(
        self, tunnel: TunnelHandshakes, session: Session, *, now: float
    ) -> None:
        """Make a session the current one, and forget the one before the last."""
        if tunnel.previous is not None:
            self.holders.pop(tunnel.previous.local_id, None)
            tunnel.previous.wipe()
        tunnel.previous = tunnel.current
        tunnel.current = session
        tunnel.shown = None
        tunnel.committed = session.epoch
        self.holders[session.local_id] = session
        parameters = tunnel.parameters
        wait = limits.SILENCE
        if parameters.initiator:
            wait = ping_interval(parameters.interval)
        self.timers.set((PING_TIMER, tunnel.name), now + wait)
