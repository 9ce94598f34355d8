"""What the flows, the captures and the meddler of two sites tell."""

from lab.clear_text import describe
from lab.flows import FORGED, Flow
from lab.forger import forge
from lab.traffic import MARKER
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

GAP = 0.3


def flow(*arrivals: tuple[float, float]) -> Flow:
    made = Flow("pc4 a>b", 4720, "10.72.0.10")
    made.arrivals.extend(arrivals)
    return made


def evenly(start: float, end: float) -> list[tuple[float, float]]:
    count = round((end - start) * 10)
    times = [start + number / 10 for number in range(count)]
    return [(at, at + 0.01) for at in times]


def test_a_steady_flow_is_steady_from_its_first_packet_on() -> None:
    assert flow(*evenly(10.0, 12.0)).steady_since(10.0, 12.0, GAP) == 10.01


def test_what_was_sent_before_does_not_count() -> None:
    late = [(9.9, 10.5)]
    assert flow(*late).steady_since(10.0, 10.6, GAP) is None
    assert flow(*late, *evenly(10.5, 11.0)).steady_since(10.0, 11.0, GAP) == 10.51


def test_a_gap_begins_it_anew() -> None:
    found = flow(*evenly(10.0, 10.5), *evenly(11.0, 11.5))
    assert found.steady_since(10.0, 11.5, GAP) == 11.01


def test_a_flow_that_has_ended_is_not_steady() -> None:
    assert flow(*evenly(10.0, 11.0)).steady_since(10.0, 11.5, GAP) is None


def test_a_flow_that_never_was_is_not_steady() -> None:
    assert flow().steady_since(10.0, 12.0, GAP) is None


def test_packets_are_counted_by_when_they_arrived() -> None:
    assert flow(*evenly(10.0, 11.0)).passed_between(10.5, 20.0) == 5


def test_the_meddler_speaks_in_the_name_of_all_whom_a_receiver_trusts() -> None:
    packets = [IP(data) for data in forge(flow())]
    assert {packet.src for packet in packets} == {
        *("10.71.0.10", "10.71.0.1", "10.255.1.1")
    }
    for packet in packets:
        assert packet.dst == "10.72.0.10"
        assert bytes(packet).endswith(FORGED)
        assert MARKER not in bytes(packet)


def test_the_meddler_speaks_ipv6() -> None:
    packets = [IPv6(data) for data in forge(Flow("in6 b>a", 4731, "fd55::1"))]
    assert {packet.src for packet in packets} == {"fd72::10", "fd72::1", "fd55::2"}


def test_a_frame_is_described() -> None:
    (first, *_) = forge(flow())
    frame = bytes(Ether() / IP(first))
    assert describe(frame) == "10.71.0.10 > 10.72.0.10 udp/4720"
    assert describe(bytes(Ether(type=0x0806)) + b"x" * 28) == "other"
