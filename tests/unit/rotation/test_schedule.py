"""When tunnels rotate: on a grid of their own, and never twice in a row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rotation.limits import MIN_SPACING_SHARE
from gateway.rotation.schedule import Schedule

INTERVALS = st.floats(min_value=2.0, max_value=3600.0)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=32)


@given(NAMES, INTERVALS, st.floats(min_value=0.0, max_value=1e9))
def test_next_is_on_the_grid_and_well_spaced(
    name: str, interval: float, last: float
) -> None:
    schedule = Schedule(name, interval)
    following = schedule.next_after(last)
    slack = 1e-6 * max(1.0, last)
    assert following >= last + MIN_SPACING_SHARE * interval - slack
    assert following <= last + (1 + MIN_SPACING_SHARE) * interval + slack
    ticks = (following - schedule.phase) / interval
    assert abs(ticks - round(ticks)) < 1e-3


def test_on_schedule_epochs_are_one_interval_apart() -> None:
    schedule = Schedule("paris", 120.0)
    first = schedule.next_after(0.0)
    # An epoch is committed a little after its tick, never before it.
    assert schedule.next_after(first + 0.3) == pytest.approx(first + 120.0)


def test_a_rotation_by_hand_just_before_the_tick_takes_its_place() -> None:
    schedule = Schedule("paris", 120.0)
    tick = schedule.next_after(1000.0)
    assert schedule.next_after(tick - 10.0) == pytest.approx(tick + 120.0)


def test_both_ends_agree_and_tunnels_are_spread() -> None:
    assert Schedule("paris", 120.0).phase == Schedule("paris", 120.0).phase
    phases = sorted(Schedule(f"branch-{i}", 120.0).phase for i in range(1000))
    assert 0.0 <= phases[0] < phases[-1] < 120.0
    tenths = [
        sum(12 * i <= phase < 12 * (i + 1) for phase in phases) for i in range(10)
    ]
    assert min(tenths) > 60
    assert max(tenths) < 150
