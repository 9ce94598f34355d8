"""A bucket gives its burst at once, its rate in the long run, and nothing more."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.handshake.bucket import Bucket


def test_a_burst_then_the_rate() -> None:
    bucket = Bucket(rate=4.0, burst=3.0)
    assert [bucket.take(now=10.0) for _ in range(5)] == [True] * 3 + [False] * 2
    assert not bucket.has(now=10.1)
    assert [bucket.take(now=10.25) for _ in range(2)] == [True, False]
    assert [bucket.take(now=1e9) for _ in range(4)] == [True] * 3 + [False]


@given(
    st.floats(0.01, 1e4),
    st.integers(1, 500),
    st.lists(st.floats(0.0, 3.0), max_size=200),
)
def test_never_more_than_burst_and_rate(
    rate: float, burst: int, waits: list[float]
) -> None:
    bucket, now, taken = Bucket(rate, float(burst)), 0.0, 0
    for wait in waits:
        now += wait
        could = bucket.has(now=now)
        assert bucket.take(now=now) is could
        taken += could
        assert taken <= burst + rate * now + 2e-3


def test_no_token_before_a_whole_one_is_there() -> None:
    bucket = Bucket(rate=0.25, burst=1.0)
    assert bucket.take(now=0.0)
    assert not bucket.has(now=2.0)
    assert not bucket.has(now=3.9)
    assert bucket.take(now=4.0)
