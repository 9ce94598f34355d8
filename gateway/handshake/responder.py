"""The machine's responder side: never first to speak, and slow to believe.

`states` has the states of a handshake as a table, with the rules above it.
"""

from collections import OrderedDict
from collections.abc import Collection
from typing import Final
from uuid import UUID

from gateway.errors import CryptoError, ProtocolError
from gateway.handshake import limits
from gateway.handshake.admission import Admission, Admitted
from gateway.handshake.attempts import ResponderHandshake, TunnelHandshakes
from gateway.handshake.core import Core
from gateway.handshake.events import (
    Address,
    CommitReceived,
    HandshakeFailed,
    InitiationReceived,
    InitiationRefused,
    UnknownPeer,
)
from gateway.handshake.freshness import aged, is_required, is_wanted, qkd_age
from gateway.handshake.noise.responder import (
    consume_commit,
    consume_identity,
    consume_initiation,
    create_committed,
    create_response,
)
from gateway.handshake.noise.symmetric import NO_INPUTS, Chain, QKDKey, SymmetricInputs
from gateway.handshake.policy import verdict
from gateway.handshake.session import Session
from gateway.handshake.states import ResponderInput, ResponderState, ResponderStep
from gateway.wire.fragments import number_fragments, split_message
from gateway.wire.header import (
    HEADER_SIZE,
    RESPONSE_OVERHEAD,
    Header,
    Type,
    encode_header,
)
from gateway.wire.payloads import Policy, ResponsePayload, Status

HALF_OPEN_TIMER: Final = "half-open"
_NO_OFFER: Final = b"\0"
_NEVER: Final = object()


