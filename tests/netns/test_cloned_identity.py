"""A gateway's image started twice: every end that can see it says so."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from lab.gateway import Gateway

from tests.netns.labs import Lab, make_lab, until

PATIENCE = 60.0


def twins(end: Gateway) -> list[str]:
    """Return what an end says of two machines with one identity."""
    return [fault for fault in end.tunnel()["faults"] if "identity" in fault]


@pytest.fixture
def slow(pair: Any) -> Iterator[Lab]:
    """Two gateways, not started, whose sessions outlive a few round trips."""
    with make_lab(pair, interval=4.0, lifetime=12.0) as made:
        yield made


@pytest.fixture
def clone(slow: Lab) -> Iterator[Gateway]:
    """A machine made from the initiator's image, not started."""
    host = slow.join_host("c", "192.0.2.3")
    folder = slow.folder / "g" / "c"
    shutil.copytree(slow.a.folder, folder)
    made = Gateway("c", host, folder)
    yield made
    made.stop()
    made.end_children()


def test_a_cloned_image_is_seen_at_every_end(slow: Lab, clone: Gateway) -> None:
    lab = slow
    lab.start()
    assert not any(twins(end) for end in lab.ends)
    clone.start()
    clone.wait_ready()
    until(lambda: twins(lab.b), "the hub's warning", PATIENCE)
    (said,) = twins(lab.b)
    assert said.startswith("two machines use this peer's identity, at ")
    assert "192.0.2.1:" in said
    assert "192.0.2.3:" in said
    assert "qgw identity new" in said
    for end in (lab.a, clone):
        until(lambda end=end: twins(end), "the machine's own warning", PATIENCE)  # type: ignore[misc]
        (said,) = twins(end)
        assert said.startswith("another machine uses this gateway's identity: ")
    for end in (*lab.ends, clone):
        log = end.log.read_text()
        assert log.count("qgw identity new") <= 4


def test_a_restored_backup_is_no_clone(lab: Lab) -> None:
    lab.start()
    lab.a.stop()
    backup = lab.folder / "backup"
    shutil.copytree(lab.a.folder / "state" / "tunnels", backup)
    lab.a.start()
    lab.a.wait_ready()
    for _ in range(2):
        lab.next()
    lab.a.stop()
    shutil.copytree(backup, lab.a.folder / "state" / "tunnels", dirs_exist_ok=True)
    lab.a.start()
    lab.a.wait_ready()
    for _ in range(4):
        lab.next()
    assert not any(twins(end) for end in lab.ends)


def test_a_gateway_that_moves_again_and_again_is_no_clone(lab: Lab) -> None:
    lab.start()
    host = lab.a.namespace
    addresses = ["192.0.2.31", host.address]
    try:
        for turn in range(4):
            for command in ("flush", "add"):
                wanted = f"{addresses[turn % 2]}/24"
                extra = [] if command == "flush" else [wanted]
                host.run("ip", "-4", "addr", command, *extra, "dev", host.device)
            lab.next()
    finally:
        host.run("ip", "-4", "addr", "flush", "dev", host.device)
        host.run("ip", "addr", "add", f"{host.address}/24", "dev", host.device)
    assert not any(twins(end) for end in lab.ends)
