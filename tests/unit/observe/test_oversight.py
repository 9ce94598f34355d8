"""Counters that should stand still, refusals of the fence, and failing rotations."""

from dataclasses import dataclass, field

from gateway.dataplane.fence.base import FenceState, TunnelFence
from gateway.errors import DataPlaneError
from gateway.observe.failures import Failing, FailingRotations
from gateway.observe.fence import FenceWatch, Refused
from gateway.observe.growth import RECENT, Growth
from gateway.rotation.events import EpochInForce, RotationFailed


def test_what_was_there_at_first_is_old() -> None:
    growth: Growth[str] = Growth()
    growth.note({"a": 7}, now=0.0)
    assert growth.recent(now=1.0) == {}
    growth.note({"a": 7, "b": 2}, now=2.0)
    growth.note({"a": 9, "b": 2}, now=3.0)
    assert growth.recent(now=4.0) == {"a": 2, "b": 2}


def test_growth_adds_up_and_is_forgotten() -> None:
    growth: Growth[str] = Growth()
    for step, value in enumerate((0, 1, 3)):
        growth.note({"a": value}, now=step * (RECENT - 1))
    assert growth.recent(now=2 * (RECENT - 1)) == {"a": 3}
    assert growth.recent(now=2 * (RECENT - 1) + RECENT) == {}
    growth.note({"a": 4}, now=4 * RECENT)
    assert growth.recent(now=4 * RECENT) == {"a": 1}


def test_a_counter_that_was_made_anew_counts_whole() -> None:
    growth: Growth[str] = Growth()
    growth.note({"a": 100}, now=0.0)
    growth.note({"a": 3}, now=1.0)
    assert growth.recent(now=1.0) == {"a": 3}


@dataclass
class Kernel:
    """A fence whose counters a test sets, and a clock."""

    out: int = 0
    inward: int = 0
    now: float = 0.0
    cost: float = 0.0
    readings: int = 0
    failure: DataPlaneError | None = None
    watch: FenceWatch = field(init=False)

    def __post_init__(self) -> None:
        self.watch = FenceWatch(self.read, lambda: self.now)

    async def read(self) -> FenceState:
        self.readings += 1
        self.now += self.cost
        if self.failure is not None:
            raise self.failure
        fence = TunnelFence(dropped_out=self.out, dropped_in=self.inward, granted=5.0)
        return FenceState(present=True, tunnels={"paris": fence})

    async def look(self, *up: str, **changes: int) -> Refused | None:
        """Set counters, look 10 s later, and return what was refused lately."""
        for name, value in changes.items():
            setattr(self, name, value)
        self.now += 10.0
        await self.watch.look(up)
        return self.watch.refused().get("paris")


async def test_refusals_of_a_tunnel_that_is_up() -> None:
    kernel = Kernel()
    assert await kernel.look("paris", out=456) is None  # from before we ran
    assert await kernel.look("paris") is None
    assert await kernel.look("paris", out=458, inward=1) == Refused(2, 1, 0)
    fence = kernel.watch.of("paris")
    assert fence is not None
    assert (fence.dropped_out, fence.dropped_in) == (458, 1)
    assert kernel.watch.of("rome") is None


async def test_refusals_while_it_was_not_up() -> None:
    kernel = Kernel()
    await kernel.look()
    assert await kernel.look(out=5) == Refused(meanwhile=5)
    # It came up since the last look: these may be from before.
    assert await kernel.look("paris", out=7) == Refused(meanwhile=7)
    assert await kernel.look("paris", out=8) == Refused(outward=1, meanwhile=7)
    assert await kernel.look(out=9) == Refused(outward=1, meanwhile=8)


async def test_a_fence_that_was_made_anew() -> None:
    kernel = Kernel()
    await kernel.look("paris", out=100)
    assert await kernel.look("paris", out=3) == Refused(outward=3)


async def test_a_fence_that_cannot_be_read_is_none() -> None:
    kernel = Kernel()
    kernel.failure = DataPlaneError("the kernel refused to list the table")
    await kernel.look()
    state = kernel.watch.state
    assert state is not None
    assert (state.present, state.reason) == (False, kernel.failure.message)


async def test_what_costs_much_is_read_seldom() -> None:
    kernel = Kernel(cost=1.0)
    for _ in range(20):
        kernel.now += 10.0
        await kernel.watch.look((), asked=False)
    assert kernel.readings == 4
    for _ in range(20):
        kernel.now += 1.0
        await kernel.watch.look(())
    assert kernel.readings == 9


async def test_a_reading_serves_all_who_ask_in_that_second() -> None:
    kernel = Kernel()
    for _ in range(3):
        await kernel.watch.look(())
    assert kernel.readings == 1


def test_failures_since_the_last_epoch_in_force() -> None:
    failing = FailingRotations()
    assert failing.get("paris") is None
    failing.note(RotationFailed("paris", "timeout", "no answer", 1), now=10.0)
    failing.note(RotationFailed("paris", "qkd", "no key", 2), now=20.0)
    assert failing.get("paris") == Failing(2, 10.0, "qkd", "no key")
    assert failing.get("rome") is None
    failing.note(EpochInForce("paris", 7, 0.1), now=30.0)
    assert failing.get("paris") is None
    failing.note(RotationFailed("paris", "timeout", "no answer", 1), now=40.0)
    failing.forget("paris")
    assert failing.get("paris") is None
