import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.keystore.base import StockStatus
from gateway.supply.alarms import StockAlarm, next_alarm

OK, LOW, EMPTY = StockAlarm.OK, StockAlarm.LOW, StockAlarm.EMPTY


def stock(available: int, reserved: int = 0, unconfirmed: int = 0) -> StockStatus:
    return StockStatus(
        "paris", available, reserved, 0, 0, 0.0, 0.0, None, unconfirmed=unconfirmed
    )


@pytest.mark.parametrize(
    ("previous", "available", "expected"),
    [
        (OK, 20, OK),
        (OK, 19, LOW),
        (OK, 0, EMPTY),
        (LOW, 20, LOW),
        (LOW, 24, LOW),
        (LOW, 25, OK),
        (LOW, 1, LOW),
        (EMPTY, 1, EMPTY),
        (EMPTY, 4, EMPTY),
        (EMPTY, 5, LOW),
        (EMPTY, 24, LOW),
        (EMPTY, 25, OK),
    ],
)
def test_levels(previous: StockAlarm, available: int, expected: StockAlarm) -> None:
    assert next_alarm(previous, stock(available), 20) is expected


def test_reserved_keys_are_stock() -> None:
    assert next_alarm(OK, stock(0, reserved=1), 0) is OK
    assert next_alarm(OK, stock(15, reserved=5), 20) is OK


@pytest.mark.parametrize(
    ("previous", "available", "unconfirmed", "expected"),
    [
        (OK, 30, 10, OK),
        (OK, 30, 11, LOW),
        (OK, 30, 30, LOW),
        (LOW, 30, 6, LOW),
        (LOW, 31, 6, OK),
        (EMPTY, 5, 5, LOW),
        (EMPTY, 4, 4, EMPTY),
    ],
)
def test_keys_that_the_peer_may_lack_keep_the_alarm_up(
    previous: StockAlarm, available: int, unconfirmed: int, expected: StockAlarm
) -> None:
    assert next_alarm(previous, stock(available, 0, unconfirmed), 20) is expected


@given(
    st.sampled_from(StockAlarm),
    st.integers(0, 300),
    st.integers(0, 300),
    st.integers(0, 100),
)
def test_is_stable_and_empty_means_empty(
    previous: StockAlarm, available: int, unconfirmed: int, low_water: int
) -> None:
    status = stock(available, 0, min(available, unconfirmed))
    level = next_alarm(previous, status, low_water)
    assert next_alarm(level, status, low_water) is level
    confirmed = available - status.unconfirmed
    assert (level is not OK) or (available > 0 and confirmed >= low_water)
    assert (level is EMPTY) or available > 0
