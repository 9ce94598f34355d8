"""Whatever is done to a link in whatever order, what it says holds together."""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.kme.link import LinkState
from gateway.kme.physics.draws import SeededDraws
from gateway.kme.physics.fibre import FibreLink
from gateway.kme.physics.parameters import metro
from gateway.kme.physics.rate import operation

TROUBLED = replace(
    metro(),
    time_between_failures=1800.0,
    time_to_repair=300.0,
    post_processing_delay=90.0,
)
USUAL = operation(TROUBLED)


class FibreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.link = FibreLink(TROUBLED, SeededDraws(b"machine"), time_scale=50.0)
        self.link.step(0.0)
        self.now = 0.0
        self.last = 0.0
        self.lit = 0.0
        self.bits = 0
        self.cut = False
        self.tapped = 0.0

    @rule(seconds=st.floats(-1.0, 100.0))
    def wait(self, seconds: float) -> None:
        before = self.now
        self.now = max(self.now, self.now + seconds)
        if not self.cut:
            self.lit += min(self.now - before, 60.0) * 50.0
        for block in self.link.step(before + seconds):
            assert self.last <= block.time + 1e-6
            assert block.time <= self.now + 1e-6
            assert 0 <= block.secret_bits < block.sifted_bits
            assert 0.0 <= block.qber <= 0.5
            assert not self.cut
            self.last = block.time
            self.bits += block.secret_bits

    @rule()
    def down(self) -> None:
        self.link.down()
        self.cut = True

    @rule()
    def up(self) -> None:
        self.link.up()
        self.cut = False

    @rule(on=st.booleans())
    def eavesdrop(self, on: bool) -> None:
        self.link.eavesdrop(on)
        self.tapped = float(on)

    @rule(fraction=st.floats(0.0, 1.0))
    def intercept(self, fraction: float) -> None:
        self.link.intercept(fraction)
        self.tapped = fraction

    @invariant()
    def never_more_than_the_physics_gives(self) -> None:
        # One block more for the draws' sake.
        assert self.bits <= (
            USUAL.secret_rate * self.lit * 1.02 + 1.1 * USUAL.secret_bits
        )

    @invariant()
    def status_holds_together(self) -> None:
        status = self.link.status()
        assert (status.state is LinkState.UP) or status.alarm
        assert status.secret_rate == 0.0 or status.state is LinkState.UP
        assert status.intercepted == self.tapped
        if self.cut:
            assert status.state is LinkState.DOWN
        if self.tapped > 0.3:
            assert status.secret_rate == 0.0


FibreMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestFibreMachine = FibreMachine.TestCase
