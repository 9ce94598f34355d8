"""What two whole daemons say, and what it costs, when packets do not pass."""

import asyncio
import logging

import pytest
from doubles.plane import FakePlane

from gateway.errors import DataPlaneError
from gateway.rotation import limits
from gateway.rotation.actions import PollPlane
from gateway.rotation.phases import TunnelPhase
from tests.unit.daemon.conftest import start_both
from tests.unit.daemon.services import TUNNEL, End, stays, until
from tests.unit.daemon.test_daemon_rotation import epochs, in_force, rotate

Pair = tuple[End, End]

ROUND_TRIPS = 1.0
"""Seconds that a few round trips and a kernel's answers take on a busy machine."""

FILTERED = (
    "no packet has come back: is IP protocol 50 filtered on the way? set encap = true "
    "at both ends, or open it in the peer's firewall"
)


def phases(ends: Pair) -> list[TunnelPhase]:
    return [end.driver.state.rotation.phase for end in ends]


def are(ends: Pair, phase: TunnelPhase) -> bool:
    return phases(ends) == [phase, phase]


def filter_packets(ends: Pair, *, passing: bool) -> None:
    for end in ends:
        end.plane.delivers = passing


async def consumed(end: End) -> int:
    return int((await end.stock())["consumed"])


async def start_filtered(ends: Pair, **keys: object) -> None:
    filter_packets(ends, passing=False)
    for end in reversed(ends):
        end.tunnel_keys[TUNNEL].update(keys)
        await end.start()
    await until(lambda: are(ends, TunnelPhase.UNPROVEN), "what is so", 20.0)


