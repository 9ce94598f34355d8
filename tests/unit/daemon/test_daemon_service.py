"""A service's own life: starts that fail, stops that leave nothing, many tunnels."""

import asyncio
import ctypes
import gc
import os
import resource
import socket
from pathlib import Path

import pytest

from gateway.config.identity_files import write_private_identity
from gateway.crypto.identity import encode_private, format_fingerprint
from gateway.errors import ConfigError, GatewayError, KeyStoreError
from gateway.host import memory
from gateway.observe.summary import STATUS_DELAY, StatusLine
from gateway.observe.unknown_peers import MAX_STRANGERS, SHOWN_FOR, UnknownPeers
from tests.unit.daemon.conftest import start_both, tasks_but_this
from tests.unit.daemon.services import (
    LINK,
    TUNNEL,
    End,
    make_ends,
    tunnel_keys,
    until,
)

Pair = tuple[End, End]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_starting_and_stopping_leaves_nothing(ends: Pair) -> None:
    await start_both(ends)
    for end in ends:
        await end.stop()
    gc.collect()
    before = descriptors()
    for _ in range(5):
        await start_both(ends)
        for end in ends:
            await end.stop()
        assert tasks_but_this() == set()
    gc.collect()
    assert descriptors() <= before
    for end in ends:
        assert not (end.folder / "control.sock").exists()
        assert end.plane.send(TUNNEL)  # what is in the kernel stays there


