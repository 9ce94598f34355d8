"""Whole services, and the addresses by which they reach each other."""

import pytest

from gateway.dataplane.base import EpochInstall
from gateway.handshake import limits
from tests.unit.daemon.services import TUNNEL, End, until
from tests.unit.daemon.test_daemon_rotation import in_force

SECOND, NOBODY = "127.0.0.2", "127.0.0.3"


def newest(end: End) -> EpochInstall:
    """Return what was last installed at an end."""
    return list(end.plane._tunnel(TUNNEL).epochs.values())[-1].install


def call_at(ends: tuple[End, End], host: str) -> None:
    """Have the first end call the second at an address, and write it down."""
    first, second = ends
    first.tunnel_keys[TUNNEL]["endpoint"] = f"{host}:{second.port}"
    del second.tunnel_keys[TUNNEL]["endpoint"]
    second.gateway_keys["listen"] = [
        f"127.0.0.1:{second.port}",
        f"{SECOND}:{second.port}",
    ]


async def test_the_plane_is_told_the_address_that_was_asked(
    ends: tuple[End, End],
) -> None:
    first, second = ends
    call_at(ends, SECOND)
    await second.start()
    await first.start()
    await until(lambda: in_force(ends), "the tunnel")
    asked, caller = (SECOND, second.port), ("127.0.0.1", first.port)
    assert (newest(second).local_address, newest(second).peer_address) == (
        asked,
        caller,
    )
    assert (newest(first).local_address, newest(first).peer_address) == (caller, asked)
    assert (await first.status())["endpoint"] == f"{SECOND}:{second.port}"


async def test_a_run_after_another_finds_the_peer_where_it_was(
    ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INITIATION_TIMEOUT", 0.3)
    first, second = ends
    call_at(ends, SECOND)
    await second.start()
    await first.start()
    await until(lambda: in_force(ends), "the tunnel")
    before = newest(first).epoch
    await first.stop()
    first.tunnel_keys[TUNNEL]["endpoint"] = f"{NOBODY}:{second.port}"
    first.plane.block(TUNNEL)  # as after a reboot: nothing to adopt
    await first.start()
    await until(lambda: in_force(ends, before), "the tunnel's return")
    assert (await first.status())["endpoint"] == f"{SECOND}:{second.port}"


async def test_a_local_address_decides_which_socket_calls(
    ends: tuple[End, End],
) -> None:
    first, second = ends
    first.gateway_keys["listen"] = [f"{host}:{first.port}" for host in (NOBODY, SECOND)]
    first.tunnel_keys[TUNNEL]["local_address"] = SECOND
    await second.start()
    await first.start()
    await until(lambda: in_force(ends), "the tunnel")
    assert newest(second).peer_address == (SECOND, first.port)
    assert newest(first).local_address == (SECOND, first.port)


async def test_what_could_not_be_sent_is_shown(running: tuple[End, End]) -> None:
    first = running[0]
    sockets = first.service.exchange.sockets
    sockets.send(b"x", sockets.path_to(("255.255.255.255", 9)))
    warnings = (await first.call("status"))["warnings"]
    assert "1 datagram could not be sent: Permission denied" in warnings
