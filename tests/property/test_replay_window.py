"""The replay window against a set that remembers everything."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.handshake.limits import REPLAY_WINDOW
from gateway.handshake.replay import ReplayWindow

near = st.integers(-3, 3)
counters = st.one_of(
    st.integers(0, 40),
    st.builds(lambda k, d: max(0, k * REPLAY_WINDOW + d), st.integers(0, 4), near),
    st.integers(0, 2**64 - 1),
)


@given(st.lists(counters, max_size=200))
def test_window_is_a_set_with_an_edge(sequence: list[int]) -> None:
    window = ReplayWindow()
    accepted: set[int] = set()
    for counter in sequence:
        newest = max(accepted, default=-1)
        fresh = counter not in accepted and counter > newest - REPLAY_WINDOW
        assert window.highest == newest
        assert window.is_fresh(counter) == fresh
        if fresh:
            window.accept(counter)
            accepted.add(counter)
    assert window._seen < 1 << REPLAY_WINDOW
