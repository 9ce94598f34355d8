"""A reload applies the difference: what files hold counts, and traffic goes on."""

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from gateway.config.identity_files import write_private_identity, write_public_identity
from gateway.config.model import PlaneName
from gateway.crypto.identity import (
    encode_private,
    encode_public,
    format_fingerprint,
    generate_identity,
)
from gateway.dataplane.base import DataPlane, TunnelSpec
from gateway.errors import DataPlaneError, PlaneConflictError
from tests.unit.daemon.conftest import start_both
from tests.unit.daemon.services import LINK, TUNNEL, End, tunnel_keys, until
from tests.unit.daemon.test_daemon_reload import reload
from tests.unit.daemon.test_daemon_rotation import in_force, rotate

Pair = tuple[End, End]


def write_psk(end: End, value: bytes) -> None:
    path = end.folder / "psk"
    path.touch(mode=0o600)
    path.write_bytes(base64.b64encode(value) + b"\n")


def replace_file(path: Path) -> Path:
    path.unlink()
    return path


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mtu", 1300),
        ("addresses", ["10.250.0.1/32"]),
        ("remote_subnets", ["10.20.0.0/24", "10.99.0.0/16"]),
        ("local_subnets", ["10.10.0.0/24", "10.98.0.0/16"]),
    ],
)
async def test_what_the_kernel_changes_in_place(
    running: Pair, key: str, value: object
) -> None:
    first = running[0]
    before = first.tunnel_keys[TUNNEL].get(key)
    epoch = first.driver.state.rotation.current
    for each in (value, before):
        if each is None:
            del first.tunnel_keys[TUNNEL][key]
        else:
            first.tunnel_keys[TUNNEL][key] = each
        result, calls = await reload(first)
        assert (result["changed"], result["failed"]) == ([TUNNEL], {})
        assert result["details"] == {TUNNEL: key}
        assert calls == [("update_tunnel", TUNNEL)]
        assert first.plane.send(TUNNEL)
    assert first.driver.state.rotation.current is epoch
    assert (await reload(first))[0]["unchanged"] == [TUNNEL]


@pytest.mark.parametrize(
    ("key", "value"), [("local_address", "127.0.0.1"), ("endpoint", "localhost:{port}")]
)
async def test_what_a_new_epoch_brings_is_brought_at_once(
    running: Pair, key: str, value: str
) -> None:
    first, second = running
    first.tunnel_keys[TUNNEL][key] = value.format(port=second.port)
    result, calls = await reload(first)
    assert result["details"] == {TUNNEL: key}
    assert ("block", TUNNEL) not in calls
    assert ("remove_tunnel", TUNNEL) not in calls
    await until(lambda: in_force(running, 1), "the next epoch")


