"""Two real machines, joined by whatever the test wants between them."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cache
from typing import Final
from uuid import UUID

from gateway.crypto.identity import PrivateIdentity
from gateway.crypto.kdf import expand
from gateway.crypto.suite import load_suite
from gateway.handshake.events import (
    Address,
    CommitReceived,
    EpochCommitted,
    EpochPrepared,
    Event,
    InitiationReceived,
    QKDKeyRequested,
)
from gateway.handshake.machine import Machine
from gateway.handshake.noise.keys import EpochKeys
from gateway.handshake.noise.symmetric import QKDKey
from gateway.handshake.tunnel import TunnelParameters
from gateway.secret import Secret
from gateway.wire.header import DEFAULT_MTU, Type
from gateway.wire.payloads import PlaneKind, Policy

INITIATOR_ADDRESS: Final = ("192.0.2.1", 51810)
RESPONDER_ADDRESS: Final = ("198.51.100.2", 51810)
STRANGER: Final = ("203.0.113.66", 4500)
TUNNEL: Final = "paris"


def seeded_random(seed: str) -> Callable[[int], bytes]:
    """Return a deterministic source of randomness."""
    drawn = 0
    key = seed.encode().ljust(48, b"\0")

    def draw(size: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return expand(key, drawn.to_bytes(8), size)

    return draw


@cache
def identity(who: str, suite_id: int = 1, provider: str = "openssl") -> PrivateIdentity:
    """Return the same identity for the same name."""
    suite = load_suite(suite_id, provider)
    draw = seeded_random(f"identity of {who}")
    return PrivateIdentity(suite, Secret(draw(suite.ecdh.seed_size)), Secret(draw(64)))


def parameters(
    local: PrivateIdentity,
    peer: PrivateIdentity,
    *,
    initiator: bool,
    name: str = TUNNEL,
    policy: Policy = Policy.OFF,
    plane: PlaneKind = PlaneKind.ESP,
    encap: bool = False,
    psk: bytes | None = None,
    qkd_every: int = 1,
) -> TunnelParameters:
    """Return a tunnel's parameters with the usual defaults."""
    secret = None if psk is None else Secret(psk)
    return TunnelParameters(
        name,
        local,
        peer.public,
        initiator,
        policy,
        plane,
        encap,
        secret,
        120.0,
        qkd_every,
    )


def key_id(number: int) -> UUID:
    """Return the n-th QKD key_ID of the tests."""
    return UUID(int=0xC0FFEE << 96 | number)


def remote_of(address: Address) -> Hashable:
    """Return the peer's part of an address: the tests' may end with one of ours."""
    return address[:2] if isinstance(address, tuple) else address


@dataclass
class Epoch:
    """What one end knows of one epoch."""

    keys: EpochKeys
    sources: tuple[str, ...]
    key_id: UUID | None
    qkd_age: int | None


@dataclass
class End:
    """One machine with a plain driver: says yes to everything it can say yes to."""

    machine: Machine
    address: Address
    stock: dict[UUID, bytes] = field(default_factory=dict)
    consumed: list[UUID] = field(default_factory=list)
    used: set[UUID] = field(default_factory=set)
    prepared: dict[bytes, tuple[int, Epoch]] = field(default_factory=dict)
    committed: dict[int, Epoch] = field(default_factory=dict)
    log: list[Event] = field(default_factory=list)
    driven: bool = True
    """Whether events are answered; else they only go to the log."""

    def drive(self, now: float) -> bool:
        """Answer every event; return whether there was any."""
        moved = False
        while (event := self.machine.next_event()) is not None:
            moved = True
            self.log.append(event)
            if self.driven:
                self.answer(event, now)
        return moved

    def answer(self, event: Event, now: float) -> None:
        """Answer one event as a willing driver does."""
        machine = self.machine
        match event:
            case InitiationReceived(handshake, _, request, _):
                wanted = request.key_ids if event.qkd_wanted else ()
                at_hand = [i for i in wanted if i in self.stock]
                key = (
                    QKDKey(at_hand[0], Secret(self.stock[at_hand[0]]))
                    if at_hand
                    else None
                )
                machine.accept_initiation(
                    handshake, plane_offer=b"responder", qkd=key, used=self.used
                )
            case QKDKeyRequested(handshake, _, wanted, _):
                secret = self.stock.pop(wanted, None)
                if secret is None:
                    machine.refuse_qkd_key(handshake, "not in stock")
                else:
                    self.consumed.append(wanted)
                    machine.provide_qkd_key(handshake, Secret(secret), now=now)
            case EpochPrepared():
                self.prepared[event.handshake] = (
                    event.epoch,
                    Epoch(event.keys, event.sources, event.key_id, event.qkd_age),
                )
                machine.commit(event.handshake, now=now)
            case CommitReceived():
                if event.key_id is not None:
                    if self.stock.pop(event.key_id, None) is None:
                        machine.abort(event.handshake, "key used already")
                        return
                    self.consumed.append(event.key_id)
                self.committed[event.epoch] = Epoch(
                    event.keys, event.sources, event.key_id, event.qkd_age
                )
                machine.confirm(event.handshake, now=now)
            case EpochCommitted():
                epoch, what = self.prepared.pop(event.handshake)
                self.committed[epoch] = what
            case _:
                pass

    def events(self, kind: type[Event]) -> list[Event]:
        """Return the logged events of one class."""
        return [event for event in self.log if isinstance(event, kind)]


