"""The machine's initiator side: what it sends, waits for and tries again.

A handshake lives ``sent -> (key ->) verified -> committing``. Only the functions
below change its state::

    sent        M1 is out; M2 is awaited
    key         M2's payload verified; the driver fetches the QKD key
    verified    M2 verified whole; the driver prepares receiving
    committing  M3 is out; M4 is awaited
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from gateway.crypto.kdf import MAC_SIZE
from gateway.errors import CryptoError, ProtocolError
from gateway.handshake import limits
from gateway.handshake.attempts import (
    InitiatorHandshake,
    InitiatorState,
    TunnelHandshakes,
)
from gateway.handshake.cookies import NO_MAC, make_mac2
from gateway.handshake.core import Core
from gateway.handshake.events import (
    Address,
    EpochCommitted,
    EpochPrepared,
    HandshakeFailed,
    HandshakeID,
    HandshakeRefused,
    QKDKeyRequested,
)
from gateway.handshake.freshness import qkd_age
from gateway.handshake.noise.initiator import (
    ResponseRead,
    consume_committed,
    consume_response,
    create_commit,
    create_initiation,
    finish_response,
)
from gateway.handshake.noise.symmetric import Chain, QKDKey, SymmetricInputs
from gateway.handshake.pace import commit_timeout, doubt_timeout, max_rto
from gateway.handshake.policy import objection
from gateway.handshake.session import Session
from gateway.secret import Secret
from gateway.wire.fragments import split_message
from gateway.wire.header import (
    HEADER_SIZE,
    INITIATION_OVERHEAD,
    Header,
    Type,
    encode_header,
)
from gateway.wire.payloads import (
    InitiationPayload,
    Status,
    keys_that_fit,
)

RETRY_TIMER: Final = "retry"


class InitiatorSide:
    """Runs the handshakes that this gateway starts."""

    def __init__(self, core: Core) -> None:
        self._core = core

    # -- What the driver calls

    def start(
        self,
        tunnel: TunnelHandshakes,
        *,
        epoch: int,
        key_ids: Sequence[UUID],
        plane_offer: bytes,
        address: Address,
        now: float,
    ) -> HandshakeID:
        """Send M1; whatever handshake was under way is given up.

        Raises:
            ValueError: Too many QKD keys, or one of them twice.
        """
        core = self._core
        offered = tuple(key_ids)
        if offered != keys_that_fit(offered) or len(set(offered)) != len(offered):
            raise ValueError("more QKD keys than fit an offer, or one twice")
        if tunnel.handshake is not None:
            self.fail(tunnel.handshake, "superseded", "a newer handshake was started")
        handshake = InitiatorHandshake(core.new_id(), tunnel, epoch, offered, address)
        parameters = tunnel.parameters
        payload = InitiationPayload(
            tunnel.name,
            epoch,
            tunnel.terms,
            handshake.chain.chain_id if handshake.chain else None,
            offered,
            plane_offer,
        )
        handshake.sent = create_initiation(
            parameters.local,
            parameters.peer,
            tunnel.static_secret,
            payload,
            session_id=handshake.handshake_id,
            random=core.random,
        )
        handshake.bodies = split_message(
            handshake.sent.message, core.mtu - INITIATION_OVERHEAD
        )
        handshake.deadline = now + limits.INITIATION_TIMEOUT
        handshake.rto = self._first_rto(tunnel)
        tunnel.handshake = handshake
        core.holders[handshake.handshake_id] = handshake
        handshake.sent_at = now
        self._transmit(handshake, now=now)
        self._arm(handshake, now=now)
        return handshake.handshake_id

    def provide_key(
        self, handshake: InitiatorHandshake, secret: Secret, *, now: float
    ) -> None:
        """Continue with the QKD key that the responder chose."""
        read = handshake.read
        if handshake.state is not InitiatorState.KEY or read is None:
            return
        key_id = read.payload.key_id
        assert key_id is not None  # noqa: S101  # state KEY is entered with one
        handshake.qkd = QKDKey(key_id, secret)
        self._finish(handshake, read, now=now)

    def commit(self, handshake: InitiatorHandshake, *, now: float) -> None:
        """Send M3: the driver has prepared receiving."""
        if handshake.state is not InitiatorState.VERIFIED:
            return
        keys, read = handshake.keys, handshake.read
        assert keys is not None and read is not None  # noqa: S101, PT018  # VERIFIED
        remote_id = read.payload.session_id
        header = encode_header(Type.COMMIT, remote_id)
        handshake.commit = header + create_commit(keys, header)
        handshake.session = Session(
            handshake.tunnel.name,
            handshake.epoch,
            keys,
            initiator=True,
            local_id=handshake.handshake_id,
            remote_id=remote_id,
        )
        handshake.state = InitiatorState.COMMITTING
        handshake.deadline = now + commit_timeout(handshake.tunnel.parameters.interval)
        handshake.rto = self._first_rto(handshake.tunnel)
        self._core.send(handshake.commit, handshake.address)
        self._arm(handshake, now=now)

    def fail(self, handshake: InitiatorHandshake, reason: str, detail: str) -> None:
        """End a handshake without keys."""
        self._forget(handshake)
        self._core.emit(
            HandshakeFailed(
                handshake.handshake_id, handshake.tunnel.name, reason, detail
            )
        )

    def abandon(self, tunnel: TunnelHandshakes, detail: str) -> None:
        """End what the peer cannot have committed."""
        handshake = tunnel.handshake
        if handshake is not None and handshake.state is not InitiatorState.COMMITTING:
            self.fail(handshake, "aborted", detail)

    # -- What arrives

    def receive_response(
        self,
        handshake: InitiatorHandshake,
        header: Header,
        data: bytes,
        address: Address,
        *,
        now: float,
    ) -> None:
        """Take in one fragment of M2."""
        core, tunnel = self._core, handshake.tunnel
        local = tunnel.parameters.local
        start, mac1 = data[:-MAC_SIZE], data[-MAC_SIZE:]
        identity = core.identities[local.public.fingerprint]
        if not identity.seal.verify_mac1(start, mac1):
            raise ProtocolError("mac1")
        if handshake.state is not InitiatorState.SENT:
            raise ProtocolError("duplicate")
        message = core.responses.add(
            header.session_id, header.index, header.count, start[HEADER_SIZE:], now=now
        )
        if message is None:
            return
        read = consume_response(handshake.sent, local, message)
        core.alive(tunnel, now=now)
        # Of a retransmitted M1 this is an upper bound, which a timer may safely use.
        tunnel.round_trip = now - handshake.sent_at
        handshake.read = read
        handshake.address = core.answered(handshake.address, address)
        handshake.answered = address
        self._judge(handshake, read, now=now)

    def receive_committed(
        self,
        handshake: InitiatorHandshake,
        data: bytes,
        address: Address,
        *,
        now: float,
    ) -> None:
        """Take in M4."""
        if handshake.state is not InitiatorState.COMMITTING or handshake.keys is None:
            raise ProtocolError("unexpected")
        consume_committed(handshake.keys, data[:HEADER_SIZE], data[HEADER_SIZE:])
        self._committed(handshake, address, now=now)

    def receive_early_control(
        self,
        handshake: InitiatorHandshake,
        data: bytes,
        address: Address,
        *,
        now: float,
    ) -> Session:
        """Take a control message under the new epoch's keys as the M4 that was lost.

        Only a responder that has committed can have sealed it. The message itself
        is lost; the sender repeats what matters.
        """
        if (
            handshake.state is not InitiatorState.COMMITTING
            or handshake.session is None
        ):
            raise ProtocolError("unexpected")
        session = handshake.session
        session.open(data)
        self._committed(handshake, address, now=now)
        return session

    def receive_cookie(
        self, handshake: InitiatorHandshake, data: bytes, *, now: float
    ) -> None:
        """Take in a cookie, and send M1 again with it, once."""
        tunnel = handshake.tunnel
        if handshake.state is not InitiatorState.SENT or not handshake.first_mac1:
            raise ProtocolError("unexpected")
        tunnel.cookie = tunnel.seal.open_cookie(data, handshake.first_mac1)
        tunnel.cookie_expires = now + limits.COOKIE_USE
        self._transmit(handshake, now=now)
        handshake.first_mac1 = b""

    def handle_timer(self, handshake: InitiatorHandshake, *, now: float) -> None:
        """Send again, or give up."""
        if now >= handshake.deadline:
            self._give_up(handshake)
            return
        # Grows to the bound, and never shrinks to it from a long round trip.
        bound = max(max_rto(handshake.tunnel.parameters.interval), handshake.rto)
        handshake.rto = min(handshake.rto * limits.RTO_GROWTH, bound)
        if handshake.state is InitiatorState.SENT:
            self._transmit(handshake, now=now)
        elif handshake.state is InitiatorState.COMMITTING:
            self._core.send(handshake.commit, handshake.address)
        self._arm(handshake, now=now)

    # -- Steps

    def _judge(
        self, handshake: InitiatorHandshake, read: ResponseRead, *, now: float
    ) -> None:
        """Act on an authentic answer."""
        payload, tunnel = read.payload, handshake.tunnel
        used = _used(handshake, read)
        if payload.status is not Status.ACCEPTED:
            finish_response(read, SymmetricInputs(None, None, None))
            self._forget(handshake)
            self._core.emit(
                HandshakeRefused(
                    handshake.handshake_id,
                    tunnel.name,
                    payload.status,
                    payload.terms,
                    payload.epoch,
                    used,
                )
            )
            return
        refusal = objection(handshake, payload)
        if refusal:
            self.fail(handshake, "policy", refusal)
        elif payload.key_id is None or handshake.qkd is not None:
            self._finish(handshake, read, now=now)
        else:
            handshake.state = InitiatorState.KEY
            self._core.emit(
                QKDKeyRequested(
                    handshake.handshake_id, tunnel.name, payload.key_id, used
                )
            )

    def _finish(
        self, handshake: InitiatorHandshake, read: ResponseRead, *, now: float
    ) -> None:
        """Verify M2 whole; prepare, or wait for an M2 that nobody tampered with."""
        payload, tunnel = read.payload, handshake.tunnel
        chain = handshake.chain if payload.chained else None
        inputs = SymmetricInputs(tunnel.parameters.psk, chain, handshake.qkd)
        try:
            handshake.keys = finish_response(read, inputs)
        except CryptoError:
            handshake.state = InitiatorState.SENT
            if not handshake.suspicion:
                patience = doubt_timeout(tunnel.round_trip)
                handshake.deadline = min(handshake.deadline, now + patience)
                handshake.rto = self._first_rto(tunnel)
            handshake.suspicion = (
                "the last tag of M2 fails: PSK, or bytes of the QKD key, differ "
                "between the two ends, or somebody tampers on the path"
            )
            self._core.drop("symmetric", handshake.address)
            self._arm(handshake, now=now)
            return
        handshake.state = InitiatorState.VERIFIED
        handshake.qkd_age = qkd_age(chain, fresh=inputs.qkd is not None)
        suite = tunnel.parameters.local.suite
        sources = (suite.ecdh.name, suite.kem.parameters.name, *inputs.sources())
        self._core.emit(
            EpochPrepared(
                handshake.handshake_id,
                tunnel.name,
                handshake.epoch,
                handshake.keys,
                tuple(name.lower() for name in sources),
                payload.key_id,
                handshake.qkd_age,
                payload.plane_offer,
                payload.terms,
                handshake.answered,
                _used(handshake, read),
            )
        )

    def _committed(
        self, handshake: InitiatorHandshake, address: Address, *, now: float
    ) -> None:
        core, tunnel = self._core, handshake.tunnel
        keys, session = handshake.keys, handshake.session
        assert keys is not None and session is not None  # noqa: S101, PT018  # COMMITTING
        self._forget(handshake)
        tunnel.chains = (Chain(keys.chain_id, keys.chain, handshake.qkd_age),)
        core.install_session(tunnel, session, now=now)
        at = core.answered(handshake.address, address)
        installed = core.remote_of(handshake.answered) == core.remote_of(address)
        core.heard(tunnel, at, now=now, keyed=installed)
        core.emit(
            EpochCommitted(
                handshake.handshake_id, tunnel.name, handshake.epoch, address
            )
        )

    def _give_up(self, handshake: InitiatorHandshake) -> None:
        match handshake.state:
            case InitiatorState.COMMITTING:
                reason = "unconfirmed"
                detail = "the peer did not confirm: it stopped, or the path is cut"
            case InitiatorState.KEY | InitiatorState.VERIFIED:
                reason = "expired"
                detail = "this gateway was too slow to fetch or install the keys"
            case _ if handshake.suspicion:
                reason, detail = "symmetric", handshake.suspicion
            case _:
                reason = "timeout"
                detail = (
                    "no answer from the peer: it is down, the path is cut, or it does "
                    "not know our fingerprint, or has another one than we think"
                )
        self.fail(handshake, reason, detail)

    def _transmit(self, handshake: InitiatorHandshake, *, now: float) -> None:
        """Send every fragment of M1, with a cookie if the peer asked for one."""
        tunnel, bodies = handshake.tunnel, handshake.bodies
        cookie = tunnel.cookie if now < tunnel.cookie_expires else b""
        for index, body in enumerate(bodies):
            header = encode_header(
                Type.INITIATION, handshake.handshake_id, index, len(bodies)
            )
            start = header + body
            mac1 = tunnel.seal.mac1(start)
            if index == 0:
                handshake.first_mac1 = mac1
            mac2 = make_mac2(cookie, start + mac1) if cookie else NO_MAC
            self._core.send(start + mac1 + mac2, handshake.address)

    def _first_rto(self, tunnel: TunnelHandshakes) -> float:
        if tunnel.round_trip is None:
            return limits.INITIAL_RTO
        wanted = tunnel.round_trip * limits.RTT_FACTOR
        return min(max(wanted, limits.MIN_RTO), limits.MAX_RTO)

    def _arm(self, handshake: InitiatorHandshake, *, now: float) -> None:
        when = min(now + handshake.rto, max(handshake.deadline, now))
        self._core.timers.set((RETRY_TIMER, handshake.handshake_id), when)

    def _forget(self, handshake: InitiatorHandshake) -> None:
        core = self._core
        core.timers.cancel((RETRY_TIMER, handshake.handshake_id))
        core.holders.pop(handshake.handshake_id, None)
        if handshake.tunnel.handshake is handshake:
            handshake.tunnel.handshake = None


def _used(handshake: InitiatorHandshake, read: ResponseRead) -> tuple[UUID, ...]:
    """Name the keys offered that the responder says it has used up."""
    offered = handshake.offered
    return tuple(offered[i] for i in sorted(read.payload.used) if i < len(offered))