class ResponderSide:
    """Runs the handshakes that peers start."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._admission = Admission(core)
        self._remembered: OrderedDict[bytes, ResponderHandshake | None] = OrderedDict()

    # -- What the driver calls

    def accept(
        self,
        handshake: ResponderHandshake,
        *,
        plane_offer: bytes,
        qkd: QKDKey | None,
        used: Collection[UUID],
    ) -> None:
        """Send M2 with a yes, unless the policy of either end forbids it.

        Raises:
            ValueError: A QKD key that was not offered, or one under policy ``off``.
        """
        if not handshake.takes(ResponderInput.YES):
            return
        request, tunnel = handshake.read.payload, handshake.tunnel
        ours, theirs = tunnel.terms, request.terms
        if qkd is not None and (
            qkd.key_id not in request.key_ids or ours.policy is Policy.OFF
        ):
            raise ValueError("this QKD key was not asked for")
        chain = _matching_chain(tunnel, request.chain_id)
        if qkd is None and is_required(ours, theirs, chain):
            self.refuse(handshake, Status.QKD_UNAVAILABLE, used=used)
            return
        handshake.chain = chain
        handshake.qkd_age = qkd_age(chain, fresh=qkd is not None)
        inputs = SymmetricInputs(tunnel.parameters.psk, handshake.chain, qkd)
        handshake.qkd = qkd.key_id if qkd else None
        handshake.sources = tunnel.sources(inputs)
        if self._respond(handshake, Status.ACCEPTED, plane_offer, inputs, used):
            handshake.move(ResponderStep.ANSWER)

    def refuse(
        self,
        handshake: ResponderHandshake,
        status: Status,
        *,
        used: Collection[UUID] = (),
    ) -> None:
        """Send M2 with a no."""
        if not handshake.takes(ResponderInput.NO):
            return
        if not self._respond(handshake, status, _NO_OFFER, NO_INPUTS, used):
            return
        self._make_room(handshake.tunnel, ResponderState.REFUSED)
        handshake.move(ResponderStep.REFUSE)
        handshake.keys = None
        tunnel, request = handshake.tunnel, handshake.read.payload
        self._core.emit(
            InitiationRefused(
                request.tunnel,
                tunnel.parameters.peer.fingerprint,
                status,
                request.terms,
                status is not Status.UNKNOWN_TUNNEL,
            )
        )

    def confirm(self, handshake: ResponderHandshake, *, now: float) -> None:
        """Send M4: keys are consumed, installed and used for sending."""
        core, tunnel, keys = self._core, handshake.tunnel, handshake.keys
        if not handshake.takes(ResponderInput.INSTALLED) or keys is None:
            return
        session = Session(
            tunnel.name,
            handshake.read.payload.epoch,
            keys,
            initiator=False,
            local_id=handshake.handshake_id,
            remote_id=handshake.remote_id,
        )
        header = encode_header(Type.COMMITTED, handshake.remote_id)
        session.commit = handshake.commit
        session.confirmation = header + create_committed(keys, header)
        # The chain that this epoch mixed is the last that both ends surely hold: it
        # is kept beside the new one until the initiator shows that it has M4.
        kept = handshake.chain or (tunnel.chains[0] if tunnel.chains else None)
        newest = Chain(keys.chain_id, keys.chain, handshake.qkd_age)
        tunnel.chains = (newest,) if kept is None else (newest, aged(kept))
        handshake.move(ResponderStep.CONFIRM)
        self._forget(handshake)
        for other in list(tunnel.pending.values()):
            self.fail(other, "superseded", "a newer epoch was committed")
        core.install_session(tunnel, session, now=now)
        core.heard(tunnel, handshake.commit_address, now=now, keyed=True)
        core.send(session.confirmation, handshake.commit_address)

    def fail(self, handshake: ResponderHandshake, reason: str, detail: str) -> None:
        """End a handshake without keys, and without a word to the peer."""
        was_refused = handshake.state is ResponderState.REFUSED
        handshake.move(ResponderStep.END)
        self._forget(handshake)
        if not was_refused:
            self._core.emit(
                HandshakeFailed(
                    handshake.handshake_id, handshake.tunnel.name, reason, detail
                )
            )

    def expire(self, handshake: ResponderHandshake) -> None:
        """End a handshake whose time is over."""
        if handshake.state is ResponderState.COMMITTING:
            self.fail(handshake, "expired", "this gateway was too slow to install keys")
        else:
            self.fail(handshake, "expired", "the peer sent no M3")

    def abandon(self, tunnel: TunnelHandshakes, detail: str) -> None:
        """End every handshake that has no M3 yet."""
        for handshake in list(tunnel.pending.values()):
            if handshake.state is not ResponderState.COMMITTING:
                self.fail(handshake, "aborted", detail)

    # -- What arrives

    def receive_initiation(
        self, header: Header, data: bytes, address: Address, *, now: float
    ) -> None:
        """Take in one fragment of M1."""
        known = self._remembered.get(header.session_id, _NEVER)
        if known is None:
            raise ProtocolError("replayed")  # before it costs a hash
        admitted = self._admission.admit(header, data, address, now=now)
        if admitted is None:
            return
        if isinstance(known, ResponderHandshake):
            self._repeat(known, admitted, address, now=now)
            return
        self._admission.count(now=now)
        self._read(admitted, address, now=now)

    def receive_commit(
        self,
        handshake: ResponderHandshake,
        data: bytes,
        address: Address,
        *,
        now: float,
    ) -> None:
        """Take in M3."""
        if handshake.state is ResponderState.COMMITTING:
            raise ProtocolError("duplicate")
        if not handshake.takes(ResponderInput.COMMIT) or handshake.keys is None:
            raise ProtocolError("unexpected")
        consume_commit(handshake.keys, data[:HEADER_SIZE], data[HEADER_SIZE:])
        tunnel, payload = handshake.tunnel, handshake.read.payload
        if payload.epoch <= tunnel.committed:
            raise ProtocolError("stale")
        handshake.move(ResponderStep.COMMIT)
        handshake.commit = data
        handshake.commit_address = address
        # A driver that never answers must not keep the handshake for ever.
        self._core.timers.set(
            (HALF_OPEN_TIMER, handshake.handshake_id), now + limits.HALF_OPEN_TIMEOUT
        )
        self._core.emit(
            CommitReceived(
                handshake.handshake_id,
                tunnel.name,
                payload.epoch,
                handshake.keys,
                handshake.sources,
                handshake.qkd,
                handshake.qkd_age,
                payload.plane_offer,
                payload.terms,
                address,
            )
        )

    def receive_repeated_commit(
        self, session: Session, data: bytes, address: Address, *, now: float
    ) -> None:
        """Answer an M3 that was answered before: M4 may have been lost."""
        if not session.commit or data != session.commit:
            raise ProtocolError("unexpected")
        if session.confirmed >= limits.MAX_ANSWERS:
            raise ProtocolError("replayed")
        session.confirmed += 1
        self._core.reply(session.confirmation, address, now=now)

    # -- Steps

    def _repeat(
        self,
        handshake: ResponderHandshake,
        admitted: Admitted,
        address: Address,
        *,
        now: float,
    ) -> None:
        """Answer a repeated M1 as before, if it is the same one."""
        is_same = admitted.digest == handshake.digest
        if not is_same or handshake.answers >= limits.MAX_ANSWERS:
            raise ProtocolError("replayed")
        handshake.answers += 1
        for datagram in handshake.response:
            self._core.reply(datagram, address, now=now)

    def _read(self, admitted: Admitted, address: Address, *, now: float) -> None:
        """Read a whole M1 and ask the driver, or refuse."""
        core, local, remote_id = self._core, admitted.local, admitted.session_id
        identity = consume_identity(local.private, remote_id, admitted.message)
        tunnels = local.peers.get(identity.fingerprint)
        if not tunnels:
            core.report(UnknownPeer(identity.fingerprint, address))
            if admitted.validated:
                core.pause(address, until=now + limits.UNKNOWN_PAUSE)
            raise ProtocolError("unknown peer")
        # Every tunnel with this peer has the same keys; any serves to read who asks.
        some = next(iter(tunnels.values()))
        read = consume_initiation(identity, some.parameters.peer, some.static_secret)
        tunnel = tunnels.get(read.payload.tunnel)
        status = verdict(tunnel or some, read, known=tunnel is not None)
        self._admission.bound(tunnel or some, status, admitted, address, now=now)
        handshake = ResponderHandshake(
            core.new_id(),
            remote_id=remote_id,
            tunnel=tunnel or some,
            read=read,
            address=address,
            digest=admitted.digest,
        )
        self._remember(handshake)
        if status is not Status.ACCEPTED:
            self._admit(handshake, now=now)
            self.refuse(handshake, status)
            return
        self._make_room(handshake.tunnel, ResponderState.ASKED, ResponderState.ANSWERED)
        self._admit(handshake, now=now)
        request = read.payload
        chain = _matching_chain(handshake.tunnel, request.chain_id)
        core.emit(
            InitiationReceived(
                handshake.handshake_id,
                handshake.tunnel.name,
                request,
                address,
                is_wanted(handshake.tunnel.terms, request.terms, chain),
            )
        )

    def _make_room(self, tunnel: TunnelHandshakes, *rivals: ResponderState) -> None:
        """Give up the oldest handshake in one of these states, if they are many.

        Those refused have places of their own: an old M1 replayed, which its epoch
        refuses, must not push out one that waits for its M3.
        """
        waiting = [other for other in tunnel.pending.values() if other.state in rivals]
        if len(waiting) >= limits.MAX_HALF_OPEN:
            self.fail(waiting[0], "superseded", "newer initiations arrived")

    def _admit(self, handshake: ResponderHandshake, *, now: float) -> None:
        """Make the handshake one of the tunnel's few pending ones."""
        core, pending = self._core, handshake.tunnel.pending
        pending[handshake.handshake_id] = handshake
        core.holders[handshake.handshake_id] = handshake
        core.timers.set(
            (HALF_OPEN_TIMER, handshake.handshake_id), now + limits.HALF_OPEN_TIMEOUT
        )

    def _respond(
        self,
        handshake: ResponderHandshake,
        status: Status,
        plane_offer: bytes,
        inputs: SymmetricInputs,
        used: Collection[UUID],
    ) -> bool:
        """Send M2; False, and the end of the handshake, where M1 allows none."""
        core, tunnel, read = self._core, handshake.tunnel, handshake.read
        payload = ResponsePayload(
            status=status,
            session_id=handshake.handshake_id,
            epoch=tunnel.committed,
            terms=tunnel.terms,
            chained=inputs.chain is not None,
            key_id=inputs.qkd.key_id if inputs.qkd else None,
            used=frozenset(
                position
                for position, key_id in enumerate(read.payload.key_ids)
                if key_id in used
            ),
            plane_offer=plane_offer,
        )
        suite = tunnel.parameters.local.suite
        try:
            message, handshake.keys = create_response(
                read, suite, payload, inputs, core.random
            )
        except CryptoError:
            # The peer's ephemeral KEM key is not one (FIPS 203, 7.2). The driver is
            # who called, and must not see a peer's fault as an exception.
            core.drop("ephemeral", handshake.address)
            self.fail(handshake, "aborted", "the ephemeral KEM key in M1 is invalid")
            return False
        bodies = split_message(message, core.mtu - RESPONSE_OVERHEAD)
        for start in number_fragments(Type.RESPONSE, handshake.remote_id, bodies):
            datagram = start + tunnel.seal.mac1(start)
            handshake.response.append(datagram)
            core.send(datagram, handshake.address)
        return True

    def _remember(self, handshake: ResponderHandshake) -> None:
        self._remembered[handshake.remote_id] = handshake
        if len(self._remembered) > limits.REMEMBERED_INITIATIONS:
            self._remembered.popitem(last=False)

    def _forget(self, handshake: ResponderHandshake) -> None:
        core = self._core
        core.timers.cancel((HALF_OPEN_TIMER, handshake.handshake_id))
        core.holders.pop(handshake.handshake_id, None)
        handshake.tunnel.pending.pop(handshake.handshake_id, None)
        # That M1 came is remembered; what it said, and what followed from it, is not.
        if handshake.remote_id in self._remembered:
            self._remembered[handshake.remote_id] = None


def _matching_chain(tunnel: TunnelHandshakes, chain_id: bytes | None) -> Chain | None:
    """Return the chain secret that both ends hold, if any."""
    for chain in tunnel.chains:
        if chain.chain_id == chain_id:
            return chain
    return None