class Pair:
    """An initiator, a responder, and the datagrams between them."""

    def __init__(
        self,
        suite_id: int = 1,
        *,
        policy: Policy | None = None,
        responder_policy: Policy | None = None,
        every: int = 1,
        responder_every: int | None = None,
        psk: bytes | None = None,
        responder_psk: bytes | None = None,
        keys: int = 0,
        mtu: int = DEFAULT_MTU,
        responder_mtu: int | None = None,
        provider: str = "openssl",
        answers_by: str = "",
        seed: str = "",
        responder: TunnelParameters | None = None,
    ) -> None:
        if policy is None:
            policy = Policy.PREFERRED if keys else Policy.OFF
        self.paris = identity("initiator", suite_id, provider)
        self.london = identity("responder", suite_id, answers_by or provider)
        self.a = End(
            Machine(random=seeded_random(seed + "a"), mtu=mtu, remote_of=remote_of),
            INITIATOR_ADDRESS,
        )
        self.b = End(
            Machine(
                random=seeded_random(seed + "b"),
                mtu=responder_mtu or mtu,
                remote_of=remote_of,
            ),
            RESPONDER_ADDRESS,
        )
        self.now = 1000.0
        self.a_parameters = parameters(
            self.paris,
            self.london,
            initiator=True,
            policy=policy,
            psk=psk,
            qkd_every=every,
        )
        self.b_parameters = responder or parameters(
            self.london,
            self.paris,
            initiator=False,
            policy=policy if responder_policy is None else responder_policy,
            psk=psk if responder_psk is None else responder_psk,
            qkd_every=every if responder_every is None else responder_every,
        )
        self.a.machine.add_tunnel(self.a_parameters)
        self.b.machine.add_tunnel(self.b_parameters)
        for number in range(1, keys + 1):
            secret = expand(bytes(48), number.to_bytes(8), 32)
            self.a.stock[key_id(number)] = secret
            self.b.stock[key_id(number)] = secret
        self.epoch = 0

    def start(
        self,
        *,
        epoch: int | None = None,
        offer: int = 8,
        address: Address = RESPONDER_ADDRESS,
    ) -> bytes:
        """Start the next epoch's handshake; return its identifier."""
        self.epoch = self.epoch + 1 if epoch is None else epoch
        return self.a.machine.start_handshake(
            TUNNEL,
            epoch=self.epoch,
            key_ids=list(self.a.stock)[:offer],
            plane_offer=b"initiator",
            address=address,
            now=self.now,
        )

    def sent(self, end: End) -> list[bytes]:
        """Drive an end, and take what it wants to send."""
        end.drive(self.now)
        return [data for data, _ in end.machine.datagrams_to_send()]

    def deliver(
        self, end: End, datagrams: list[bytes], source: Address | None = None
    ) -> None:
        """Give an end datagrams, from its peer's address unless told otherwise."""
        if source is None:
            source = (self.b if end is self.a else self.a).address
        for data in datagrams:
            end.machine.receive_datagram(data, source, now=self.now)
            end.drive(self.now)

    def pump(self) -> None:
        """Carry everything until both ends are quiet."""
        for _ in range(100):
            from_a, from_b = self.sent(self.a), self.sent(self.b)
            if not from_a and not from_b:
                return
            self.deliver(self.b, from_a)
            self.deliver(self.a, from_b)
        raise AssertionError("the two ends never fall quiet")

    def messages(self) -> "Messages":
        """Run one honest handshake; return its datagrams."""
        self.start()
        m1 = self.sent(self.a)
        self.deliver(self.b, m1)
        m2 = self.sent(self.b)
        self.deliver(self.a, m2)
        m3 = self.sent(self.a)
        self.deliver(self.b, m3)
        m4 = self.sent(self.b)
        self.deliver(self.a, m4)
        return Messages(m1, m2, m3, m4)

    def handshake(self) -> None:
        """Complete one epoch, and insist that it did."""
        self.start()
        self.pump()
        self.assert_agreed(self.epoch)

    def assert_agreed(self, epoch: int) -> None:
        """Insist that both ends committed this epoch with the same keys."""
        a, b = self.a.committed[epoch], self.b.committed[epoch]
        assert a.keys == b.keys
        assert a.sources == b.sources
        assert a.key_id == b.key_id
        assert self.a.machine.committed(TUNNEL) == epoch
        assert self.b.machine.committed(TUNNEL) == epoch

    def advance(self, seconds: float) -> None:
        """Let time pass, with every timer on its way."""
        until = self.now + seconds
        for end in (self.a, self.b):
            while (due := end.machine.get_timer()) is not None and due <= until:
                self.now = max(self.now, due)
                end.machine.handle_timer(now=self.now)
                end.drive(self.now)
        self.now = until


@dataclass(frozen=True)
class Messages:
    """The datagrams of one handshake."""

    m1: list[bytes]
    m2: list[bytes]
    m3: list[bytes]
    m4: list[bytes]


def kind_of(datagram: bytes) -> Type:
    """Return what a datagram is."""
    return Type(datagram[5])
