"""Every input in every state, in any order: the invariants hold.

They are those of the docstring of `gateway.rotation.tunnel`.
"""

from collections.abc import Callable
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.rotation.actions import (
    Action,
    AskForRotation,
    BlockTunnel,
    RetireEpoch,
    SendInForce,
    StartHandshake,
)
from gateway.rotation.epochs import EpochPhase
from gateway.rotation.events import EpochInForce
from gateway.rotation.schedule import Schedule
from gateway.rotation.tunnel import TunnelPhase, TunnelRotation
from gateway.wire.control import RotateReason

MAX_CALLS_AT_ONCE = 8
"""`handle_timer` calls that one moment may need; more of them is a loop."""

INTERVAL = 10.0
LIFETIME = 30.0
KEY_ID = UUID(int=7)


class RotationModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.proposed = 0
        self.attempt: int | None = None
        self.forced: set[int] = set()
        self.newest_commit: float | None = None
        self.is_blocked = False

    @initialize(
        initiator=st.booleans(),
        last=st.integers(0, 5),
        adopted=st.booleans(),
        every=st.integers(1, 3),
    )
    def make(self, initiator: bool, last: int, adopted: bool, every: int) -> None:
        self.every: int | None = every
        self.initiator = initiator
        self.proposed = last
        self.rotation = TunnelRotation(
            Schedule("paris", INTERVAL),
            initiator=initiator,
            max_epoch_lifetime=LIFETIME,
            qkd_wanted=True,
            qkd_every=every,
            last_epoch=last,
        )
        if adopted:
            self.rotation.adopt((0,), active=0, expires_at=self.now + 7.0, now=self.now)
            self.newest_commit = self.now + 7.0 - LIFETIME
        self.drain()

    def drain(self) -> None:
        blocked = False
        actions: list[Action] = []
        while (action := self.rotation.next_action()) is not None:
            actions.append(action)
        while (event := self.rotation.next_event()) is not None:
            if isinstance(event, EpochInForce):
                self.forced.add(event.epoch)
        for action in actions:
            match action:
                case StartHandshake(epoch):
                    assert self.initiator
                    assert self.attempt is None
                    assert epoch > self.proposed
                    assert self.rotation.phase is not TunnelPhase.DOWN
                    self.proposed = epoch
                    self.attempt = epoch
                case RetireEpoch(epoch):
                    assert any(newer > epoch for newer in self.forced)
                case BlockTunnel():
                    blocked = True
                case AskForRotation():
                    assert not self.initiator
                case SendInForce(epoch):
                    assert epoch in self.rotation.epochs or blocked
                case _:
                    pass

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.3, 1.0, 2.0, 5.0, 9.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        until = self.now + seconds
        same = 0
        while (when := self.rotation.get_timer()) is not None and when <= until:
            same = same + 1 if when <= self.now else 0
            assert same <= MAX_CALLS_AT_ONCE, "handle_timer makes no progress"
            self.now = max(self.now, when)
            self.rotation.handle_timer(now=self.now)
            self.drain()
        self.now = until

    @rule()
    def up(self) -> None:
        self.rotation.up(now=self.now)
        self.drain()

    @rule()
    def down(self) -> None:
        self.rotation.down()
        self.attempt = None
        self.drain()
        assert self.rotation.get_timer() is None

    @rule(reason=st.sampled_from(RotateReason))
    def rotate(self, reason: RotateReason) -> None:
        self.rotation.rotate(reason, now=self.now)
        self.drain()

    @rule(age=st.none() | st.integers(0, 4))
    def commit_attempt(self, age: int | None) -> None:
        """The initiator's handshake ends well."""
        if self.attempt is None or self.rotation.phase is TunnelPhase.DOWN:
            return
        self._commit(self.attempt, age)
        self.attempt = None

    @rule(ahead=st.integers(1, 4), age=st.none() | st.integers(0, 4))
    def commit_answer(self, ahead: int, age: int | None) -> None:
        """The responder's peer commits an epoch above all before."""
        if self.initiator or self.rotation.phase is TunnelPhase.DOWN:
            return
        self.proposed += ahead
        self._commit(self.proposed, age)

    def _commit(self, number: int, age: int | None) -> None:
        self.rotation.prepared(number)
        self.rotation.committed(
            number,
            sources=(),
            key_id=KEY_ID if age == 0 else None,
            qkd_age=age,
            now=self.now,
            without_qkd="none",
        )
        lacks = self.every is not None and (age is None or age >= self.every)
        assert self.rotation.without_qkd == ("none" if lacks else None)
        self.newest_commit = self.now
        self.drain()
        assert self.rotation.phase is TunnelPhase.UP

    @rule()
    def fail(self) -> None:
        if self.initiator and self.attempt is None:
            return
        self.attempt = None
        before = self.rotation.phase
        self.rotation.failed("timeout", "no answer", now=self.now)
        self.drain()
        assert self.rotation.phase is before

    @rule(epoch=st.one_of(st.integers(0, 60), st.just(2**64 - 1)))
    def behind(self, epoch: int) -> None:
        if not self.initiator or self.attempt is None:
            return
        self.attempt = None
        self.rotation.behind(epoch, now=self.now)
        self.drain()

    @rule()
    def silent(self) -> None:
        self.rotation.peer_silent(now=self.now)
        self.drain()

    @rule()
    def closed(self) -> None:
        self.rotation.peer_closed()
        self.drain()
        assert self.rotation.phase is not TunnelPhase.UP

    @rule(
        pick=st.sampled_from([max, min]), wrong=st.booleans(), beside=st.integers(0, 9)
    )
    def polled(
        self, pick: Callable[[list[int]], int], wrong: bool, beside: int
    ) -> None:
        known = list(self.rotation.epochs) or [0]
        proven = {beside if wrong else pick(known)}
        self.rotation.plane_polled(frozenset(proven), now=self.now)
        self.drain()

    @rule(beside=st.integers(0, 9), right=st.booleans(), echo=st.booleans())
    def peer_in_force(self, beside: int, right: bool, echo: bool) -> None:
        current = self.rotation.current
        number = current.number if right and current else beside
        self.rotation.peer_in_force(number, echo=echo, now=self.now)
        self.drain()

    @rule(interval=st.sampled_from([2.0, 10.0, 60.0]))
    def reconfigure(self, interval: float) -> None:
        before = self.rotation.expires_at
        self.rotation.reconfigure(
            Schedule("paris", interval),
            max_epoch_lifetime=LIFETIME,
            qkd_wanted=False,
        )
        self.every = None
        assert self.rotation.expires_at == before
        self.drain()

    @invariant()
    def up_means_young(self) -> None:
        if not hasattr(self, "rotation"):
            return
        rotation = self.rotation
        current = rotation.current
        if rotation.phase is not TunnelPhase.UP:
            assert current is None
            assert rotation.epochs == {} or all(
                epoch.phase is EpochPhase.PREPARED for epoch in rotation.epochs.values()
            )
            return
        assert current is not None
        assert self.newest_commit is not None
        assert self.now <= self.newest_commit + LIFETIME
        assert rotation.reason == ""

    @invariant()
    def something_will_happen(self) -> None:
        """An initiator that is not down is always about to try, or is trying."""
        if not hasattr(self, "rotation") or not self.initiator:
            return
        if self.rotation.phase is TunnelPhase.DOWN:
            return
        assert self.attempt is not None or self.rotation.next_attempt is not None


RotationModel.TestCase.settings = settings(
    max_examples=300, stateful_step_count=40, deadline=None
)
TestRotationModel = RotationModel.TestCase
