"""A datagram socket of our own stands for systemd's."""

import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.host.notify import MAX_STATUS, Notifier, receive_fds


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(2)
        yield listener


@pytest.fixture
def notifier(manager: socket.socket) -> Notifier:
    return Notifier(
        {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "30000000"}
    )


def test_each_state_is_one_datagram(manager: socket.socket, notifier: Notifier) -> None:
    notifier.ready("2 tunnels")
    assert manager.recv(4096) == b"READY=1\nSTATUS=2 tunnels"
    notifier.status("1 of 2 up")
    assert manager.recv(4096) == b"STATUS=1 of 2 up"
    notifier.watchdog()
    assert manager.recv(4096) == b"WATCHDOG=1"
    notifier.stopping()
    assert manager.recv(4096) == b"STOPPING=1"
    notifier.remove_fds("esp")
    assert manager.recv(4096) == b"FDSTOREREMOVE=1\nFDNAME=esp"


def test_a_reload_carries_the_monotonic_time(
    manager: socket.socket, notifier: Notifier
) -> None:
    before = time.monotonic_ns() // 1000
    notifier.reloading()
    after = time.monotonic_ns() // 1000
    first, second = manager.recv(4096).decode().split("\n")
    assert first == "RELOADING=1"
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= after


def test_an_unchanged_status_is_sent_once(
    manager: socket.socket, notifier: Notifier
) -> None:
    for text in ("a", "a", "b"):
        notifier.status(text)
    assert (manager.recv(99), manager.recv(99)) == (b"STATUS=a", b"STATUS=b")


def test_a_status_cannot_smuggle_another_assignment(
    manager: socket.socket, notifier: Notifier
) -> None:
    notifier.status("tunnel\nMAINPID=1\r\nx" + "y" * 1000)
    data = manager.recv(4096)
    assert b"\n" not in data
    assert len(data) == len("STATUS=") + MAX_STATUS


def test_an_abstract_socket_is_reached() -> None:
    name = f"qgw-notify-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name)
        listener.settimeout(2)
        Notifier({"NOTIFY_SOCKET": "@" + name}).ready()
        assert listener.recv(99) == b"READY=1"


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative"])
def test_without_a_manager_nothing_happens(address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000"})
    notifier.ready("x")
    notifier.watchdog()
    assert not notifier.active
    assert notifier.watchdog_interval is None


def test_a_manager_that_went_away_is_only_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
    assert "cannot notify systemd (READY=1)" in caplog.text


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, 15.0),
        ({"WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_wants_half_its_time(
    extra: dict[str, str], expected: float | None
) -> None:
    environ = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "30000000", **extra}
    assert Notifier(environ).watchdog_interval == expected


def test_descriptors_are_stored_with_their_name(
    manager: socket.socket, notifier: Notifier
) -> None:
    reader, writer = os.pipe()
    notifier.store_fds("udp", [writer])
    os.close(writer)
    data, ancillary, _, _ = manager.recvmsg(4096, socket.CMSG_SPACE(4))
    assert data == b"FDSTORE=1\nFDPOLL=0\nFDNAME=udp"
    (received,) = struct.unpack("i", ancillary[0][2])
    os.write(received, b"same pipe")
    os.close(received)
    assert os.read(reader, 99) == b"same pipe"
    os.close(reader)


@pytest.mark.parametrize("name", ["", "a:b", "a\nb", "x" * 256, "é"])
def test_a_name_systemd_would_refuse_is_refused_here(
    notifier: Notifier, name: str
) -> None:
    with pytest.raises(ValueError, match="not a name"):
        notifier.store_fds(name, [0])


RECEIVER = """
import os, sys
from gateway.host.notify import receive_fds
os.environ["LISTEN_PID"] = str(os.getpid())
received = receive_fds(os.environ)
print({n: [(fd, os.get_inheritable(fd)) for fd in fds] for n, fds in received.items()})
print([name for name in os.environ if name.startswith("LISTEN_")])
"""


def test_descriptors_come_back_by_name() -> None:
    fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(3)]
    # The numbers matter: systemd passes them from 3 on, as a shell can.
    shell = "exec " + " ".join(f"{3 + n}<&{fd}" for n, fd in enumerate(fds))
    output = subprocess.run(  # noqa: S603  # fixed text and our own interpreter
        ["/bin/bash", "-c", f'{shell}; exec "$0" -c "$1"', sys.executable, RECEIVER],
        env={**os.environ, "LISTEN_FDS": "4", "LISTEN_FDNAMES": "udp:esp:udp"},
        pass_fds=fds,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for fd in fds:
        os.close(fd)
    assert output[0].startswith("{'udp': [(3, False), (5, False)], 'esp': [(4, False)]")
    assert output[1] == "[]"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "-1"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "999999999"},
    ],
)
def test_what_is_not_for_us_is_not_taken(environ: dict[str, str]) -> None:
    assert receive_fds(environ) == {}
    assert environ == {}
