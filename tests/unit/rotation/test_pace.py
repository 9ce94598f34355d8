"""First at once, then at pauses that grow while they are made use of."""

import itertools

import pytest

from gateway.rotation.pace import Pace


def _made_at_once(pace: Pace, count: int) -> list[float]:
    """Return when each is made by somebody who asks all the time."""
    now, times = 100.0, []
    for _ in range(count):
        now = pace.due(now)
        pace.take(now)
        times.append(now)
    return times


def test_pauses_double_up_to_a_bound() -> None:
    times = _made_at_once(Pace(2.0, 20.0), 8)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert times[0] == 100.0
    assert gaps == [2.0, 4.0, 8.0, 16.0, 20.0, 20.0, 20.0]


def test_a_new_cause_is_served_at_once() -> None:
    pace = Pace(2.0, 600.0)
    last = _made_at_once(pace, 5)[-1]
    later = last + 2 * (pace.due(last) - last)
    assert pace.due(later) == later
    pace.take(later)
    assert pace.due(later) == later + 2.0


@pytest.mark.parametrize("every", [4.0, 20.0, 300.0])
def test_rare_ones_never_wait(every: float) -> None:
    pace = Pace(2.0, 600.0)
    for now in (1000.0 + n * every for n in range(50)):
        assert pace.due(now) == now
        pace.take(now)


def test_what_is_forgotten_is_new() -> None:
    pace = Pace(2.0, 600.0)
    pace.take(1.0)
    pace.forget()
    assert pace.due(1.0) == 1.0
