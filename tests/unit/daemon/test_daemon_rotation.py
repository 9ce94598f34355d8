"""A full rotation between two services, and what stops and starts one."""

import asyncio
import functools

import pytest

from gateway.rotation.phases import TunnelPhase
from tests.unit.daemon.services import TUNNEL, End, stays, until

Pair = tuple[End, End]


def epochs(ends: Pair) -> list[int]:
    return [
        current.number if (current := end.driver.state.rotation.current) else -1
        for end in ends
    ]


def in_force(ends: Pair, above: int = 0) -> bool:
    numbers = epochs(ends)
    same = numbers[0] == numbers[1] > above
    return same and all(end.in_force() for end in ends)


async def rotate(ends: Pair, by: int = 0) -> None:
    before = max(epochs(ends))
    await ends[by].call("tunnel.rotate", name=TUNNEL)
    await until(lambda: in_force(ends, before), "the next epoch")


async def test_first_epoch(running: Pair) -> None:
    statuses = [await end.status() for end in running]
    for status in statuses:
        assert status["state"] == "up"
        assert status["epoch"] == 1
        assert status["sources"] == ["x25519", "ml-kem-768", "qkd"]
        assert status["in_force"]["local"]
        assert status["in_force"]["peer"]
        assert status["faults"] == []
        assert status["reason"] == ""
    assert statuses[0]["key_id"] == statuses[1]["key_id"]
    first, second = (end.plane.install_of(TUNNEL, 1) for end in running)
    assert first.keys.esp_send == second.keys.esp_receive
    assert first.keys.esp_receive == second.keys.esp_send
    assert first.keys.esp_send != first.keys.esp_receive
    assert first.keys.wireguard_psk == second.keys.wireguard_psk


async def test_order_that_loses_no_packet(running: Pair) -> None:
    await rotate(running)
    for end in running:
        calls = [call for call in end.plane.calls if call[2:] == (2,)]
        assert [call[0] for call in calls][:3] == ["offer", "prepare", "activate"]
    # The old receive side goes seconds after the new one is proven.
    for end in running:
        assert ("retire", TUNNEL, 1) not in end.plane.calls
    await until(
        lambda: all(("retire", TUNNEL, 1) in end.plane.calls for end in running),
        "the old epoch's end",
    )


async def test_every_epoch_has_its_own_keys(running: Pair) -> None:
    seen = set()
    for _ in range(5):
        await rotate(running)
        current = running[0].driver.state.rotation.current
        assert current is not None
        assert current.sources == ("x25519", "ml-kem-768", "chain", "qkd")
        seen.add(current.key_id)
    assert len(seen) == 5


async def test_a_responder_asks_for_rotation(running: Pair) -> None:
    await asyncio.sleep(2.1)  # MIN_REQUESTED_SPACING
    await rotate(running, by=1)


async def test_a_wish_that_comes_too_soon_is_put_off_and_not_forgotten(
    running: Pair,
) -> None:
    asked = asyncio.get_running_loop().time()
    await rotate(running, by=1)
    current = running[0].driver.state.rotation.current
    assert current is not None
    assert current.committed_at is not None
    assert current.committed_at > asked + 1.0


async def test_down_blocks_both_ends_and_up_heals(running: Pair) -> None:
    first, second = running
    await first.call("tunnel.down", name=TUNNEL)
    await until(
        lambda: second.driver.state.rotation.phase is TunnelPhase.BLOCKED,
        "the peer's block",
    )
    await until(
        lambda: all(not end.plane.send(TUNNEL) for end in running), "both blocked"
    )
    assert (await second.status())["reason"] == "the peer took the tunnel down"
    assert (await first.status())["state"] == "down"
    await stays(lambda: first.driver.state.rotation.phase is TunnelPhase.DOWN, "down")
    await first.call("tunnel.up", name=TUNNEL)
    await until(lambda: in_force(running, 1), "the tunnel's return")


async def test_down_at_the_responder(running: Pair) -> None:
    first, second = running
    await second.call("tunnel.down", name=TUNNEL)
    await until(
        lambda: first.driver.state.rotation.phase is TunnelPhase.BLOCKED,
        "the peer's block",
    )
    await first.call("tunnel.rotate", name=TUNNEL)
    await until(lambda: first.driver.state.failure is not None, "the refusal")
    status = await first.status()
    assert status["last_failure"]["reason"] == "not-ready"
    assert "down, or not ready" in status["reason"]
    assert second.driver.state.rotation.phase is TunnelPhase.DOWN
    await second.call("tunnel.up", name=TUNNEL)
    await until(lambda: in_force(running, 1), "the tunnel's return")


@pytest.mark.parametrize("by", [0, 1])
@pytest.mark.parametrize("delay", [0.0, 0.001, 0.003, 0.006, 0.01, 0.015])
async def test_down_in_the_middle_of_a_handshake_stays_down(
    running: Pair, by: int, delay: float
) -> None:
    """Whatever was under way, nothing is installed after the operator's down."""
    downed = running[by]
    await running[0].call("tunnel.rotate", name=TUNNEL)
    await asyncio.sleep(delay)
    await downed.call("tunnel.down", name=TUNNEL)
    await until(lambda: not downed.plane.read_state(TUNNEL).epochs, "its keys gone")
    await stays(
        lambda: (
            downed.driver.state.rotation.phase is TunnelPhase.DOWN
            and not downed.plane.read_state(TUNNEL).epochs
        ),
        "down",
    )
    await until(lambda: running[1 - by].plane.read_state(TUNNEL).blocked, "the peer")
    await downed.call("tunnel.up", name=TUNNEL)
    await running[0].call("tunnel.rotate", name=TUNNEL)
    await until(lambda: in_force(running, 1), "the tunnel's return")
    for end in running:
        assert (await end.stock())["reserved"] <= 8


async def test_both_ends_restart_and_nothing_is_dropped(running: Pair) -> None:
    for end in (*running, *reversed(running)):
        before = max(epochs(running))
        await end.stop()
        assert end.plane.send(TUNNEL)  # the kernel carries on alone
        calls = len(end.plane.calls)
        await end.start()
        assert end.plane.send(TUNNEL)
        assert ("block", TUNNEL) not in end.plane.calls[calls:]
        if end.letter == "b":
            # A session lost: the initiator finds out by pings, or an operator asks.
            await running[0].call("tunnel.rotate", name=TUNNEL)
        await until(functools.partial(in_force, running, before), "a new epoch")


async def test_killed_and_its_kernel_emptied(running: Pair) -> None:
    """As after a reboot: the state directory is there, the kernel's keys are not."""
    first, second = running
    await second.stop()
    second.plane.block(TUNNEL)
    await second.start()
    assert second.driver.state.rotation.phase is TunnelPhase.CONNECTING
    await first.call("tunnel.rotate", name=TUNNEL)
    await until(lambda: in_force(running, 1), "a new epoch")


async def test_state_lost_at_the_initiator(running: Pair) -> None:
    """Its epochs start again at 1; the peer says which comes next."""
    await rotate(running)
    await rotate(running)
    first = running[0]
    await first.stop()
    (first.folder / "state" / "tunnels" / f"{TUNNEL}.json").unlink()
    await first.start()
    await until(lambda: in_force(running, 3), "an epoch above all before")
