"""When what was seen of two machines with one identity becomes a fault."""

from gateway.tunnels.twins import ENOUGH, MEMORY, Twins


def test_once_is_no_fault_and_twice_is() -> None:
    twins = Twins()
    for n in range(ENOUGH - 1):
        twins.of_peer("192.0.2.1:51810", "192.0.2.9:4500", now=100.0 + n)
        twins.of_ours(now=100.0 + n)
    assert twins.faults(now=110.0) == []
    twins.of_peer("192.0.2.9:4500", "192.0.2.1:51810", now=120.0)
    places = "192.0.2.1:51810 and 192.0.2.9:4500"
    cure = "give one of them an identity of its own: qgw identity new"
    assert twins.faults(now=130.0) == [
        f"two machines use this peer's identity, at {places}: {cure}"
    ]
    twins.of_ours(now=140.0)
    (_, own) = twins.faults(now=150.0)
    assert own.startswith("another machine uses this gateway's identity: ")
    assert own.endswith("qgw identity new")


def test_it_is_forgotten_when_it_no_longer_happens() -> None:
    twins = Twins()
    for now in (100.0, 200.0):
        twins.of_ours(now=now)
    assert twins.faults(now=200.0 + MEMORY)
    assert not twins.faults(now=201.0 + MEMORY)
    twins.of_ours(now=202.0 + MEMORY)
    assert not twins.faults(now=203.0 + MEMORY)
