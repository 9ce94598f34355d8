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
from gateway.rotation.events import (
    EpochCommittedHere,
    EpochInForce,
    RotationFailed,
    TunnelBlocked,
)
from gateway.rotation.phases import TunnelPhase
from gateway.rotation.schedule import Schedule
from gateway.rotation.tunnel import TunnelRotation
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
        self.commits: dict[int, float] = {}
        self.passing: float | None = None
        """When passing must end."""
        self.unproven = 0
        """Epochs in a row that missed their proof."""
        self.obstacle = ""
        self.told = False
        """Whether anything said since the last commit that a handshake may help."""

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
            self.passing = self.now + 7.0
        self.drain()

    def listen(self) -> None:
        """Take what it says."""
        while (event := self.rotation.next_event()) is not None:
            match event:
                case EpochCommittedHere(_, epoch):
                    self.commits[epoch] = self.now
                    self.passing = self.passing or self.now + LIFETIME
                case EpochInForce(_, epoch):
                    self.forced.add(epoch)
                    self.passing = self.commits[epoch] + LIFETIME
                    self.unproven = 0
                case RotationFailed(_, "not-in-force", _, attempts):
                    self.unproven += 1
                    assert attempts == self.unproven
                case TunnelBlocked():
                    self.passing = None
                case _:
                    pass
        if self.rotation.expires_at is None:
            self.passing = None

    def drain(self) -> None:
        """Take what it says and asks for."""
        blocked = False
        actions: list[Action] = []
        while (action := self.rotation.next_action()) is not None:
            actions.append(action)
        self.listen()
        for action in actions:
            match action:
                case StartHandshake(epoch):
                    assert self.initiator
                    assert self.attempt is None
                    assert epoch > self.proposed
                    assert self.told or not self._is_waiting()
                    assert self.rotation.phase is not TunnelPhase.DOWN
                    self.proposed = epoch
                    self.attempt = epoch
                case RetireEpoch(epoch):
                    in_force = any(newer > epoch for newer in self.forced)
                    assert in_force or self.rotation.phase is TunnelPhase.BLOCKED
                case BlockTunnel():
                    blocked = True
                case AskForRotation():
                    assert not self.initiator
                case SendInForce(epoch):
                    assert epoch in self.rotation.epochs or blocked
                case _:
                    pass

    def _is_waiting(self) -> bool:
        """Whether the newest epoch is the second in a row to miss its proof."""
        current = self.rotation.current
        return (
            self.unproven > 1
            and current is not None
            and current.phase is EpochPhase.COMMITTED
            and self.now < self.commits[current.number] + LIFETIME
        )

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

    @rule(ask=st.booleans())
    def up(self, ask: bool) -> None:
        self.told = True
        self.rotation.up(now=self.now, ask=ask)
        self.drain()

    @rule()
    def down(self) -> None:
        self.rotation.down()
        self.attempt = None
        self.unproven = 0
        self.drain()
        assert self.rotation.get_timer() is None

    @rule(reason=st.sampled_from(RotateReason))
    def rotate(self, reason: RotateReason) -> None:
        self.told = self.told or reason is not RotateReason.LIFETIME
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
        before = self.rotation.phase
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
        self.told = False
        self.drain()
        # Agreeing on keys proves nothing.
        blocked = before is TunnelPhase.BLOCKED
        assert self.rotation.phase is (TunnelPhase.CONNECTING if blocked else before)

    @rule()
    def fail(self) -> None:
        if self.initiator and self.attempt is None:
            return
        self.attempt = None
        self.told = True
        before = self.rotation.phase
        self.rotation.failed("timeout", "no answer", now=self.now)
        self.drain()
        assert self.rotation.phase is before

    @rule(epoch=st.one_of(st.integers(0, 60), st.just(2**64 - 1)))
    def behind(self, epoch: int) -> None:
        if not self.initiator or self.attempt is None:
            return
        self.attempt = None
        self.told = True
        self.rotation.behind(epoch, now=self.now)
        self.drain()

    @rule()
    def silent(self) -> None:
        self.told = True
        self.rotation.peer_silent(now=self.now)
        self.drain()

    @rule(returning=st.booleans())
    def closed(self, returning: bool) -> None:
        self.told = True
        self.rotation.peer_closed(now=self.now, returning=returning)
        self.drain()
        assert self.rotation.phase in (TunnelPhase.DOWN, TunnelPhase.BLOCKED)

    @rule()
    def plane_lost(self) -> None:
        self.told = True
        has_keys = self.rotation.current is not None
        self.rotation.trial.plane_lost("keys gone", now=self.now)
        self.drain()
        if has_keys:
            assert self.rotation.phase in (TunnelPhase.UNPROVEN, TunnelPhase.BLOCKED)

    @rule(is_there=st.booleans())
    def peer_obstructed(self, is_there: bool) -> None:
        self.told = True
        self.rotation.trial.peer_obstructed(is_there=is_there, now=self.now)
        self.drain()
        if is_there:
            assert self.rotation.phase is not TunnelPhase.UP

    @rule(detail=st.sampled_from(["", "no route"]))
    def obstructed(self, detail: str) -> None:
        self.told = True
        self.obstacle = detail
        self.rotation.trial.obstructed(detail, now=self.now)
        self.drain()

    @rule()
    def plane_failed(self) -> None:
        self.rotation.trial.plane_failed(now=self.now)
        self.drain()

    @rule(
        pick=st.sampled_from([max, min]),
        carrier=st.sampled_from([max, min, None]),
        wrong=st.booleans(),
        beside=st.integers(0, 9),
    )
    def polled(
        self,
        pick: Callable[[list[int]], int],
        carrier: Callable[[list[int]], int] | None,
        wrong: bool,
        beside: int,
    ) -> None:
        known = list(self.rotation.epochs) or [0]
        proven = {beside if wrong else pick(known)}
        self.rotation.trial.plane_polled(
            frozenset(proven),
            now=self.now,
            sending=carrier(known) if carrier is not None else None,
        )
        self.drain()

    @rule(beside=st.integers(0, 9), right=st.booleans(), echo=st.booleans())
    def peer_in_force(self, beside: int, right: bool, echo: bool) -> None:
        current = self.rotation.current
        number = current.number if right and current else beside
        self.rotation.trial.peer_in_force(number, echo=echo, now=self.now)
        self.drain()

    @rule(interval=st.sampled_from([2.0, 10.0, 60.0]))
    def reconfigure(self, interval: float) -> None:
        before = self.rotation.expires_at
        self.told = True
        self.rotation.reconfigure(
            Schedule("paris", interval),
            max_epoch_lifetime=LIFETIME,
            qkd_wanted=False,
        )
        self.every = None
        assert self.rotation.expires_at == before
        self.drain()

    @invariant()
    def passing_ends_in_time(self) -> None:
        """Nothing passes beyond the lifetime of the last epoch in force."""
        if not hasattr(self, "rotation"):
            return
        until = self.rotation.expires_at
        assert until == self.passing
        assert until is None or self.now <= until
        if self.rotation.phase in (TunnelPhase.DOWN, TunnelPhase.BLOCKED):
            assert until is None

    @invariant()
    def up_is_measured(self) -> None:
        if not hasattr(self, "rotation"):
            return
        rotation = self.rotation
        phases = [epoch.phase for epoch in rotation.epochs.values()]
        if rotation.phase is TunnelPhase.UP:
            assert EpochPhase.IN_FORCE in phases
            assert rotation.expires_at is not None
            assert rotation.reason == ""
            assert not self.obstacle
        else:
            assert rotation.reason
        if rotation.current is not None:
            assert rotation.epochs[rotation.current.number] is rotation.current
        else:
            assert all(phase is EpochPhase.PREPARED for phase in phases)

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
