"""Two whole machines: a hostile link, a peer out of its mind, a clock that jumps."""

from collections.abc import Iterator

from gateway.crypto.aead import seal
from gateway.crypto.kdf import MAC_SIZE
from gateway.handshake import limits
from gateway.handshake.session import Session
from gateway.wire.header import COUNTER_SIZE, Type, encode_header
from gateway.wire.payloads import Policy
from tests.fuzz.target import Choices, Target
from tests.unit.handshake.pair import STRANGER, TUNNEL, End, Pair
from tests.unit.handshake.strangers import remake_mac1, remake_macs
from tests.unit.handshake.test_tampering import REASONS

MAX_STEPS = 60
KEPT = 40
WAITS = (0.01, 1.0, 6.0, 20.0, 200.0, 4000.0)
POLICIES = (Policy.OFF, Policy.PREFERRED, Policy.REQUIRED)


class Link:
    """What lies between the two ends, and everything that passed it."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.flying: list[tuple[End, bytes]] = []
        self.past: list[tuple[End, bytes]] = []

    def collect(self) -> None:
        """Take what both ends want to send."""
        pair = self.pair
        for source, target in ((pair.a, pair.b), (pair.b, pair.a)):
            sent = [(target, data) for data in pair.sent(source)]
            self.flying += sent
            self.past += sent
        del self.past[:-KEPT]
        del self.flying[:-KEPT]

    def give(self, target: End, data: bytes, *, strange: bool = False) -> None:
        self.pair.deliver(target, [data], STRANGER if strange else None)
        self.collect()

    def take(self, choice: int) -> tuple[End, bytes] | None:
        return self.flying.pop(choice % len(self.flying)) if self.flying else None

    def recall(self, choice: int) -> tuple[End, bytes] | None:
        return self.past[choice % len(self.past)] if self.past else None


def change(data: bytes, choices: Choices) -> bytes:
    """Overwrite, cut out, or put in some bytes."""
    kind, at = choices.number() % 3, choices.number(2) % (len(data) + 1)
    piece = choices.take(1 + choices.number() % 16)
    if kind == 0:
        return data[:at] + piece + data[at + len(piece) :]
    return data[:at] + data[at + len(piece) :] if kind == 1 else data[:at] + piece


def forge(pair: Pair, data: bytes) -> bytes:
    """Make a changed datagram's mac1 right again, as strangers can."""
    if len(data) <= 2 * MAC_SIZE:
        return data
    if data[5:6] == bytes([Type.INITIATION]):
        return remake_macs(data, pair.london.public)
    return remake_mac1(data, pair.paris.public)


def rave(session: Session, choices: Choices) -> bytes:
    """Seal any plaintext under any counter, as a peer out of its mind can."""
    counter = choices.number(8) if choices.number() & 1 else session._next
    session._next = max(session._next, counter % 2**48 + 1)
    start = encode_header(Type.CONTROL, session.remote_id) + counter.to_bytes(
        COUNTER_SIZE
    )
    return start + seal(session._send.expose(), counter, choices.piece(), start)


def rotate(link: Link, epoch: int, offer: int) -> None:
    link.pair.start(epoch=epoch, offer=offer)
    link.collect()


def next_epoch(pair: Pair) -> int:
    return 1 + max(end.machine.committed(TUNNEL) for end in (pair.a, pair.b))


def restart(pair: Pair, end: End) -> None:
    """Let a process die: its sessions and chains are gone, its epoch is not."""
    parameters = pair.a_parameters if end is pair.a else pair.b_parameters
    committed = end.machine.committed(TUNNEL)
    end.machine.remove_tunnel(TUNNEL)
    end.drive(pair.now)
    end.prepared.clear()
    end.machine.add_tunnel(parameters, committed=committed)


def step_link(kind: int, link: Link, choices: Choices) -> None:
    """Deliver, lose, replay, reflect, change or forge one datagram."""
    old = kind in (2, 3)
    found = (link.recall if old else link.take)(choices.number())
    if found is None or kind == 1:
        return
    target, data = found
    match kind:
        case 3:
            target = link.pair.a if target is link.pair.b else link.pair.b
        case 4:
            data = change(data, choices)
        case 5:
            data = forge(link.pair, change(data, choices))
        case _:
            pass
    link.give(target, data, strange=kind in (2, 5))


