"""Somebody at a socket of wireguard-go: in its place, or at it without pause."""

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.gateway import LINK, Gateway

from gateway.dataplane.choose import available_planes
from tests.netns.labs import TUNNEL, Lab, make_lab, qgw, state, until

DEVICES = ("qgw-wg0", "qgw-wg1")

NOBODY = 65534

MOST_SPENT = 4
"""Keys in ten seconds: one at once, and few more at pauses that grow."""

MOST_LINES = 20

THIEF = """\
import os, select, socket, sys, time
name, log, uid, owner = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
sock = socket.socket(socket.AF_UNIX)
sock.bind(name)
os.chmod(name, 0o666)
os.chown(name, owner, -1)
heard = open(log, "ab", buffering=0)
if uid:
    os.setgroups([])
    os.setresuid(uid, uid, uid)
sock.listen()
print("ready", flush=True)
while True:
    connection, _ = sock.accept()
    connection.settimeout(1)
    heard.write(b"connected\\n")
    try:
        while part := connection.recv(65536):
            heard.write(part)
            connection.sendall(b"errno=0\\n\\n")
    except OSError:
        pass
    connection.close()
"""


@pytest.fixture
def slow(pair: Any) -> Iterator[Lab]:
    """Two gateways with wireguard-go that rotate every 30 s."""
    planes = [one for one in available_planes() if one.name == "wireguard-go"]
    if not planes[0].works:
        pytest.skip(f"{planes[0].name}: {planes[0].hint}")
    with make_lab(pair, plane="wireguard-go", interval=30.0, lifetime=90.0) as made:
        for end in reversed(made.ends):
            end.start()
        for end in made.ends:
            end.wait_ready()
        until(lambda: [state(end) for end in made.ends] == ["up", "up"], "the tunnel")
        yield made


def consumed(end: Gateway) -> int:
    return int(end.call("keystore.status", link=LINK)[0]["consumed"])


def sockets(end: Gateway) -> list[Path]:
    return [end.folder / "wireguard" / f"{name}.sock" for name in DEVICES]


@contextlib.contextmanager
def thieves(end: Gateway, *, uid: int, owner: int) -> Iterator[Path]:
    """Take the names of both sockets; yield the file with what was told to them."""
    log = end.folder / "stolen"
    script = end.folder / "thief.py"
    script.write_text(THIEF)
    started = []
    try:
        for path in sockets(end):
            path.rename(path.with_suffix(".real"))
            words = [str(path), str(log), str(uid), str(owner)]
            thief = subprocess.Popen(  # noqa: S603  # our own
                [sys.executable, str(script), *words], stdout=subprocess.PIPE
            )
            started.append(thief)
            assert thief.stdout is not None
            assert thief.stdout.readline() == b"ready\n"
        yield log
    finally:
        for thief in started:
            thief.kill()
            thief.communicate()


@pytest.mark.parametrize(("uid", "owner"), [(NOBODY, 0), (0, NOBODY), (NOBODY, NOBODY)])
def test_a_thief_is_told_nothing(slow: Lab, uid: int, owner: int) -> None:
    with thieves(slow.a, uid=uid, owner=owner) as log:
        for _ in range(3):
            qgw(slow.a, "tunnel", "rotate", TUNNEL)
            time.sleep(2.0)
        said = log.read_bytes() if log.exists() else b""
    assert b"key" not in said
    assert b"set=1" not in said
    # What it took is made anew, and carries traffic without anybody's help.
    until(lambda: state(slow.a) == "up" and slow.ping(count=1), "the tunnel", 60.0)


def test_a_folder_of_the_group_is_refused(slow: Lab) -> None:
    slow.a.stop()
    folder = slow.a.folder / "wireguard"
    folder.chmod(0o770)
    slow.a.start()
    slow.a.wait_ready()
    found = slow.a.tunnel()
    assert not found["started"]
    assert "keys could be told to somebody else: others than the daemon" in str(found)
    assert "chmod 0700" in found["hint"]
    folder.chmod(0o700)
    until(lambda: state(slow.a) == "up", "the tunnel", 60.0)


def empty_again_and_again(end: Gateway, seconds: float) -> int:
    """Remove every peer of both devices each 5 ms; return how often."""
    stop = time.monotonic() + seconds
    done = [0]

    def run(path: Path) -> None:
        while time.monotonic() < stop:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1)
                client.connect(str(path))
                client.sendall(b"set=1\nreplace_peers=true\n\n")
                client.recv(100)
                done[0] += 1
            time.sleep(0.005)

    threads = [threading.Thread(target=run, args=(path,)) for path in sockets(end)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done[0]


def test_devices_that_are_emptied_again_and_again(slow: Lab) -> None:
    before = [consumed(end) for end in slow.ends]
    lines = len(slow.a.log.read_text().splitlines())
    times = empty_again_and_again(slow.a, 10.0)
    assert times > 500
    spent = [consumed(end) - had for end, had in zip(slow.ends, before, strict=True)]
    alerts = slow.a.call("status")["alerts"]
    said = slow.a.log.read_text().splitlines()[lines:]
    assert max(spent) <= MOST_SPENT
    (alarm,) = [alert for alert in alerts if alert["name"] == TUNNEL]
    assert alarm["severity"] == "critical"
    assert "no longer holds this tunnel's keys" in alarm["text"]
    assert len(said) < MOST_LINES
    try:
        until(lambda: state(slow.a) == "up" and slow.ping(count=1), "the tunnel", 60.0)
    except AssertionError as late:
        tunnels = "\n".join(f"{end.tunnel()}\n{end.tail(60)}" for end in slow.ends)
        raise AssertionError(f"{late}:\n{tunnels}") from None
