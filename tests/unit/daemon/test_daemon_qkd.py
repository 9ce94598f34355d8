"""Keys that run out, cannot be marked used, or are not wanted."""

from uuid import UUID

import pytest

from gateway.errors import KeyStoreError
from gateway.handshake import limits
from gateway.rotation.phases import TunnelPhase
from gateway.secret import Secret
from tests.unit.daemon.conftest import start_both
from tests.unit.daemon.services import TUNNEL, End, stays, until
from tests.unit.daemon.test_daemon_rotation import in_force, rotate

Pair = tuple[End, End]


async def start_all(ends: Pair) -> None:
    for end in reversed(ends):
        await end.start()


async def test_required_and_no_keys_blocks_and_says_why(file_ends: Pair) -> None:
    first, second = file_ends
    await start_all(file_ends)
    await until(lambda: first.driver.state.rotation.failures > 0, "a failed attempt")
    status = await first.status()
    assert status["state"] == "connecting"
    assert "no QKD key in stock of link fibre" in status["reason"]
    assert "qkd = required" in status["reason"]
    assert status["hint"]
    for end in file_ends:
        assert end.plane.read_state(TUNNEL).blocked
        assert ("link fibre: stock is empty") in (await end.call("status"))["warnings"]
    # Keys at one end only: both ends say why.
    assert (await first.import_keys(range(1, 6)))["added"] == 5
    await until(
        lambda: second.driver.state.failure is not None, "the responder's refusal"
    )
    await until(
        lambda: first.driver.state.failure_reason() == "qkd-unavailable", "the refusal"
    )
    for end in file_ends:
        status = await end.status()
        assert "no QKD key is in stock at both ends" in status["reason"]
        assert end.plane.read_state(TUNNEL).blocked
    await second.import_keys(range(1, 6))
    await until(lambda: in_force(file_ends), "the tunnel", 12.0)
    assert (await first.status())["key_id"] == str(UUID(int=1))


async def test_required_stock_used_up(file_ends: Pair) -> None:
    first = file_ends[0]
    await start_all(file_ends)
    for end in file_ends:
        await end.import_keys(range(1, 3))
    await until(lambda: in_force(file_ends), "the tunnel")
    await rotate(file_ends)
    await first.call("tunnel.rotate", name=TUNNEL)
    await until(lambda: first.driver.state.failure is not None, "the failure")
    assert (
        first.driver.state.rotation.phase is TunnelPhase.UP
    )  # until its lifetime ends
    for end in file_ends:
        stock = await end.stock()
        assert (stock["available"], stock["reserved"], stock["consumed"]) == (0, 0, 2)
        assert stock["alarm"] == "empty"


async def test_preferred_goes_on_without_and_says_so(file_ends: Pair) -> None:
    for end in file_ends:
        end.tunnel_keys[TUNNEL]["qkd"] = "preferred"
    await start_all(file_ends)
    await until(lambda: in_force(file_ends), "the tunnel")
    reasons = ("no key in stock of link fibre", "the peer offered none")
    for end, reason in zip(file_ends, reasons, strict=True):
        status = await end.status()
        assert status["sources"] == ["x25519", "ml-kem-768"]
        assert status["key_id"] is None
        assert status["faults"] == [f"this epoch has no fresh QKD key: {reason}"]
        await end.import_keys(range(1, 4))
    await rotate(file_ends)
    for end in file_ends:
        status = await end.status()
        assert "qkd" in status["sources"]
        assert status["faults"] == []


async def test_off_never_uses_one(file_ends: Pair) -> None:
    for end in file_ends:
        end.tunnel_keys[TUNNEL]["qkd"] = "off"
    await start_all(file_ends)
    for end in file_ends:
        await end.import_keys(range(1, 4))
    await until(lambda: in_force(file_ends), "the tunnel")
    await rotate(file_ends)
    for end in file_ends:
        assert "qkd" not in (await end.status())["sources"]
        stock = await end.stock()
        assert (stock["available"], stock["consumed"]) == (3, 0)


