"""A kernel that refuses: nothing is half-installed, and the tunnel recovers."""

from dataclasses import replace

import pytest

from gateway.dataplane.base import PlaneState
from gateway.errors import DataPlaneError, PlaneConflictError
from gateway.handshake import limits
from tests.unit.daemon.services import TUNNEL, End, until
from tests.unit.daemon.test_daemon_rotation import in_force

Pair = tuple[End, End]


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """An initiator whose peer is in trouble hears nothing, and waits less here."""
    monkeypatch.setattr(limits, "COMMIT_TIMEOUT", 1.0)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("method", ["offer", "prepare", "activate"])
async def test_one_refusal_costs_one_attempt(
    running: Pair, which: int, method: str
) -> None:
    end = running[which]
    end.plane.fail_next(method, DataPlaneError("out of memory", retryable=True))
    await running[0].call("tunnel.rotate", name=TUNNEL)
    await until(lambda: any(one.driver.state.failure for one in running), "a failure")
    await until(lambda: in_force(running, 1), "a new epoch")
    for one in running:
        states = one.plane.read_state(TUNNEL).epochs
        current = one.driver.state.rotation.current
        assert current is not None
        assert [state.epoch for state in states if state.active] == [current.number]
        known = set(one.driver.state.rotation.epochs)
        assert {state.epoch for state in states} <= known
        assert (await one.status())["faults"] == []


@pytest.mark.parametrize("which", [0, 1])
async def test_what_was_in_force_stays_while_the_kernel_refuses(
    running: Pair, which: int
) -> None:
    end = running[which]
    for _ in range(3):
        end.plane.fail_next("prepare", DataPlaneError("no buffer space"))
    await running[0].call("tunnel.rotate", name=TUNNEL)
    await until(lambda: end.driver.state.failure, "a failure")
    status = await end.status()
    assert status["state"] == "up"
    assert "no buffer space" in status["last_failure"]["detail"]
    assert end.plane.send(TUNNEL)
    assert [epoch.epoch for epoch in end.plane.read_state(TUNNEL).epochs] == [1]


@pytest.mark.parametrize("method", ["offer", "prepare", "activate"])
@pytest.mark.parametrize("which", [0, 1])
async def test_a_fault_of_ours_does_not_end_rotation(
    running: Pair, which: int, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = running[which]

    def explode(*args: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(end.plane, method, explode)
        await running[0].call("tunnel.rotate", name=TUNNEL)
        await until(
            lambda: any(one.driver.state.failure for one in running), "a failure"
        )
    await until(lambda: in_force(running, 1), "recovery")


async def test_a_tunnel_that_cannot_start_is_shown_and_tried_again(
    ends: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = ends
    monkeypatch.setattr("gateway.daemon.service.STATUS_INTERVAL", 0.1)
    monkeypatch.setattr("gateway.daemon.service.RETRY_TUNNEL", 0.2)
    await second.start()
    first.plane.fail_next(
        "add_tunnel",
        PlaneConflictError(
            "interface qgw0 belongs to someone else", "set interface = ..."
        ),
    )
    await first.start()
    status = await first.status()
    assert (status["state"], status["started"]) == ("blocked", False)
    assert status["reason"] == "interface qgw0 belongs to someone else"
    assert status["hint"] == "set interface = ..."
    warnings = (await first.call("status"))["warnings"]
    assert (
        f"tunnel {TUNNEL}: cannot start: interface qgw0 belongs to someone else"
        in warnings
    )
    assert first.service.status_line.text() == "0 of 1 tunnels up, 1 cannot start"
    await until(lambda: TUNNEL in first.service.tunnels.drivers, "the second try")
    await until(lambda: in_force(ends), "the tunnel")


@pytest.mark.parametrize("method", ["block", "add_tunnel"])
async def test_a_start_refused_halfway_is_tried_again(
    ends: Pair, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = ends
    monkeypatch.setattr("gateway.daemon.service.STATUS_INTERVAL", 0.1)
    monkeypatch.setattr("gateway.daemon.service.RETRY_TUNNEL", 0.2)
    await second.start()
    for _ in range(3):
        first.plane.fail_next(method, DataPlaneError("busy", retryable=True))
    await first.start()
    assert TUNNEL in first.service.tunnels.failed
    await until(lambda: TUNNEL in first.service.tunnels.drivers, "a later try")
    await until(lambda: in_force(ends), "the tunnel")


async def test_proof_counts_only_once_the_epoch_also_sends(
    running: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WireGuard moves its routes in a later poll: without it nothing is in force."""
    first = running[0]
    honest = first.plane.poll
    polls = []

    def late(name: str) -> PlaneState:
        polls.append(name)
        state = honest(name)
        if len(polls) > 2:
            return state
        sends_still = tuple(
            replace(epoch, active=epoch.epoch == 1) for epoch in state.epochs
        )
        return replace(state, epochs=sends_still)

    monkeypatch.setattr(first.plane, "poll", late)
    await first.call("tunnel.rotate", name=TUNNEL)
    await until(lambda: in_force(running, 1), "the next epoch")
    assert len(polls) > 2


async def test_keys_that_vanish_from_the_kernel_are_made_anew(running: Pair) -> None:
    first = running[0]
    first.plane.expire(TUNNEL, 1)
    first.driver.state.rotation.trial.proof.poll_at = 0.0
    first.driver._on_timer()
    await until(lambda: in_force(running, 1), "a new epoch")


async def test_keys_that_vanish_before_their_proof_are_made_anew(
    running: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = running[0].plane
    activate = plane.activate

    def activate_and_lose(name: str, epoch: int) -> None:
        activate(name, epoch)
        if epoch == 2:
            plane.expire(name, epoch)

    monkeypatch.setattr(plane, "activate", activate_and_lose)
    await running[0].call("tunnel.rotate", name=TUNNEL)
    await until(lambda: in_force(running, 2), "the epoch after the one that was lost")
