"""The epochs of a tunnel alone: prepared, newest, replaced, forgotten."""

import pytest

from gateway.rotation import limits
from gateway.rotation.epochs import Epoch, EpochPhase
from gateway.rotation.installed import InstalledEpochs

NOW = 1000.0
INTERVAL = 100.0


def committed(installed: InstalledEpochs, number: int) -> Epoch:
    epoch = installed.prepare(number)
    epoch.move(EpochPhase.COMMITTED)
    epoch.judge_at, epoch.ends_at = NOW + 6, NOW + 30
    installed.commit(epoch)
    return epoch


def in_force(installed: InstalledEpochs, number: int) -> Epoch:
    epoch = committed(installed, number)
    installed.come_into_force(epoch, INTERVAL, now=NOW)
    return epoch


def numbers(epochs: list[Epoch]) -> list[int]:
    return [epoch.number for epoch in epochs]


def test_what_is_prepared_twice_is_one_epoch() -> None:
    installed = InstalledEpochs()
    assert installed.prepare(1) is installed.prepare(1)
    assert installed.current is None
    assert installed.is_settled()


def test_predecessors_go_a_while_after_the_newest_is_in_force() -> None:
    installed = InstalledEpochs()
    in_force(installed, 1)
    in_force(installed, 2)
    assert list(installed.due(now=NOW + limits.RETIRE_DELAY - 0.1)) == []
    retired = list(installed.due(now=NOW + limits.RETIRE_DELAY))
    assert numbers(retired) == [1]
    assert retired[0].phase is EpochPhase.RETIRED
    assert set(installed.by_number) == {2}
    assert installed.retire_at is None


def test_a_newer_commit_keeps_predecessors_until_it_is_proven() -> None:
    installed = InstalledEpochs()
    in_force(installed, 1)
    committed(installed, 2)
    assert list(installed.due(now=NOW + 10 * INTERVAL)) == []
    assert installed.commits == 2


def test_short_intervals_retire_sooner() -> None:
    installed = InstalledEpochs()
    epoch = committed(installed, 1)
    installed.come_into_force(epoch, 2.0, now=NOW)
    assert installed.retire_at == NOW + limits.RETIRE_SHARE * 2.0


def test_an_epoch_is_judged_once_and_then_ends() -> None:
    installed = InstalledEpochs()
    epoch = committed(installed, 1)
    assert installed.judge_at() == installed.hold_until() == NOW + 6
    epoch.overdue = True
    assert (installed.judge_at(), installed.hold_until()) == (NOW + 30, None)
    installed.come_into_force(epoch, INTERVAL, now=NOW)
    assert (installed.judge_at(), installed.hold_until()) == (None, None)


@pytest.mark.parametrize("active", [3, 4])
def test_what_an_earlier_run_left_is_in_force(active: int) -> None:
    installed = InstalledEpochs()
    installed.adopt((3, 4), active=active, now=NOW)
    assert installed.current is installed.by_number[active]
    assert installed.is_settled()
    assert all(epoch.adopted for epoch in installed.by_number.values())
    assert numbers(list(installed.replaced())) == [n for n in (3, 4) if n < active]


def test_nothing_is_left_of_what_is_cleared() -> None:
    installed = InstalledEpochs()
    epochs = [in_force(installed, 1), committed(installed, 2)]
    installed.clear()
    assert {epoch.phase for epoch in epochs} == {EpochPhase.RETIRED}
    assert (installed.by_number, installed.current) == ({}, None)
    assert installed.retire_at is None
