"""What the daemon lets pass, for how long, and in which order with the plane."""

import asyncio

import pytest

from gateway.errors import DataPlaneError
from gateway.rotation.phases import TunnelPhase
from tests.unit.daemon.conftest import start_both
from tests.unit.daemon.services import TUNNEL, End, until
from tests.unit.daemon.test_daemon_rotation import epochs, in_force, rotate

Pair = tuple[End, End]
LIFETIME = 180.0
"""Seconds: three intervals, the default."""


@pytest.fixture
def journal(ends: Pair) -> tuple[list[tuple[object, ...]], ...]:
    """What each end's plane and fence are asked for, in one order."""
    for end in ends:
        end.fence.calls = end.plane.calls
    return tuple(end.plane.calls for end in ends)


def steps(calls: list[tuple[object, ...]]) -> list[object]:
    wanted = ("grant", "revoke", "activate", "block")
    return [call[0] for call in calls if call[0] in wanted]


def granted(end: End) -> list[float]:
    return [
        float(str(call[3])) for call in end.plane.calls if call[:2] == ("grant", TUNNEL)
    ]


async def test_granted_before_the_first_epoch_and_renewed_by_each_in_force(
    ends: Pair, journal: tuple[list[tuple[object, ...]], ...]
) -> None:
    await start_both(ends)
    await until(lambda: all(len(granted(end)) == 2 for end in ends), "the grants")
    for calls, end in zip(journal, ends, strict=True):
        # Blocked at start; then the first grant, before anything can be sent.
        assert steps(calls) == ["revoke", "block", "grant", "activate", "grant"]
        first, second = granted(end)
        assert first == LIFETIME
        # To the end of the epoch, which is some milliseconds old.
        assert LIFETIME - 1.0 < second < LIFETIME
        calls.clear()
    await rotate(ends)
    await until(lambda: all(granted(end) for end in ends), "the renewals")
    for calls in journal:
        assert steps(calls) == ["activate", "grant"]


@pytest.mark.usefixtures("journal")
async def test_revoked_before_the_plane_is_touched(ends: Pair) -> None:
    await start_both(ends)
    for end in ends:
        end.plane.calls.clear()
    await ends[0].call("tunnel.down", name=TUNNEL)
    await until(lambda: ("block", TUNNEL) in ends[1].plane.calls, "the peer's block")
    for end in ends:
        assert steps(end.plane.calls) == ["revoke", "block"]
        assert end.fence.grants == {}


@pytest.mark.usefixtures("journal")
async def test_an_epoch_that_is_not_in_force_renews_nothing(ends: Pair) -> None:
    await start_both(ends)
    await until(lambda: all(len(granted(end)) == 2 for end in ends), "the grants")
    for end in ends:
        end.plane.calls.clear()
        end.plane.delivers = False
    await ends[0].call("tunnel.rotate", name=TUNNEL)
    await until(lambda: epochs(ends) == [2, 2], "the epoch")
    await asyncio.sleep(1.0)
    assert [granted(end) for end in ends] == [[], []]


async def test_a_restart_grants_what_is_left(ends: Pair) -> None:
    await start_both(ends)
    await rotate(ends)
    first = ends[0]
    left = first.driver.state.rotation.expires_at
    assert left is not None
    await first.stop()
    await asyncio.sleep(1.0)
    first.plane.calls.clear()
    first.fence.calls.clear()
    await first.start()
    (_, _, _, seconds) = next(c for c in first.fence.calls if c[0] == "grant")
    expected = left - asyncio.get_running_loop().time()
    assert float(str(seconds)) == pytest.approx(expected, abs=0.5)


async def test_a_fence_that_refuses_is_asked_again(
    ends: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    await start_both(ends)
    await until(lambda: len(ends[0].fence.grants) == 1, "the grants")
    ends[0].fence.failure = DataPlaneError("the kernel is busy")
    ends[0].fence.calls.clear()
    await rotate(ends)

    def renewed() -> bool:
        return [call[0] for call in ends[0].fence.calls] == ["grant", "grant"]

    await until(renewed, "another try")
    assert "the kernel is busy" in caplog.text
    assert ends[0].driver.state.rotation.phase is TunnelPhase.UP


async def test_a_fence_that_refuses_the_first_grant_lets_nothing_be_sent(
    ends: Pair,
) -> None:
    first, second = ends
    await second.start()
    second.fence.failure = DataPlaneError("the kernel is busy")
    await first.start()
    await until(lambda: in_force(ends, 1), "a later epoch", 20.0)
    assert ("activate", TUNNEL, 1) not in second.plane.calls
