"""`qkd_every`: two whole daemons, the keys they consume and what they show."""

import logging

import pytest

from gateway.errors import GatewayError
from gateway.handshake.machine import Machine
from tests.unit.daemon.services import TUNNEL, End, stays, until
from tests.unit.daemon.test_daemon_rotation import in_force, rotate

Pair = tuple[End, End]


def set_all(ends: Pair, **keys: object) -> None:
    for end in ends:
        end.tunnel_keys[TUNNEL].update(keys)


async def start(ends: Pair, keys: int) -> None:
    for end in reversed(ends):
        await end.start_with(range(1, keys + 1))
    await until(lambda: in_force(ends), "the tunnel", 12.0)


async def consumed(ends: Pair) -> list[int]:
    return [(await end.stock())["consumed"] for end in ends]


@pytest.mark.parametrize("policy", ["required", "preferred"])
async def test_twenty_epochs_and_five_keys(
    file_ends: Pair, policy: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    set_all(file_ends, qkd_every=4, qkd=policy)
    await start(file_ends, 9)
    for epoch in range(1, 21):
        for end in file_ends:
            status = await end.status()
            age = (epoch - 1) % 4
            assert (status["epoch"], status["qkd_age"]) == (epoch, age)
            assert status["qkd_key"] == ("chained" if age else "fresh")
            assert (status["key_id"] is None) == bool(age)
            assert ("qkd" in status["sources"]) == (not age)
            assert status["faults"] == []
            assert (status["qkd_every"], status["peer_qkd_every"]) == (4, 4)
        if epoch < 20:
            await rotate(file_ends)
    assert await consumed(file_ends) == [5, 5]
    for end in file_ends:
        assert (await end.stock())["available"] == 4
        assert (await end.stock())["reserved"] == 0
    lines = [one.message for one in caplog.records if "committed from" in one.message]
    assert len([one for one in lines if ", QKD key " in one]) == 40
    assert sum(one.endswith("chained from 1 epoch ago") for one in lines) == 10
    assert sum(one.endswith("chained from 3 epochs ago") for one in lines) == 10
    assert not [one for one in caplog.records if "fresh QKD key" in one.message]


async def test_required_and_out_of_keys_fails_when_one_is_due(file_ends: Pair) -> None:
    set_all(file_ends, qkd_every=3)
    await start(file_ends, 1)
    first, second = file_ends
    await rotate(file_ends)
    await rotate(file_ends)
    assert await consumed(file_ends) == [1, 1]
    await first.call("tunnel.rotate", name=TUNNEL)
    await until(lambda: first.driver.state.failure is not None, "the failure")
    assert first.driver.state.failure_reason() == "qkd"
    await stays(lambda: in_force(file_ends, 2), "the third epoch stays")
    for end in file_ends:
        await end.import_keys(range(2, 4))
    await rotate(file_ends)
    assert (await second.status())["qkd_key"] == "fresh"


async def test_preferred_goes_on_and_takes_a_key_as_soon_as_there_is_one(
    file_ends: Pair,
) -> None:
    set_all(file_ends, qkd_every=2, qkd="preferred")
    await start(file_ends, 1)
    await rotate(file_ends)
    for _ in range(2):
        await rotate(file_ends)
    for end in file_ends:
        status = await end.status()
        assert (status["qkd_key"], status["qkd_age"]) == ("chained", 3)
        (fault,) = status["faults"]
        assert "no fresh QKD key, and one is due (qkd_every = 2)" in fault
        await end.import_keys(range(2, 4))
    await rotate(file_ends)
    for end in file_ends:
        status = await end.status()
        assert (status["qkd_key"], status["faults"]) == ("fresh", [])


@pytest.mark.parametrize("which", [0, 1])
async def test_a_restart_loses_the_chain_and_takes_a_key_at_once(
    file_ends: Pair, which: int
) -> None:
    set_all(file_ends, qkd_every=9)
    await start(file_ends, 5)
    await rotate(file_ends)
    assert await consumed(file_ends) == [1, 1]
    end = file_ends[which]
    await end.stop()
    await end.start()
    status = await end.status()
    # Made by the run before: this one does not know from what.
    if status["epoch"] == 2:
        assert (status["qkd_key"], status["qkd_age"]) == (None, None)
    await file_ends[0].call("tunnel.rotate", name=TUNNEL)
    await until(lambda: in_force(file_ends, 2), "the epoch after the restart")
    for each in file_ends:
        status = await each.status()
        assert (status["qkd_key"], status["qkd_age"]) == ("fresh", 0)


async def test_a_restart_without_keys_is_no_epoch(file_ends: Pair) -> None:
    set_all(file_ends, qkd_every=9)
    await start(file_ends, 1)
    first, second = file_ends
    await second.stop()
    await second.start()
    await first.call("tunnel.rotate", name=TUNNEL)
    await until(
        lambda: first.driver.state.failure_reason() == "qkd-unavailable", "the refusal"
    )
    for end in file_ends:
        failure = end.driver.state.failure
        assert failure is not None
        assert "no QKD key is in stock at both ends" in failure.detail
        assert "a fresh one is due, qkd_every = 9" in failure.detail


async def test_a_difference_is_shown_and_the_smaller_counts(file_ends: Pair) -> None:
    first, second = file_ends
    set_all((first, first), qkd_every=5)
    set_all((second, second), qkd_every=2)
    await start(file_ends, 2)
    for _ in range(3):
        await rotate(file_ends)
    assert await consumed(file_ends) == [2, 2]
    for end, here, peer in ((first, 5, 2), (second, 2, 5)):
        status = await end.status()
        assert (status["qkd_every"], status["peer_qkd_every"]) == (here, peer)
        assert status["faults"] == [
            f"qkd_every differs: here {here}, peer {peer}; the smaller one counts"
        ]
    # The third key is not there: refused by the stricter end, named at both.
    await first.call("tunnel.rotate", name=TUNNEL)
    await until(lambda: first.driver.state.failure is not None, "the refusal")
    for end, here, peer in ((first, 5, 2), (second, 2, 5)):
        failure = end.driver.state.failure
        assert failure is not None
        assert failure.reason == "qkd-unavailable"
        assert f"qkd_every differs: here {here}, peer {peer}" in failure.detail


async def test_an_initiator_that_never_offers_is_refused(
    file_ends: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own checks removed as well: only the responder's are left."""
    set_all(file_ends, qkd_every=2)
    await start(file_ends, 9)
    real = Machine.start_handshake

    def keep_keys(self: Machine, name: str, **kwargs: object) -> bytes:
        kwargs["key_ids"] = ()
        return real(self, name, **kwargs)  # type: ignore[arg-type]  # as given

    monkeypatch.setattr(Machine, "start_handshake", keep_keys)
    monkeypatch.setattr(
        "gateway.handshake.policy.is_due", lambda *_args, **_kwargs: False
    )
    await rotate(file_ends)
    first, second = file_ends
    await first.call("tunnel.rotate", name=TUNNEL)
    await until(lambda: second.driver.state.failure is not None, "the refusal")
    failure = second.driver.state.failure
    assert failure is not None
    assert failure.reason == "qkd-unavailable"
    await stays(lambda: in_force(file_ends, 1), "the second epoch stays")
    assert await consumed(file_ends) == [1, 1]


async def test_a_reload_changes_it_in_place(file_ends: Pair) -> None:
    set_all(file_ends, qkd_every=9)
    await start(file_ends, 5)
    await rotate(file_ends)
    for end in file_ends:
        driver = end.driver
        end.tunnel_keys[TUNNEL]["qkd_every"] = 2
        end.write()
        result = await end.call("reload")
        assert result["changed"] == [TUNNEL]
        assert end.driver is driver
    await rotate(file_ends)
    for end in file_ends:
        status = await end.status()
        assert (status["qkd_every"], status["qkd_key"]) == (2, "fresh")
    end = file_ends[0]
    end.tunnel_keys[TUNNEL]["qkd_every"] = 0
    end.write()
    with pytest.raises(GatewayError):
        await end.call("reload")


async def test_time_to_empty_follows_it(file_ends: Pair) -> None:
    first, second = file_ends
    set_all((first, first), qkd_every=4)
    set_all((second, second), qkd_every=3)
    await start(file_ends, 9)
    for end in file_ends:
        (status,) = await end.call("qkd.status")
        assert status["scheduled_rate"] == pytest.approx(1 / (60.0 * 3))
        assert status["scheduled_empty_s"] == pytest.approx(8 * 60.0 * 3)


async def test_no_source_is_asked_for_a_key_that_is_not_due(
    file_ends: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_all(file_ends, qkd_every=3, qkd="preferred")
    await start(file_ends, 1)
    asked = []
    links = file_ends[0].service.links
    real = links.draw_now

    async def counted(link: str) -> int:
        asked.append(link)
        return await real(link)

    monkeypatch.setattr(links, "draw_now", counted)
    await rotate(file_ends)
    await rotate(file_ends)
    assert asked == []
    await rotate(file_ends)
    assert len(asked) == 1
