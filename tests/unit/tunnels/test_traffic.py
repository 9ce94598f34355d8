"""Totals that only grow, whatever the kernel's counters do."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.dataplane.base import EpochState, PlaneState
from gateway.tunnels.traffic import Counts, Traffic


def state(**epochs: tuple[int, int, int, int]) -> PlaneState:
    """Return a reading; names are ``e7``, values as in `Counts`."""
    return PlaneState(
        blocked=False,
        epochs=tuple(
            EpochState(
                int(name[1:]),
                active=True,
                received=True,
                packets_in=rx_packets,
                bytes_in=rx_bytes,
                packets_out=tx_packets,
                bytes_out=tx_bytes,
            )
            for name, (rx_packets, rx_bytes, tx_packets, tx_bytes) in epochs.items()
        ),
    )


def test_epochs_that_go_stay_counted() -> None:
    traffic = Traffic()
    traffic.note(state(e1=(1, 10, 2, 20)), now=1.0)
    traffic.note(state(e1=(2, 20, 3, 30), e2=(1, 10, 1, 10)), now=2.0)
    assert traffic.total == Counts(3, 30, 4, 40)
    traffic.note(state(e2=(1, 10, 1, 10)), now=3.0)
    assert traffic.gone == Counts(2, 20, 3, 30)
    assert traffic.total == Counts(3, 30, 4, 40)
    traffic.note(state(), now=4.0)
    assert traffic.total == traffic.gone == Counts(3, 30, 4, 40)


def test_a_peer_that_was_made_anew_counts_from_zero_again() -> None:
    traffic = Traffic()
    traffic.note(state(e1=(0, 148, 0, 500)), now=1.0)
    traffic.note(state(e1=(0, 92, 0, 600)), now=2.0)
    assert traffic.total == Counts(0, 240, 0, 1100)


def test_a_later_run_goes_on_where_an_earlier_one_was_killed() -> None:
    first = Traffic()
    first.note(state(e1=(5, 50, 5, 50)), now=1.0)
    first.note(state(e2=(1, 10, 1, 10)), now=2.0)
    later = Traffic(first.gone)
    # WireGuard keeps no number, so the same peer is epoch 0 now.
    later.note(state(e0=(2, 20, 2, 20)), now=3.0)
    assert later.total == Counts(7, 70, 7, 70)


def test_the_last_packet_is_seen_between_two_readings() -> None:
    traffic = Traffic()
    traffic.note(state(e1=(5, 50, 5, 50)), now=1.0)
    assert (traffic.received_at, traffic.sent_at) == (None, None)
    traffic.note(state(e1=(6, 60, 5, 50)), now=2.0)
    assert (traffic.received_at, traffic.sent_at) == (2.0, None)
    traffic.note(state(e2=(0, 0, 1, 0)), now=3.0)
    assert (traffic.received_at, traffic.sent_at) == (2.0, 3.0)
    traffic.note(state(e2=(0, 0, 1, 0)), now=4.0)
    assert (traffic.received_at, traffic.sent_at) == (2.0, 3.0)


counts = st.tuples(*[st.integers(0, 2**64 - 1)] * 4)
readings = st.dictionaries(st.integers(0, 5), counts, max_size=3)


@given(st.lists(readings, max_size=12))
def test_totals_never_fall(found: list[dict[int, tuple[int, int, int, int]]]) -> None:
    traffic = Traffic()
    before = traffic.total
    for number, reading in enumerate(found):
        named = {f"e{epoch}": values for epoch, values in reading.items()}
        traffic.note(state(**named), now=float(number))
        assert not traffic.total.fell_from(before)
        before = traffic.total