def step_ends(kind: int, link: Link, choices: Choices) -> None:
    """Let time pass, rotate, rave, leap, restart, or send anything."""
    pair = link.pair
    end = pair.a if choices.number() & 1 else pair.b
    match kind:
        case 6:
            rotate(link, next_epoch(pair), choices.number() % 9)
        case 7:
            pair.advance(WAITS[choices.number() % len(WAITS)])
        case 8:
            session = end.machine._core.tunnels[TUNNEL].current
            if session is not None:
                other = pair.a if end is pair.b else pair.b
                link.give(other, rave(session, choices))
        case 9:
            rotate(link, max(1, choices.number(8) >> choices.number() % 64), 1)
        case 10:
            restart(pair, end)
        case _:
            link.give(end, choices.piece())
    link.collect()


def check(pair: Pair) -> None:
    """Insist on what no link and no peer may break."""
    a, b = pair.a.committed, pair.b.committed
    assert a.keys() <= b.keys()
    for epoch in a:
        assert a[epoch].keys.chain == b[epoch].keys.chain
        assert a[epoch].keys.wireguard_psk == b[epoch].keys.wireguard_psk
        assert a[epoch].key_id == b[epoch].key_id
    for end in (pair.a, pair.b):
        assert len(end.consumed) == len(set(end.consumed))
        core = end.machine._core
        assert len(core.holders) <= 3 + 2 * limits.MAX_HALF_OPEN
        assert len(core.timers) <= len(core.holders) + 1
        assert end.machine.dropped().keys() <= REASONS
        assert end.machine.committed(TUNNEL) <= limits.MAX_EPOCH


def heal(link: Link) -> None:
    """Insist that the next epoch commits on a good link, whatever went before."""
    pair = link.pair
    for _ in range(4):
        pair.advance(limits.HALF_OPEN_TIMEOUT + 1)
        pair.pump()
    # Keys that only one end used up are not offered again: drivers compare stock.
    gone = pair.a.stock.keys() ^ pair.b.stock.keys()
    for end in (pair.a, pair.b):
        for used in gone:
            end.stock.pop(used, None)
    if pair.a_parameters.policy is not Policy.OFF and not pair.a.stock:
        return  # the fuzzer used them all
    pair.epoch = next_epoch(pair) - 1
    pair.handshake()


def run(data: bytes) -> None:
    choices = Choices(data)
    policy = POLICIES[choices.number() % len(POLICIES)]
    pair = Pair(policy=policy, keys=0 if policy is Policy.OFF else 12)
    link = Link(pair)
    for _ in range(MAX_STEPS):
        if not choices:
            break
        kind = choices.number() % 12
        (step_link if kind < 6 else step_ends)(kind, link, choices)
    check(pair)
    heal(link)
    check(pair)


def seeds() -> Iterator[bytes]:
    whole = bytes([6, 0, 8]) + bytes([0, 0] * 8)
    for policy in range(3):
        yield bytes([policy]) + whole * 2
    yield bytes([1]) + whole + bytes([7, 0, 2]) + whole + bytes([10, 1]) + whole
    yield bytes([0]) + whole + bytes([8, 1, 0, 5, 1, 0, 0, 0, 9])
    yield bytes([0]) + whole + bytes([8, 0, 1]) + b"\xff" * 8 + bytes([2, 4, 1])
    yield bytes([0, 9, 0]) + b"\xff" * 8 + bytes([0]) + bytes([0, 0] * 4) + whole
    yield bytes([0, 6, 0, 8, 4, 0, 0, 0, 5, 2, 7, 7, 7]) + whole
    yield bytes([0, 6, 0, 8, 5, 0, 0, 0, 90, 2, 7, 7, 7, 2, 0, 3, 0]) + whole


TARGET = Target(
    "two machines, a hostile link, a mad peer: equal keys or none, and they heal",
    run,
    seeds,
    600,
)