async def test_a_port_that_is_taken_stops_the_start_cleanly(ends: Pair) -> None:
    first = ends[0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", first.port))
        with pytest.raises(GatewayError, match="cannot listen on"):
            await first.start()
    assert first.plane.calls == []
    await first.stop()
    await first.start()


async def test_a_control_socket_somebody_serves(running: Pair) -> None:
    first, second = running
    second_socket = str(second.folder / "control.sock")
    await first.stop()
    first.gateway_keys["control_socket"] = second_socket
    with pytest.raises(GatewayError, match="control"):
        await first.start()
    await first.stop()
    assert Path(second_socket).exists()
    assert (await second.status())["state"] == "up"


async def test_identity_missing(ends: Pair) -> None:
    (ends[0].folder / "identity").unlink()
    with pytest.raises(ConfigError) as caught:
        ends[0].make()
    (problem,) = caught.value.problems
    assert (problem.key, problem.line) == ("gateway.identity", 2)


async def test_a_master_key_of_another_store(running: Pair) -> None:
    first, second = running
    await first.stop()
    key = (second.folder / "master-key").read_bytes()
    (first.folder / "master-key").write_bytes(key)
    with pytest.raises(KeyStoreError, match="master key"):
        first.make()


async def test_unknown_peers_are_shown_to_compare(short_folder: Path) -> None:
    first, second = make_ends(short_folder)
    stranger = make_ends(_folder(short_folder))[0]
    (first.folder / "identity").unlink()
    write_private_identity(first.folder / "identity", encode_private(stranger.identity))
    await second.start()
    await first.start()
    fingerprint = format_fingerprint(stranger.identity.public.fingerprint)
    await until(
        lambda: second.service.exchange.strangers.recent(now=0.0), "the stranger"
    )
    warnings = (await second.call("status"))["warnings"]
    assert (
        f"unknown peer {fingerprint} at 127.0.0.1: no tunnel has this fingerprint"
        in warnings
    )
    assert (await first.call("status"))["identity"]["fingerprint"] == fingerprint
    assert second.plane.read_state(TUNNEL).blocked
    for end in (first, second):
        await end.stop()


def _folder(folder: Path) -> Path:
    made = folder / "other"
    made.mkdir()
    return made


async def test_a_tunnel_the_peer_does_not_have(ends: Pair) -> None:
    first, second = ends
    second.tunnel_keys["rome"] = second.tunnel_keys.pop(TUNNEL)
    await second.start()
    await first.start()
    await until(lambda: first.driver.state.failure, "the refusal")
    status = await first.status()
    assert status["reason"] == "one end has no tunnel named paris with the other"
    own = format_fingerprint(first.identity.public.fingerprint)
    warnings = (await second.call("status"))["warnings"]
    assert (
        f"peer {own} asks for tunnel paris, which is not configured with it" in warnings
    )


def test_strangers_are_few_and_forgotten() -> None:
    strangers = UnknownPeers()
    for number in range(1000):
        strangers.note(f"peer {number}", now=float(number))
    assert len(strangers.recent(now=1000.0)) == MAX_STRANGERS
    assert strangers.recent(now=999.0 + SHOWN_FOR) == []
    strangers.note("peer 985", now=1001.0)
    assert strangers.recent(now=1001.0)[-1] == "peer 985"
    assert len(strangers.recent(now=1001.0)) == MAX_STRANGERS


async def test_an_alarm_says_when_stock_runs_low_and_empty(
    file_ends: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    first = file_ends[0]
    for end in reversed(file_ends):
        await end.start()
        await end.import_keys(range(1, 4))
    await until(lambda: first.in_force() and file_ends[1].in_force(), "the tunnel")
    for _ in range(3):
        await first.call("tunnel.rotate", name=TUNNEL)
        await until(
            lambda: first.driver.state.rotation.attempts.under_way is False,
            "an attempt",
        )
        await asyncio.sleep(0.3)
    stock = await first.stock()
    assert stock["alarm"] == "empty"
    assert f"link {LINK}: stock is empty" in (await first.call("status"))["warnings"]
    assert "stock is empty: 0 keys available" in caplog.text


async def test_two_hundred_tunnels_between_two_services(
    ends: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = ends
    looks = 0
    text = StatusLine.text

    def counted(line: StatusLine) -> str:
        nonlocal looks
        looks += 1
        return text(line)

    monkeypatch.setattr(StatusLine, "text", counted)
    began = asyncio.get_running_loop().time()
    for end, peer in ((first, second), (second, first)):
        for number in range(1, 200):
            end.tunnel_keys[f"t-{number}"] = tunnel_keys(end, peer, number)
        end.link_keys["capacity"] = 10_000
        end.link_keys["rate"] = 1000.0
    for end in reversed(ends):
        await end.start()

    def all_in_force() -> bool:
        return all(
            len(end.service.tunnels.drivers) == 200
            and all(
                (current := driver.state.rotation.current) is not None
                and current.in_force_at is not None
                for driver in end.service.tunnels.drivers.values()
            )
            for end in ends
        )

    await until(all_in_force, "200 tunnels", 45.0)
    key_ids = [
        current.key_id
        for driver in first.service.tunnels.drivers.values()
        if (current := driver.state.rotation.current)
    ]
    assert None not in key_ids
    assert len(set(key_ids)) == 200
    indexes = {one.state.record.index for one in first.service.tunnels.drivers.values()}
    assert len(indexes) == 200
    assert second.service.status_line.text() == "200 of 200 tunnels up"
    # A look at all tunnels costs as much as there are: not one for each event.
    elapsed = asyncio.get_running_loop().time() - began
    assert looks <= 2 * (elapsed / STATUS_DELAY + 4)
    assert looks < 200


def test_memory_that_cannot_be_locked_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    class Library:
        def prctl(self, *args: int) -> int:
            calls.append(("prctl", *args))
            return -1

        def mlockall(self, flags: int) -> int:
            calls.append(("mlockall", flags))
            return -1

    infinity = resource.RLIM_INFINITY
    monkeypatch.setattr(ctypes, "CDLL", lambda *a, **k: Library())
    monkeypatch.setattr(resource, "setrlimit", lambda *a: calls.append(a))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (infinity, infinity))
    memory.protect_memory()
    assert (resource.RLIMIT_CORE, (0, 0)) in calls
    assert ("prctl", 4, 0, 0, 0, 0) in calls
    assert [call[0] for call in calls].count("mlockall") == 1
    assert "cannot forbid core dumps" in caplog.text
    assert "memory is not locked" in caplog.text
    # Under a limit that nobody here can raise, as in a container.
    monkeypatch.setattr(resource, "getrlimit", lambda _: (8 << 20, 8 << 20))
    monkeypatch.setattr(os, "geteuid", lambda: 996)
    caplog.clear()
    memory.protect_memory()
    assert [call[0] for call in calls].count("mlockall") == 1
    assert "this process may lock 8192 KiB at most" in caplog.text
    assert "raise the limit of the container" in caplog.text
