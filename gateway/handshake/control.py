"""The machine's part after a handshake: control messages, pings, silence."""

from gateway.errors import ProtocolError
from gateway.handshake import limits
from gateway.handshake.attempts import TunnelHandshakes
from gateway.handshake.core import PING_TIMER, Core
from gateway.handshake.events import Address, ControlReceived, PeerDoubled, PeerSilent
from gateway.handshake.pace import double_grace, ping_interval, ping_retry
from gateway.handshake.session import Session
from gateway.wire.control import ControlMessage, Ping, Pong


class ControlSide:
    """Speaks with peers under the keys of committed epochs."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def send(self, tunnel: TunnelHandshakes, message: ControlMessage) -> bool:
        """Send a message under the newest epoch.

        False if there is none, or if its key has sealed all that it may.
        """
        if tunnel.current is None or tunnel.address is None:
            return False
        try:
            datagram = tunnel.current.seal(message)
        except ProtocolError:
            return False
        self._core.send(datagram, tunnel.address)
        return True

    def receive(
        self, session: Session, data: bytes, address: Address, *, now: float
    ) -> None:
        """Take in a control message.

        Raises:
            CryptoError: It is not from the peer.
            ProtocolError: It is malformed, or comes too often.
        """
        message, newest = session.open(data)
        tunnel = self._core.tunnels[session.tunnel]
        if newest and session is tunnel.current:
            at = address
            if tunnel.parameters.initiator:
                at = self._core.answered(tunnel.address, address)
            self._core.heard(tunnel, at, now=now)
            if not tunnel.parameters.initiator and not session.shown:
                session.shown = True
                tunnel.shown = now
            if not tunnel.parameters.initiator and len(tunnel.chains) > 1:
                # The initiator speaks under the new keys: it has them, and with
                # them the new chain secret. The old one is of no use any more.
                tunnel.chains = tunnel.chains[:1]
        else:
            self._core.alive(tunnel, now=now)
            if newest and session is tunnel.previous:
                self._suspect(tunnel, address, now=now)
        if not tunnel.paces.said.take(now=now):
            raise ProtocolError("pace")
        match message:
            case Ping(number):
                self._core.send(session.seal(Pong(number)), address)
            case Pong() | None:
                pass
            case _:
                self._core.emit(ControlReceived(tunnel.name, session.epoch, message))

    def _suspect(self, tunnel: TunnelHandshakes, other: Address, *, now: float) -> None:
        """Report who speaks under a session that its maker has replaced; once each."""
        core, address = self._core, tunnel.address
        grace = double_grace(tunnel.parameters.interval)
        late = tunnel.shown is not None and now - tunnel.shown > grace
        if late and core.remote_of(address) != core.remote_of(other):
            tunnel.shown = None
            core.emit(PeerDoubled(tunnel.name, address, other))

    def watch(self, tunnel: TunnelHandshakes, *, now: float) -> None:
        """Ping a quiet peer; report one that stays quiet."""
        initiator = tunnel.parameters.initiator
        interval = tunnel.parameters.interval
        patience = ping_interval(interval) if initiator else limits.SILENCE
        due = tunnel.heard + patience
        key = (PING_TIMER, tunnel.name)
        if now < due:
            self._core.timers.set(key, due)
            return
        exhausted = tunnel.pings >= limits.PING_ATTEMPTS or not initiator
        if exhausted and not tunnel.silent:
            tunnel.silent = True
            self._core.emit(PeerSilent(tunnel.name))
        # A responder tells where it is, should it have moved; a peer that is gone is
        # not told for ever.
        if initiator or tunnel.pings < limits.PING_ATTEMPTS:
            tunnel.pings += 1
            self.send(tunnel, Ping(tunnel.pings))
        wait = limits.PING_INTERVAL if exhausted else ping_retry(interval)
        self._core.timers.set(key, now + wait)