async def test_packets_that_are_filtered_from_the_start(
    ends: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    """Not up, the cause named, two keys spent; and up at once when they pass."""
    await start_filtered(ends)
    for end in ends:
        status = await end.status()
        assert status["state"] == "unproven"
        assert status["reason"] == FILTERED
        assert status["last_failure"]["reason"] == "not-in-force"
        assert status["last_failure"]["detail"] == FILTERED
        assert status["failed_rotations"] == 1
        assert end.service.status_line.text() == "0 of 1 tunnels up, 1 unproven"
    await until(lambda: epochs(ends) == [2, 2], "the one handshake more")
    await asyncio.sleep(limits.PROOF_TIMEOUT + 1.0)
    assert are(ends, TunnelPhase.UNPROVEN)
    assert epochs(ends) == [2, 2]
    assert [await consumed(end) for end in ends] == [2, 2]
    said = [one for one in caplog.records if "not in force" in one.message]
    assert len(said) == 4  # two at each end
    filter_packets(ends, passing=True)
    await until(lambda: are(ends, TunnelPhase.UP), "traffic", 1.5)
    assert epochs(ends) == [2, 2]
    assert [await consumed(end) for end in ends] == [2, 2]


async def test_packets_that_are_filtered_later(running: Pair) -> None:
    filter_packets(running, passing=False)
    await running[0].call("tunnel.rotate", name=TUNNEL)
    await until(lambda: epochs(running) == [2, 2], "the epoch")
    await stays(lambda: are(running, TunnelPhase.UP), "up while it may be proven", 3.0)
    await until(lambda: are(running, TunnelPhase.UNPROVEN), "the truth")
    filter_packets(running, passing=True)
    await until(lambda: are(running, TunnelPhase.UP), "traffic", 1.5)


async def test_one_way_is_told_from_none(ends: Pair) -> None:
    first, second = ends
    second.plane.delivers = False
    for end in (second, first):
        await end.start()
    await until(lambda: are(ends, TunnelPhase.UNPROVEN), "what is so", 20.0)

    def reasons() -> list[str]:
        return [end.driver.state.rotation.reason for end in ends]

    # The one handshake more begins knowing nothing; its epoch tells the same soon.
    here = "packets reach the peer, none comes back: is IP protocol 50"
    there = "packets come from the peer, none reaches it"
    await until(
        lambda: all(map(str.startswith, reasons(), (here, there))), "what is known"
    )
    assert reasons()[0].endswith("this gateway's firewall")
    assert [(await end.status())["reason"] for end in ends] == reasons()


async def test_the_lifetime_counts_from_what_was_in_force(
    ends: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for end in ends:
        end.tunnel_keys[TUNNEL].update(rotation_interval=2.0, max_epoch_lifetime=6.0)
    await start_both(ends)
    filter_packets(ends, passing=False)
    loop = asyncio.get_running_loop()
    await until(lambda: min(epochs(ends)) > 1, "another epoch")
    rotation = ends[0].driver.state.rotation
    expires_at = rotation.expires_at
    assert expires_at is not None
    await until(lambda: are(ends, TunnelPhase.BLOCKED), "the end", 8.0)
    assert loop.time() <= expires_at + 1.0
    status = await ends[0].status()
    assert status["reason"].startswith("no epoch in force within max_epoch_lifetime: ")
    # What is installed stays, and carries again without another handshake.
    (before, _) = epochs(ends)
    filter_packets(ends, passing=True)
    await until(lambda: are(ends, TunnelPhase.UP), "traffic", 1.5)
    ups = [one.__dict__["epoch"] for one in caplog.records if one.message == "up"]
    assert ups[-2:] == [before, before]


async def test_down_and_up_at_the_responder(running: Pair) -> None:
    """Not at the initiator's next slot, which is a minute away."""
    first, second = running
    await second.call("tunnel.down", name=TUNNEL)
    await until(lambda: phases(running)[0] is TunnelPhase.BLOCKED, "the peer's block")
    tries = first.driver.state.rotation.failures
    await stays(lambda: phases(running)[1] is TunnelPhase.DOWN, "down", 3.0)
    assert first.driver.state.rotation.failures == tries
    await second.call("tunnel.up", name=TUNNEL)
    await until(lambda: in_force(running, 1), "traffic", ROUND_TRIPS)


async def test_up_at_the_initiator_that_waits_for_its_peer(running: Pair) -> None:
    first, second = running
    await second.call("tunnel.down", name=TUNNEL)
    await until(lambda: phases(running)[0] is TunnelPhase.BLOCKED, "the peer's block")
    await first.call("tunnel.up", name=TUNNEL)
    await until(lambda: first.driver.state.failure is not None, "the call")
    assert first.driver.state.failure_reason() == "not-ready"
    # It was told again that this is on purpose.
    failures = first.driver.state.rotation.failures
    await asyncio.sleep(3.0)
    assert first.driver.state.rotation.failures == failures


async def test_a_close_that_was_lost_is_said_again(running: Pair) -> None:
    first, second = running
    second.driver.state.rotation.down()  # as if the notice had been lost
    second.driver._pump()
    assert phases(running)[0] is TunnelPhase.UP
    await first.call("tunnel.rotate", name=TUNNEL)
    await until(lambda: phases(running)[0] is TunnelPhase.BLOCKED, "the notice")


async def test_disabled_and_enabled_at_the_responder(running: Pair) -> None:
    second = running[1]
    for enabled in (False, True):
        second.tunnel_keys[TUNNEL]["enabled"] = enabled
        second.write()
        await second.call("reload")
    await until(lambda: in_force(running, 1), "traffic", ROUND_TRIPS)


async def test_a_tunnel_that_the_responder_makes_anew(running: Pair) -> None:
    """What a reload cannot do in place takes the keys away; new ones follow at once."""
    first, second = running
    await second.service.tunnels.remove(TUNNEL, returning=True)
    second.service.exchange.flush()
    await until(lambda: phases_of(first) is TunnelPhase.BLOCKED, "the notice")
    await second.service.tunnels.add(second.service.config.tunnels[TUNNEL])
    await until(lambda: in_force(running), "traffic", 2.0)


def phases_of(end: End) -> TunnelPhase:
    return end.driver.state.rotation.phase


async def test_a_kernel_that_always_refuses_is_said_once(
    running: Pair, written: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = running[0]
    spent = await consumed(first)

    def poll(self: FakePlane, name: str) -> object:
        raise DataPlaneError(f"cannot move the routes of {name}")

    monkeypatch.setattr(FakePlane, "poll", poll)
    await first.call("tunnel.rotate", name=TUNNEL)
    await until(lambda: are(running, TunnelPhase.UNPROVEN), "the truth", 10.0)
    await asyncio.sleep(limits.PROOF_TIMEOUT)
    lines = [
        one.message
        for one in written.records
        if one.levelno == logging.WARNING and "cannot move the routes" in one.message
    ]
    # One of the call, one of the proof that fails; at each end, and of two epochs.
    assert len(lines) <= 8
    assert len([line for line in lines if line.startswith("PollPlane")]) <= 4
    status = await first.status()
    assert "the data plane says: cannot move the routes of paris" in status["reason"]
    assert await consumed(first) == spent + 2
    monkeypatch.undo()
    await until(lambda: are(running, TunnelPhase.UP), "traffic", 1.5)


async def test_keys_that_somebody_removes_again_and_again(
    running: Pair, written: pytest.LogCaptureFixture
) -> None:
    first = running[0]
    spent = await consumed(first)
    for _ in range(60):
        first.plane.block(TUNNEL)
        first.driver.post(PollPlane())
        await asyncio.sleep(0.1)
    assert await consumed(first) - spent <= 4
    lines = [one for one in written.records if "no longer holds" in one.message]
    assert len(lines) == 1
    await until(lambda: are(running, TunnelPhase.UP), "traffic", 10.0)


async def test_a_restart_remembers_what_was_in_force(running: Pair) -> None:
    await rotate(running)
    first = running[0]
    filter_packets(running, passing=False)
    await first.call("tunnel.rotate", name=TUNNEL)
    await until(lambda: epochs(running) == [3, 3], "an epoch")
    before = first.driver.state.rotation.expires_at
    await first.stop()
    first.tunnel_keys[TUNNEL]["endpoint"] = "127.0.0.1:9"
    await first.start()
    assert phases_of(first) is TunnelPhase.UNPROVEN
    assert first.driver.state.rotation.expires_at == before
