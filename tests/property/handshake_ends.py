"""One end of a real handshake, brought into any state, and given any input."""

from gateway.crypto.kdf import MAC_SIZE
from gateway.handshake.attempts import InitiatorHandshake, ResponderHandshake
from gateway.handshake.events import InitiationReceived
from gateway.handshake.noise.symmetric import QKDKey
from gateway.handshake.states import (
    InitiatorInput,
    InitiatorState,
    ResponderInput,
    ResponderState,
)
from gateway.secret import Secret
from gateway.wire.control import Ping
from gateway.wire.header import (
    CONFIRMATION_SIZE,
    CONTROL_OVERHEAD,
    COOKIE_SALT_SIZE,
    COOKIE_SIZE,
    HEADER_SIZE,
    Type,
    encode_header,
)
from gateway.wire.payloads import Status
from tests.unit.handshake.pair import TUNNEL, End, Pair, key_id, kind_of


def forged(kind: Type, session_id: bytes) -> bytes:
    """Return a datagram that only its state could let in: its tag is zeros."""
    least = CONTROL_OVERHEAD + 1 if kind is Type.CONTROL else CONFIRMATION_SIZE
    return encode_header(kind, session_id) + bytes(least - HEADER_SIZE)


class InitiatorEnd:
    """An initiator whose driver does nothing by itself, and a willing responder.

    Attributes:
        pair: Both.
        handshake: The one under way.
    """

    def __init__(self, state: InitiatorState = InitiatorState.SENT) -> None:
        self.pair = Pair(keys=4)
        self.pair.a.driven = False
        self._secret = Secret(self.pair.a.stock[key_id(1)])
        identifier = self.pair.start()
        handshake = self.pair.a.machine._core.holders[identifier]
        assert isinstance(handshake, InitiatorHandshake)
        self.handshake = handshake
        self._kept: dict[Type, list[bytes]] = {}
        self._carry()
        self._mac1 = handshake.first_mac1
        for what in _WAY[state]:
            self.give(what)
        if state is InitiatorState.ENDED:
            self.pair.a.machine.abort(identifier, "test")
        assert handshake.state is state
        self.pair.a.drive(self.pair.now)
        self.pair.a.log.clear()

    def give(self, what: InitiatorInput) -> None:
        """Give it an input: a real one, or where there is none yet, a forged one."""
        machine, identifier = self.pair.a.machine, self.handshake.handshake_id
        match what:
            case InitiatorInput.RESPONSE:
                self._deliver(Type.RESPONSE)
            case InitiatorInput.COOKIE:
                self.pair.deliver(self.pair.a, [self._cookie()])
            case InitiatorInput.KEY:
                machine.provide_qkd_key(identifier, self._secret, now=self.pair.now)
            case InitiatorInput.PREPARED:
                machine.commit(identifier, now=self.pair.now)
            case InitiatorInput.CONFIRMATION:
                self._deliver(Type.COMMITTED)
            case InitiatorInput.CONTROL:
                self._deliver(Type.CONTROL)
        self._carry()

    def _deliver(self, kind: Type) -> None:
        datagrams = self._kept.get(kind) or [forged(kind, self.handshake.handshake_id)]
        self.pair.deliver(self.pair.a, datagrams)

    def _carry(self) -> None:
        """Carry what it sends to the responder, and keep what that answers."""
        self.pair.deliver(self.pair.b, self.pair.sent(self.pair.a))
        if self.pair.b.committed and Type.CONTROL not in self._kept:
            self.pair.b.machine.send_control(TUNNEL, Ping(1))
        for datagram in self.pair.sent(self.pair.b):
            self._kept.setdefault(kind_of(datagram), []).append(datagram)

    def _cookie(self) -> bytes:
        """Return a cookie reply to M1, as a responder under load gives it."""
        fingerprint = self.pair.london.public.fingerprint
        seal = self.pair.b.machine._core.identities[fingerprint].seal
        assert len(self._mac1) == MAC_SIZE
        cookie, salt = bytes(COOKIE_SIZE), bytes(COOKIE_SALT_SIZE)
        return seal.seal_cookie(self.handshake.handshake_id, self._mac1, cookie, salt)


_WAY: dict[InitiatorState, tuple[InitiatorInput, ...]] = {
    InitiatorState.SENT: (),
    InitiatorState.KEY: (InitiatorInput.RESPONSE,),
    InitiatorState.ENDED: (),
}
_WAY[InitiatorState.VERIFIED] = (*_WAY[InitiatorState.KEY], InitiatorInput.KEY)
_WAY[InitiatorState.COMMITTING] = (
    *_WAY[InitiatorState.VERIFIED],
    InitiatorInput.PREPARED,
)
_WAY[InitiatorState.COMMITTED] = (
    *_WAY[InitiatorState.COMMITTING],
    InitiatorInput.CONFIRMATION,
)


class ResponderEnd:
    """A responder whose driver does nothing by itself, and a willing initiator.

    Attributes:
        pair: Both.
        handshake: The one under way.
    """

    def __init__(self, state: ResponderState = ResponderState.ASKED) -> None:
        self.pair = Pair(keys=4)
        self.pair.b.driven = False
        self.pair.start()
        self._commit: list[bytes] = []
        self._carry()
        (asked,) = self.pair.b.events(InitiationReceived)
        assert isinstance(asked, InitiationReceived)
        handshake = self.pair.b.machine._core.holders[asked.handshake]
        assert isinstance(handshake, ResponderHandshake)
        self.handshake = handshake
        for what in _ANSWERS[state]:
            self.give(what)
        if state is ResponderState.ENDED:
            self.pair.b.machine.abort(handshake.handshake_id, "test")
        assert handshake.state is state
        self.pair.b.drive(self.pair.now)
        self.pair.b.log.clear()

    def give(self, what: ResponderInput) -> None:
        """Give it an input: a real one, or where there is none yet, a forged one."""
        end, identifier = self.pair.b, self.handshake.handshake_id
        match what:
            case ResponderInput.YES:
                key = QKDKey(key_id(1), Secret(end.stock[key_id(1)]))
                end.machine.accept_initiation(identifier, plane_offer=b"b", qkd=key)
            case ResponderInput.NO:
                end.machine.refuse_initiation(identifier, Status.QKD_UNAVAILABLE)
            case ResponderInput.COMMIT:
                datagrams = self._commit or [forged(Type.COMMIT, identifier)]
                self.pair.deliver(end, datagrams)
            case ResponderInput.INSTALLED:
                end.machine.confirm(identifier, now=self.pair.now)
        self._carry()

    def _carry(self) -> None:
        """Carry what it sends to the initiator, and keep M3."""
        end: End = self.pair.a
        self.pair.deliver(end, self.pair.sent(self.pair.b))
        for datagram in self.pair.sent(end):
            if kind_of(datagram) is Type.COMMIT:
                self._commit.append(datagram)
            else:
                self.pair.deliver(self.pair.b, [datagram])


_ANSWERS: dict[ResponderState, tuple[ResponderInput, ...]] = {
    ResponderState.ASKED: (),
    ResponderState.ANSWERED: (ResponderInput.YES,),
    ResponderState.REFUSED: (ResponderInput.NO,),
    ResponderState.ENDED: (),
}
_ANSWERS[ResponderState.COMMITTING] = (
    *_ANSWERS[ResponderState.ANSWERED],
    ResponderInput.COMMIT,
)
_ANSWERS[ResponderState.COMMITTED] = (
    *_ANSWERS[ResponderState.COMMITTING],
    ResponderInput.INSTALLED,
)