async def test_policies_that_exclude_each_other(file_ends: Pair) -> None:
    first, second = file_ends
    first.tunnel_keys[TUNNEL]["qkd"] = "off"
    await start_all(file_ends)
    await second.import_keys(range(1, 4))
    await until(lambda: first.driver.state.failure is not None, "the refusal")
    for end, ours, theirs in (
        (first, "off", "required"),
        (second, "required", "off"),
    ):
        status = await end.status()
        assert f"here {ours}, peer {theirs}" in status["reason"]
        assert status["peer_qkd"] == theirs
        assert end.plane.read_state(TUNNEL).blocked


async def test_policies_that_differ_are_a_fault_at_both(running: Pair) -> None:
    first = running[0]
    first.tunnel_keys[TUNNEL]["qkd"] = "preferred"
    first.write()
    await first.call("reload")
    await rotate(running)
    faults = [(await end.status())["faults"] for end in running]
    assert faults == [
        ["QKD policy differs: here preferred, peer required"],
        ["QKD policy differs: here required, peer preferred"],
    ]


@pytest.mark.parametrize("which", [0, 1])
async def test_a_key_that_cannot_be_marked_used_is_not_used(
    running: Pair, which: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "COMMIT_TIMEOUT", 1.0)
    end = running[which]
    store = end.service.store
    refused: list[UUID] = []

    def consume(link: str, key_id: UUID, *, holder: str) -> Secret:
        refused.append(key_id)
        raise KeyStoreError("no space left on the disk", retryable=True)

    with monkeypatch.context() as patch:
        patch.setattr(store.uses, "consume", consume)
        await running[0].call("tunnel.rotate", name=TUNNEL)
        await until(lambda: refused and end.driver.state.failure, "an attempt", 20.0)
        status = await end.status()
        assert "no space left on the disk" in status["last_failure"]["detail"]
        for one in running:
            states = one.plane.read_state(TUNNEL).epochs
            assert [state.epoch for state in states if state.active] == [1]
        assert [epoch.epoch for epoch in end.plane.read_state(TUNNEL).epochs] == [1]
    # The initiator hears nothing of its peer's trouble: it waits COMMIT_TIMEOUT.
    await until(lambda: in_force(running, 1), "a new epoch", 10.0)


async def test_a_store_that_refuses_everything(
    running: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise KeyStoreError("disk I/O error")

    with monkeypatch.context() as patch:
        for end in running:
            for name in ("reserve", "reserve_first", "consume", "release"):
                patch.setattr(end.service.store.uses, name, refuse)
            patch.setattr(end.service.store.ledger, "retire", refuse)
        await running[0].call("tunnel.rotate", name=TUNNEL)
        await until(lambda: running[0].driver.state.failure is not None, "a failure")
        assert running[0].driver.state.failure_reason() == "qkd"
        await stays(lambda: all(end.plane.send(TUNNEL) for end in running), "traffic")
    await until(lambda: in_force(running, 1), "a new epoch", 20.0)


async def test_no_key_is_used_twice_over_many_restarts(ends: Pair) -> None:
    await start_both(ends)
    used: list[UUID] = []
    for turn in range(6):
        await rotate(ends)
        current = ends[0].driver.state.rotation.current
        assert current is not None
        assert current.key_id is not None
        used.append(current.key_id)
        end = ends[turn % 2]
        await end.stop()
        await end.start()
    assert len(set(used)) == len(used)


async def test_an_initiator_with_an_old_backup_comes_back(ends: Pair) -> None:
    first, second = ends
    for end in ends:
        end.link_keys.update(low_water=100)
    await start_both(ends)
    await first.stop()
    backup = (first.folder / "keys.db").read_bytes()
    await first.start()
    for _ in range(40):
        await rotate(ends)
    await first.stop()
    first.plane.block(TUNNEL)
    (first.folder / "keys.db").write_bytes(backup)
    above = (await second.status())["epoch"]
    await first.start()
    await until(lambda: in_force(ends, above), "an epoch with a new key")
    assert first.driver.state.rotation.failures > 0


async def test_simulated_keys_are_called_no_quantum_keys(
    ends: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    await start_all(ends)
    said = "link fibre: simulated, NOT quantum keys"
    for end in ends:
        warnings = (await end.call("status"))["warnings"]
        assert any(text.startswith(said) for text in warnings)
    assert said in caplog.text


async def test_a_file_s_keys_are_taken_for_what_they_are(file_ends: Pair) -> None:
    await start_all(file_ends)
    assert "NOT quantum" not in str((await file_ends[0].call("status"))["warnings"])
