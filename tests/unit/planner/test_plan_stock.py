"""Stocks: against what a pencil says, and against small steps of time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.planner.stock import PlannedStock
from gateway.planner.supply import PlannedSupply


def stock(
    times: list[float],
    gains: list[list[float]],
    *,
    begin: float = 100.0,
    capacity: float = 1e6,
    margin: float = 10.0,
    span: float = 100.0,
    inflow: float = 0.0,
) -> PlannedStock:
    shaped = np.array(gains).reshape(len(times), -1) if times else np.zeros((0, 1))
    return PlannedStock(
        PlannedSupply(np.array(times), shaped, inflow), begin, capacity, margin, span
    )


def test_without_deliveries_it_falls_in_a_straight_line() -> None:
    one = stock([], [])
    assert one.holds(0.9).all()
    assert not one.holds(0.91).any()
    assert one.falls_below(2.0, 10.0) == [45.0]
    assert one.falls_below(2.0, -10.0) == [55.0]
    assert one.falls_below(0.5, 10.0) == [np.inf]
    grid = np.array([0.0, 10.0, 50.0, 100.0])
    assert one.course(2.0, grid)[:, 0].tolist() == [100.0, 80.0, 0.0, 0.0]


def test_deliveries_differ_from_draw_to_draw() -> None:
    one = stock([40.0, 60.0], [[100.0, 0.0], [0.0, 100.0]])
    assert one.holds(1.75).tolist() == [True, False]
    assert one.falls_below(1.75, 10.0).tolist() == [np.inf, 90.0 / 1.75]
    grid = np.array([39.9, 40.0, 60.0, 60.1])
    course = one.course(2.0, grid)
    assert course[:, 0] == pytest.approx([20.2, 120.0, 80.0, 79.8])
    assert course[:, 1] == pytest.approx([20.2, 20.0, 100.0, 99.8])


def test_what_is_over_the_capacity_is_lost() -> None:
    one = stock([50.0], [[100.0]], capacity=120.0, begin=150.0)
    grid = np.array([0.0, 49.0, 50.0, 100.0])
    assert one.course(1.0, grid)[:, 0].tolist() == [120.0, 71.0, 120.0, 70.0]


def test_a_fibre_fills_it_up() -> None:
    one = stock([], [], capacity=150.0, inflow=2.0)
    grid = np.array([0.0, 10.0, 100.0])
    assert one.course(1.0, grid)[:, 0].tolist() == [100.0, 110.0, 150.0]
    assert one.course(2.5, grid)[:, 0].tolist() == [100.0, 95.0, 50.0]
    assert one.holds(2.9).all()
    assert one.falls_below(3.0, 10.0) == [90.0]


def test_less_than_the_margin_at_the_start_is_none() -> None:
    one = stock([], [], begin=9.0, inflow=5.0)
    assert not one.holds(1.0).any()
    assert one.falls_below(1.0, 10.0) == [0.0]


@given(
    st.lists(st.integers(1, 9), min_size=0, max_size=5, unique=True),
    st.lists(st.integers(0, 60), min_size=5, max_size=5),
    st.integers(0, 30),
    st.integers(60, 150),
)
def test_as_small_steps_go(
    tens: list[int], gains: list[int], demand: int, capacity: int
) -> None:
    times = [10.0 * each for each in sorted(tens)]
    brought = [[float(each)] for each in gains[: len(times)]]
    one = stock(times, brought, capacity=float(capacity))
    rate = demand / 10.0
    level = free = lowest = min(100.0, capacity)
    fell = np.inf
    levels = []
    for step in range(1, 201):
        now = step / 2.0
        level, free = max(level - rate / 2.0, 0.0), free - rate / 2.0
        if free < 10.0 and fell == np.inf:
            fell = now
        lowest = min(lowest, free)
        if now in times:
            gain = brought[times.index(now)][0]
            level, free = (min(each + gain, capacity) for each in (level, free))
        levels.append(level)
    grid = np.arange(1, 201) / 2.0
    assert one.course(rate, grid)[:, 0] == pytest.approx(levels, abs=1e-6)
    if abs(lowest - 10.0) > 1e-6:
        assert one.holds(rate)[0] == (lowest >= 10.0)
        found = one.falls_below(rate, 10.0)[0]
        assert np.isinf(found) if np.isinf(fell) else abs(found - fell) <= 0.5 + 1e-6
