"""Doubts alone: what speaks against the newest epoch, and what for it."""

from gateway.rotation import limits
from gateway.rotation.doubts import Doubts, Evidence
from gateway.rotation.epochs import Epoch, EpochPhase
from gateway.rotation.installed import InstalledEpochs

NOW = 1000.0
SILENCE = 25.0


class Case:
    """One tunnel's epochs and the doubts of them."""

    def __init__(self) -> None:
        self.installed = InstalledEpochs()
        self.doubts = Doubts(SILENCE)

    def commit(self, number: int, *, follows: bool) -> Epoch:
        epoch = self.installed.prepare(number)
        epoch.move(EpochPhase.COMMITTED)
        epoch.judge_at = NOW + 6
        self.doubts.begin(epoch, follows=follows, now=NOW)
        self.installed.commit(epoch)
        return epoch

    def force(self, number: int) -> Epoch:
        epoch = self.commit(number, follows=False)
        self.installed.come_into_force(epoch, 100.0, now=NOW)
        self.doubts.settle(now=NOW)
        return epoch

    def weigh(self, now: float = NOW) -> Evidence:
        return self.doubts.weigh(self.installed, now=now)


def test_nothing_speaks_against_no_keys() -> None:
    assert Case().weigh() is Evidence.NONE


def test_a_first_epoch_is_doubted_when_its_time_is_over() -> None:
    case = Case()
    case.commit(1, follows=False)
    assert case.doubts.is_proving(case.installed)
    assert case.weigh() is Evidence.NONE
    assert not case.doubts.is_due(now=NOW + 5.9)
    assert case.doubts.is_due(now=NOW + 6)
    assert not case.doubts.is_due(now=NOW + 7)
    assert case.weigh() is Evidence.DOUBTED
    assert not case.doubts.is_proving(case.installed)


def test_an_epoch_that_follows_an_unproven_one_gets_no_more_time() -> None:
    case = Case()
    case.commit(1, follows=False)
    case.doubts.is_due(now=NOW + 6)
    case.commit(2, follows=True)
    assert case.doubts.at is None
    assert case.weigh() is Evidence.DOUBTED


def test_a_predecessor_in_force_that_carries_is_evidence() -> None:
    case = Case()
    case.force(1)
    case.commit(2, follows=False)
    case.doubts.carrying.polled(1, NOW)
    assert case.weigh() is Evidence.CARRIED
    late = NOW + limits.CARRIER_SILENCE + 1
    case.doubts.is_due(now=late)
    assert case.weigh(late) is Evidence.DOUBTED


def test_keys_that_are_lost_are_doubted_until_packets_come_again() -> None:
    case = Case()
    epoch = case.force(1)
    assert case.weigh() is Evidence.NONE
    case.doubts.lose("keys gone", now=NOW)
    assert case.weigh() is Evidence.DOUBTED
    assert case.doubts.trouble == "keys gone"
    case.doubts.carrying.polled(1, NOW)
    assert not case.doubts.is_mended(epoch)
    case.doubts.carrying.polled(1, NOW + 1)
    assert case.doubts.is_mended(epoch)
    assert not case.doubts.is_mended(epoch)
    assert case.weigh() is Evidence.NONE


def test_an_obstacle_is_doubt_whatever_the_keys() -> None:
    case = Case()
    case.force(1)
    list(case.doubts.obstacles.note_here("no route", now=NOW, can_tell=True))
    assert case.weigh() is Evidence.DOUBTED
    assert case.doubts.is_useless(case.installed)


def test_another_epoch_may_help_once_and_not_twice() -> None:
    case = Case()
    first = case.commit(1, follows=False)
    assert case.doubts.miss(first)
    assert not case.doubts.is_useless(case.installed)
    second = case.commit(2, follows=True)
    assert not case.doubts.miss(second)
    assert case.doubts.is_useless(case.installed)
    case.installed.come_into_force(second, 100.0, now=NOW)
    case.doubts.settle(now=NOW)
    assert case.doubts.missed == 0


def test_nothing_is_doubted_once_there_are_no_keys() -> None:
    case = Case()
    case.force(1)
    case.doubts.lose("keys gone", now=NOW)
    case.installed.clear()
    case.doubts.clear()
    assert case.doubts.trouble == ""
    assert case.weigh() is Evidence.NONE