async def test_a_change_that_the_kernel_refuses_leaves_the_tunnel_as_it_was(
    running: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    first = running[0]
    old = first.driver.state.config
    first.tunnel_keys[TUNNEL]["mtu"] = 1300
    first.plane.fail_next("update_tunnel", DataPlaneError("the address is taken"))
    result, _ = await reload(first)
    assert result["failed"] == {TUNNEL: "stays as it was: the address is taken"}
    assert result["changed"] == []
    failed = f"1 failed: {TUNNEL}: stays as it was: the address is taken"
    told = [each for each in caplog.records if "reloaded" in each.getMessage()]
    assert [(each.levelname, each.getMessage()) for each in told] == [
        (
            "WARNING",
            (f"reloaded: 0 added, 0 removed, 0 changed, 1 unchanged; {failed}"),
        )
    ]
    assert first.driver.state.config is old
    assert first.in_force()
    await rotate(running)
    # What was not done is found and done by the next reload.
    result, calls = await reload(first)
    assert (result["changed"], result["failed"]) == ([TUNNEL], {})
    assert calls == [("update_tunnel", TUNNEL)]


async def test_roles_are_exchanged_over_the_epoch_in_the_kernel(running: Pair) -> None:
    first, second = running
    first.tunnel_keys[TUNNEL]["role"] = "responder"
    second.tunnel_keys[TUNNEL]["role"] = "initiator"
    for end in running:
        result, calls = await reload(end)
        assert result["details"] == {TUNNEL: "role"}
        assert not {"block", "remove_tunnel", "retire"} & {call[0] for call in calls}
        assert end.plane.send(TUNNEL)
    assert (await first.status())["role"] == "responder"
    await second.call("tunnel.rotate", name=TUNNEL)
    await until(lambda: in_force(running), "an epoch by the new initiator")


async def test_a_peer_file_that_holds_another_identity(running: Pair) -> None:
    first, second = running
    good = (first.folder / "peer.pub").read_bytes()
    old, stranger = second.identity.public, generate_identity(1).public
    path = replace_file(first.folder / "peer.pub")
    write_public_identity(path, encode_public(stranger))
    result, calls = await reload(first)
    assert result["changed"] == [TUNNEL]
    names = [format_fingerprint(one.fingerprint) for one in (old, stranger)]
    assert result["details"] == {TUNNEL: f"peer {names[0]} -> {names[1]}"}
    assert ("remove_tunnel", TUNNEL) in calls
    assert (await first.status())["peer"] == names[1]
    assert first.plane.read_state(TUNNEL).blocked
    path.write_bytes(good)
    result, _ = await reload(first)
    assert result["details"] == {TUNNEL: f"peer {names[1]} -> {names[0]}"}
    await until(lambda: in_force(running), "the tunnel with the old peer")


async def test_the_same_identity_under_another_name_is_no_other_peer(
    running: Pair,
) -> None:
    first = running[0]
    (first.folder / "copy.pub").write_bytes((first.folder / "peer.pub").read_bytes())
    first.tunnel_keys[TUNNEL]["peer"] = "copy.pub"
    result, calls = await reload(first)
    assert (result["changed"], calls) == ([TUNNEL], [])
    assert first.in_force()


async def test_a_psk_that_changes_is_used_by_the_next_epoch_made_at_once(
    ends: Pair,
) -> None:
    for end in ends:
        write_psk(end, bytes(32))
        end.tunnel_keys[TUNNEL]["psk"] = "psk"
    await start_both(ends)
    fresh = os.urandom(32)
    answers = []
    for end in ends:
        write_psk(end, fresh)
        result, calls = await reload(end)
        answers.append(result)
        assert ("block", TUNNEL) not in calls
        assert end.plane.send(TUNNEL)
    assert [answer["details"] for answer in answers] == [{TUNNEL: "psk"}] * 2
    await until(lambda: in_force(ends, 1), "an epoch with the new PSK", 30)
    assert fresh.hex() not in repr(answers)
    for end in ends:
        psk = end.driver.state.parameters.psk
        assert psk is not None
        assert psk.expose() == fresh


async def test_another_own_identity_is_in_force_at_once(running: Pair) -> None:
    first, second = running
    other = generate_identity(1)
    path = replace_file(first.folder / "identity")
    write_private_identity(path, encode_private(other))
    write_public_identity(
        replace_file(second.folder / "peer.pub"), encode_public(other.public)
    )
    names = [
        format_fingerprint(one.public.fingerprint) for one in (first.identity, other)
    ]
    result, calls = await reload(first)
    assert (result["changed"], result["restart_needed"]) == ([TUNNEL], [])
    assert result["details"] == {TUNNEL: f"identity {names[0]} -> {names[1]}"}
    assert ("remove_tunnel", TUNNEL) in calls
    assert first.plane.read_state(TUNNEL).blocked
    assert (await first.call("status"))["identity"]["fingerprint"] == names[1]
    result, _ = await reload(second)
    assert result["details"] == {TUNNEL: f"peer {names[0]} -> {names[1]}"}
    await until(lambda: in_force(running), "the tunnel under the new identity")
    assert (await second.status())["peer"] == names[1]
    assert (await reload(first))[0]["unchanged"] == [TUNNEL]


async def test_a_seed_that_changes_changes_its_link(running: Pair) -> None:
    first = running[0]
    source = first.service.links.sources[LINK]
    line = b"qgw-sim-seed " + base64.b64encode(os.urandom(32)) + b"\n"
    (first.folder / "seed").write_bytes(line)
    result, calls = await reload(first)
    assert (result["changed"], result["details"]) == ([LINK], {LINK: "seed_file"})
    assert first.service.links.sources[LINK] is not source
    assert calls == []


async def test_a_link_without_its_seed_keeps_nothing_else_from_starting(
    ends: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    first = ends[0]
    seed = (first.folder / "seed").read_bytes()
    (first.folder / "seed").unlink()
    for end in ends:
        end.tunnel_keys[TUNNEL]["qkd"] = "preferred"
    await start_both(ends)
    assert f"link {LINK} gives no keys: cannot read" in caplog.text
    current = first.driver.state.rotation.current
    assert current is not None
    assert "qkd" not in current.sources
    (first.folder / "seed").touch(mode=0o600)
    (first.folder / "seed").write_bytes(seed)
    result, _ = await reload(first)
    assert result["changed"] == [LINK]
    assert first.service.links.faults == {}

    async def has_keys() -> bool:
        stock: dict[str, Any] = await first.stock()
        return bool(stock["available"])

    await until(has_keys, "keys of the link")


async def test_no_reload_forgets_what_needs_a_restart(running: Pair) -> None:
    first = running[0]
    first.gateway_keys["control_mtu"] = 1300
    for _ in range(2):
        result, _ = await reload(first)
        assert result["restart_needed"] == ["gateway.control_mtu"]
    del first.gateway_keys["control_mtu"]
    assert (await reload(first))[0]["restart_needed"] == []


async def test_a_prefix_that_one_tunnel_gives_up_and_another_takes(
    running: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whichever order they are changed, at the end each has what it is to have."""
    first, second = running
    for end, peer in ((first, second), (second, first)):
        end.tunnel_keys["lyon"] = tunnel_keys(end, peer, 1)
        await reload(end)
    refuse_shared_prefixes(first, monkeypatch)
    contested = "10.77.0.0/24"
    own = {
        name: list(spec.remote_subnets) for name, spec in first.plane.specs().items()
    }
    for holder in ("lyon", TUNNEL, "lyon"):
        for name, keys in first.tunnel_keys.items():
            keys["remote_subnets"] = own[name] + [contested] * (name == holder)
        result, _ = await reload(first)
        assert result["failed"] == {}
        holders = {
            name
            for name, spec in first.plane.specs().items()
            if contested in spec.remote_subnets
        }
        assert holders == {holder}


def refuse_shared_prefixes(end: End, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the plane in memory refuse what WireGuard's does."""
    update = end.plane.update_tunnel

    def checked(spec: TunnelSpec) -> None:
        for other in end.plane.specs().values():
            shared = set(other.remote_subnets) & set(spec.remote_subnets)
            if other.name != spec.name and shared:
                raise PlaneConflictError(f"{shared} already belongs to {other.name}")
        update(spec)

    monkeypatch.setattr(end.plane, "update_tunnel", checked)


async def test_a_plane_that_does_not_open_leaves_the_tunnel_on_the_old_one(
    running: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = running[0]

    async def refuse(_wanted: PlaneName) -> DataPlane:
        raise DataPlaneError("the kernel refused")

    monkeypatch.setattr(first.service.planes, "get", refuse)
    first.tunnel_keys[TUNNEL]["plane"] = "wireguard"
    result, calls = await reload(first)
    assert result["failed"] == {TUNNEL: "stays as it was: the kernel refused"}
    assert calls == []
    assert first.in_force()
    assert first.service.config.tunnels[TUNNEL].plane is PlaneName.ESP
