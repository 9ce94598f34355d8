"""A reload touches what changed and nothing else; a wrong one touches nothing."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from gateway.config.identity_files import write_public_identity
from gateway.crypto.identity import encode_public, generate_identity
from gateway.daemon.main import _reload
from gateway.errors import ConfigError
from gateway.rotation.phases import TunnelPhase
from tests.unit.daemon.conftest import start_both
from tests.unit.daemon.services import LINK, TUNNEL, End, tunnel_keys, until
from tests.unit.daemon.test_daemon_rotation import in_force, rotate

Pair = tuple[End, End]


async def reload(end: End) -> tuple[dict[str, Any], list[tuple[object, ...]]]:
    """Write, reload; return the answer and what the kernel was asked."""
    end.write()
    await asyncio.sleep(0.05)
    before = len(end.plane.calls)
    result: dict[str, Any] = await end.call("reload")
    return result, end.plane.calls[before:]


async def test_nothing_changed(running: Pair) -> None:
    result, calls = await reload(running[0])
    assert result == {
        "added": [],
        "removed": [],
        "changed": [],
        "unchanged": [TUNNEL],
        "restart_needed": [],
        "details": {},
        "warnings": [],
        "failed": {},
    }
    assert calls == []


async def test_what_can_change_in_place_touches_no_kernel(running: Pair) -> None:
    first = running[0]
    first.tunnel_keys[TUNNEL]["rotation_interval"] = 30.0
    result, calls = await reload(first)
    assert result["changed"] == [TUNNEL]
    assert calls == []
    assert first.in_force()
    assert first.driver.state.rotation.attempts.schedule.interval == 30.0


async def test_another_tunnel_is_added_and_removed(running: Pair) -> None:
    first, second = running
    for end, peer in ((first, second), (second, first)):
        end.tunnel_keys["lyon"] = tunnel_keys(end, peer, 1)
    for end in reversed(running):
        result, calls = await reload(end)
        assert result["added"] == ["lyon"]
        assert {call[1] for call in calls} == {"lyon"}
    await until(
        lambda: all(
            (current := end.service.tunnels.drivers["lyon"].state.rotation.current)
            and current.in_force_at
            for end in running
        ),
        "the new tunnel",
    )
    for end in running:
        del end.tunnel_keys["lyon"]
        result, calls = await reload(end)
        assert result["removed"] == ["lyon"]
        assert ("remove_tunnel", "lyon") in calls
        assert {call[1] for call in calls} == {"lyon"}
        assert list(end.plane.specs()) == [TUNNEL]
        assert end.in_force()
        assert not (end.folder / "state" / "tunnels" / "lyon.json").exists()


async def test_a_link_alone_that_is_added_is_counted(
    running: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    first = running[0]
    for text, counts in (
        (
            f'{first.path.read_text()}\n[links.other]\nsource = "file"\n',
            "1 added, 0 removed, 0 changed, 2 unchanged",
        ),
        (first.path.read_text(), "0 added, 1 removed, 0 changed, 2 unchanged"),
    ):
        first.path.write_text(text)
        caplog.clear()
        with caplog.at_level(logging.INFO):
            result = await first.call("reload")
        assert ["other"] in (result["added"], result["removed"])
        assert f"reloaded: {counts}" in caplog.messages


async def test_what_shapes_the_interface_is_rebuilt_alone(running: Pair) -> None:
    first, second = running
    for end, peer in ((first, second), (second, first)):
        end.tunnel_keys["lyon"] = tunnel_keys(end, peer, 1)
        await reload(end)
    first.tunnel_keys["lyon"]["addresses"] = ["10.250.0.1/32"]
    result, calls = await reload(first)
    assert result["changed"] == ["lyon"]
    assert result["unchanged"] == [TUNNEL]
    assert {call[1] for call in calls} == {"lyon"}
    assert first.plane.specs()["lyon"].addresses == ("10.250.0.1/32",)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rotation_interval", 0.1),
        ("qkd", "perhaps"),
        ("no_such_key", 1),
        ("link", "no-such-link"),
    ],
)
async def test_a_wrong_configuration_changes_nothing(
    running: Pair, key: str, value: object
) -> None:
    first = running[0]
    config = first.service.config
    first.tunnel_keys[TUNNEL][key] = value
    first.tunnel_keys["lyon"] = tunnel_keys(first, running[1], 1)
    before = len(first.plane.calls)
    with pytest.raises(ConfigError) as caught:
        await reload(first)
    assert any(f"tunnels.{TUNNEL}.{key}" in str(p) for p in caught.value.problems)
    assert first.service.config is config
    assert first.plane.calls[before:] == []
    await rotate(running)


async def test_a_seed_that_cannot_be_read_changes_nothing(running: Pair) -> None:
    first = running[0]
    config = first.service.config
    first.link_keys["seed_file"] = "no-such-seed"
    first.tunnel_keys["lyon"] = tunnel_keys(first, running[1], 1)
    with pytest.raises(ConfigError) as caught:
        await reload(first)
    assert "no-such-seed" in caught.value.problems[0].found
    assert first.service.config is config
    assert list(first.service.tunnels.drivers) == [TUNNEL]
    await rotate(running)


async def test_a_hangup_with_a_wrong_configuration_only_logs(
    running: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    first = running[0]
    first.path.write_text("[gateway\n")
    await _reload(first.service)
    assert f"not reloaded: {first.path}:1" in caplog.text
    first.path.unlink()
    await _reload(first.service)
    assert caplog.text.count("not reloaded") == 2
    first.write()
    await _reload(first.service)
    assert first.in_force()


async def test_roles_exchanged(running: Pair) -> None:
    first, second = running
    first.tunnel_keys[TUNNEL]["role"] = "responder"
    second.tunnel_keys[TUNNEL]["role"] = "initiator"
    for end in running:
        result, _ = await reload(end)
        assert result["changed"] == [TUNNEL]
    assert (await first.status())["role"] == "responder"
    assert (await second.status())["role"] == "initiator"
    await until(lambda: in_force(running), "the tunnel")


async def test_disabled_and_enabled(running: Pair) -> None:
    first, second = running
    first.tunnel_keys[TUNNEL]["enabled"] = False
    await reload(first)
    await until(
        lambda: second.driver.state.rotation.phase is TunnelPhase.BLOCKED,
        "the peer's block",
    )
    assert first.plane.read_state(TUNNEL).blocked
    first.tunnel_keys[TUNNEL]["enabled"] = True
    await reload(first)
    await until(lambda: in_force(running, 1), "the tunnel")


async def test_another_peer_identity_cuts_the_old_one_off(
    running: Pair, tmp_path: Path
) -> None:
    first = running[0]
    stranger = generate_identity(1).public
    write_public_identity(first.folder / "stranger.pub", encode_public(stranger))
    first.tunnel_keys[TUNNEL]["peer"] = "stranger.pub"
    _, calls = await reload(first)
    assert ("remove_tunnel", TUNNEL) in calls
    assert first.plane.read_state(TUNNEL).blocked


async def test_a_missing_peer_file_at_start_leaves_that_tunnel_out_alone(
    ends: Pair,
) -> None:
    first, second = ends
    first.tunnel_keys["lyon"] = {
        **tunnel_keys(first, second, 1),
        "peer": "missing",
        "qkd": "off",
    }
    await start_both(ends)
    status = await first.status("lyon")
    assert (status["state"], status["started"]) == ("blocked", False)
    assert "missing" in status["reason"]
    # It stood before: what else is changed need not wait for it.
    first.tunnel_keys[TUNNEL]["rotation_interval"] = 30.0
    result, _ = await reload(first)
    assert result["changed"] == [TUNNEL]
    (warning,) = result["warnings"]
    assert "tunnels.lyon.peer: expected a public identity file" in warning
    (first.folder / "missing").write_bytes((first.folder / "peer.pub").read_bytes())
    result, calls = await reload(first)
    assert (result["changed"], result["warnings"]) == (["lyon"], [])
    assert {call[1] for call in calls} == {"lyon"}
    assert (await first.status("lyon"))["state"] == "connecting"


async def test_a_peer_file_that_a_reload_misses_refuses_it_whole(running: Pair) -> None:
    first = running[0]
    first.tunnel_keys["lyon"] = {
        **tunnel_keys(first, running[1], 1),
        "peer": "missing",
        "qkd": "off",
    }
    before = len(first.plane.calls)
    with pytest.raises(ConfigError) as caught:
        await reload(first)
    assert [one.key for one in caught.value.problems] == ["tunnels.lyon.peer"]
    assert first.plane.calls[before:] == []
    assert "lyon" not in first.service.config.tunnels
    assert first.in_force()


async def test_what_needs_a_restart_is_said(running: Pair) -> None:
    first = running[0]
    first.gateway_keys["control_mtu"] = 1300
    result, calls = await reload(first)
    assert result["restart_needed"] == ["gateway.control_mtu"]
    assert calls == []


async def test_a_link_can_be_added_before_its_tunnel_wants_it(ends: Pair) -> None:
    for end in ends:
        end.tunnel_keys[TUNNEL]["qkd"] = "preferred"
        end.link_keys = {"source": "file", "low_water": 1}
    await start_both(ends)
    for end in ends:
        await end.import_keys(range(1, 9))
        end.tunnel_keys[TUNNEL]["qkd"] = "required"
        result, calls = await reload(end)
        assert result["changed"] == [TUNNEL]
        assert calls == []
    await rotate(ends)
    for end in ends:
        status = await end.status()
        assert status["qkd"] == "required"
        assert status["key_id"]
        assert status["link"] == LINK


async def test_two_reloads_at_once_are_done_in_turn(running: Pair) -> None:
    first, second = running
    first.tunnel_keys["lyon"] = tunnel_keys(first, second, 1)
    first.write()
    results = await asyncio.gather(first.call("reload"), first.call("reload"))
    assert [result["added"] for result in results] == [["lyon"], []]


@pytest.mark.parametrize("kind", ["wireguard", "esp"])
async def test_wireguard_carries_one_tunnel_between_two_gateways(
    ends: Pair, kind: str
) -> None:
    """With plane = "auto" the configuration cannot tell; the daemon can."""
    for end, peer in (ends, ends[::-1]):
        end.plane.name = end.plane.kind = kind
        end.tunnel_keys[TUNNEL]["plane"] = "auto"
        second = {**tunnel_keys(end, peer, 1), "plane": "auto", "qkd": "off"}
        del second["link"]
        end.tunnel_keys["rome"] = second
    await start_both(ends)
    for end in ends:
        if kind == "esp":
            assert set(end.service.tunnels.drivers) == {TUNNEL, "rome"}
            continue
        assert set(end.service.tunnels.drivers) == {TUNNEL}
        error = end.service.tunnels.failed["rome"]
        assert error.message == "tunnel paris already has this peer on wireguard"
        assert "esp" in error.hint
        # The second takes over once the first is not to come up any more.
        end.tunnel_keys[TUNNEL]["enabled"] = False
        end.write()
    if kind == "wireguard":
        for end in ends:
            await end.service.reload()
            assert set(end.service.tunnels.drivers) == {TUNNEL, "rome"}
            assert not end.service.tunnels.failed
        # And gives way to nobody while it is.
        ends[0].tunnel_keys[TUNNEL]["enabled"] = True
        ends[0].write()
        with pytest.raises(ConfigError):
            await ends[0].service.reload()
        assert set(ends[0].service.tunnels.drivers) == {TUNNEL, "rome"}
        assert not ends[0].service.config.tunnels[TUNNEL].enabled
        del ends[0].tunnel_keys["rome"]
        ends[0].write()
        await ends[0].service.reload()
        assert set(ends[0].service.tunnels.drivers) == {TUNNEL}
