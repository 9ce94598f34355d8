"""Whatever arrives, `receive_datagram` returns, and the next honest epoch works."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.wire.control import InForce, Ping
from tests.unit.handshake.pair import TUNNEL, Pair
from tests.unit.handshake.strangers import remake_mac1, remake_macs
from tests.unit.handshake.test_tampering import REASONS

header = st.builds(
    lambda kind, index, count, ident: (
        bytes([0, 0, 0, 0, 1, kind, index, count]) + ident
    ),
    st.integers(0, 7),
    st.integers(0, 9),
    st.integers(0, 9),
    st.sampled_from([b"local___", b"\0" * 8]),
)
shaped = st.builds(lambda head, body: head + body, header, st.binary(max_size=200))
mutation = st.tuples(st.integers(0, 3), st.integers(0, 4000), st.integers(0, 255))


@given(st.lists(st.binary(max_size=100) | shaped, max_size=20))
def test_any_bytes(datagrams: list[bytes]) -> None:
    pair = Pair()
    pair.handshake()
    for end in (pair.a, pair.b):
        session = end.machine._core.tunnels[TUNNEL].current
        assert session is not None
        for data in datagrams:
            real = data.replace(b"local___", session.local_id)
            end.machine.receive_datagram(real, ("192.0.2.7", 7), now=pair.now)
        end.drive(pair.now)
        assert pair.sent(end) == []
        assert end.machine.dropped().keys() <= REASONS
    pair.handshake()


def mutate(datagram: bytes, changes: list[tuple[int, int, int]]) -> bytes:
    """Change, cut, lengthen or double parts of a datagram."""
    data = bytearray(datagram)
    for kind, place, value in changes:
        at = place % (len(data) or 1)
        if kind == 0 and data:
            data[at] = value
        elif kind == 1:
            del data[at : at + value]
        elif kind == 2:
            data[at:at] = bytes([value]) * (value % 40)
        else:
            data[at:at] = data[at : at + value]
    return bytes(data)


def record(pair: Pair, stage: int) -> list[bytes]:
    """Run one epoch and a part of the next; return every datagram sent."""
    first = pair.messages()
    pair.a.machine.send_control(TUNNEL, Ping(3))
    pair.b.machine.send_control(TUNNEL, InForce(1, echo=True))
    pool = [*first.m1, *first.m2, *first.m3, *first.m4]
    pool += pair.sent(pair.a) + pair.sent(pair.b)
    pair.start()
    ends = [pair.a, pair.b, pair.a, pair.b]
    for number in range(stage):
        sent = pair.sent(ends[number])
        pool += sent
        if number + 1 < stage:
            pair.deliver(ends[number + 1], sent)
    return pool


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 40), st.integers(0, 2), st.lists(mutation, max_size=4)
        ),
        max_size=25,
    ),
    st.integers(1, 4),
)
def test_any_change_of_real_datagrams(
    plan: list[tuple[int, int, list[tuple[int, int, int]]]], stage: int
) -> None:
    """Real datagrams of two epochs, changed, at every stage of the second."""
    pair = Pair(keys=3)
    pool = record(pair, stage)
    for choice, macs, changes in plan:
        data = mutate(pool[choice % len(pool)], changes)
        if macs == 1:
            data = remake_macs(data, pair.london.public)
        elif macs == 2:
            data = remake_mac1(data, pair.paris.public)
        for end in (pair.a, pair.b):
            pair.deliver(end, [data])
    for end in (pair.a, pair.b):
        assert end.machine.dropped().keys() <= REASONS
    for _ in range(30):
        pair.pump()
        pair.advance(1.0)
    pair.handshake()
    for epoch in pair.a.committed.keys() & pair.b.committed.keys():
        assert pair.a.committed[epoch].keys.chain == pair.b.committed[epoch].keys.chain
