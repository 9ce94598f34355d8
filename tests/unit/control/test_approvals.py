"""Acts that need a second person: who counts as another one."""

import pytest

from gateway.control.approvals import CALLER, SYSTEM, Actor, Approvals
from gateway.control.schema import ErrorCode
from gateway.errors import ControlError

OWN = 996
ROOT, DAEMON = Actor(0, "root (uid 0)"), Actor(OWN, "qgw (uid 996)")
ALICE, BOB = Actor(1001, "alice"), Actor(1002, "bob")


class Waiting:
    """Acts at a daemon of user 996, and the time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.changes = 0
        self.approvals = Approvals(lambda: self.now, own=OWN)
        self.approvals.changed = self.change
        self.approvals.configure(["identity"], 600.0)

    def change(self) -> None:
        self.changes += 1

    def ask(self, who: Actor) -> None:
        CALLER.set(who)
        with pytest.raises(ControlError) as caught:
            self.approvals.require("identity", "take x", "reload", {})
        assert caught.value.code == ErrorCode.NEEDS_APPROVAL

    def confirm(self, who: Actor, number: int = 1) -> None:
        CALLER.set(who)
        with self.approvals.confirm(number):
            self.approvals.require("identity", "take x", "reload", {})


@pytest.fixture
def waiting() -> Waiting:
    return Waiting()


@pytest.mark.parametrize("first", [ROOT, DAEMON, SYSTEM])
@pytest.mark.parametrize("second", [ROOT, DAEMON, SYSTEM])
def test_root_is_one_person_by_whatever_way(
    waiting: Waiting, first: Actor, second: Actor
) -> None:
    waiting.ask(first)
    waiting.ask(second)
    (act,) = waiting.approvals.waiting()
    assert act["asked_by"] == first.name
    assert waiting.changes == 1
    with pytest.raises(ControlError, match="you asked for it yourself"):
        waiting.confirm(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [(ROOT, ALICE), (ALICE, ROOT), (DAEMON, ALICE), (ALICE, DAEMON), (ALICE, BOB)],
)
def test_another_user_is_another_person(
    waiting: Waiting, first: Actor, second: Actor
) -> None:
    waiting.ask(first)
    waiting.confirm(second)
    assert waiting.approvals.waiting() == []
    assert waiting.changes == 2


def test_what_waited_too_long_waits_no_more(waiting: Waiting) -> None:
    waiting.ask(ALICE)
    waiting.now = 599.0
    assert [act["left_s"] for act in waiting.approvals.waiting()] == [1.0]
    waiting.now = 600.0
    assert waiting.approvals.waiting() == []
    with pytest.raises(ControlError, match="nothing waits"):
        waiting.confirm(BOB)
