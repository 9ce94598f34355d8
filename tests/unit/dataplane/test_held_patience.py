"""How long somebody who fights is borne with."""

from gateway.dataplane.held.patience import (
    CALM,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    PATIENCE,
    RepairPatience,
)


def test_what_goes_a_few_times_is_put_back_at_once() -> None:
    patience = RepairPatience()
    for _ in range(PATIENCE - 1):
        assert patience.may("route", now=1.0)
        assert patience.put_back("route", now=1.0) == 0.0
    assert patience.may("route", now=1.0)


def test_pauses_grow_to_the_longest() -> None:
    patience, now, pauses = RepairPatience(), 1.0, []
    for _ in range(PATIENCE + 8):
        assert patience.may("route", now=now)
        pause = patience.put_back("route", now=now)
        if pause:
            pauses.append(pause)
            assert not patience.may("route", now=now + pause - 0.01)
            assert patience.until("route") == now + pause
        now += pause
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE


def test_each_thing_has_its_own() -> None:
    patience = RepairPatience()
    for _ in range(PATIENCE):
        patience.put_back("route", now=1.0)
    assert not patience.may("route", now=1.1)
    assert patience.may("address", now=1.1)


def test_calm_makes_patient_again() -> None:
    patience = RepairPatience()
    for _ in range(PATIENCE):
        patience.put_back("route", now=1.0)
    later = patience.until("route") + CALM + 1
    assert patience.put_back("route", now=later) == 0.0
    patience.forget_calm(now=later + CALM + 1)
    assert patience.until("route") == 0.0
