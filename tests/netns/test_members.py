"""What users of the control socket can do, and what stays of the keys they bring."""

import base64
import contextlib
import json
import os
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from lab.gateway import LINK, Gateway
from lab.netns import Namespace

from tests.netns.labs import TUNNEL, Lab, make_lab, qgw, state, until

pytestmark = pytest.mark.timeout(120)

KEYS = 24

EXHAUSTED = 22.0
"""Seconds without a descriptor left."""

MOST_SAID = 3072
"""Bytes of log in that time; tracebacks alone were 4.5 MB."""


def import_random(end: Gateway, keys: dict[UUID, bytes]) -> None:
    path = end.folder / "keys.json"
    path.touch(mode=0o600)
    entries = [
        {"key_ID": str(key_id), "key": base64.b64encode(key).decode()}
        for key_id, key in keys.items()
    ]
    path.write_text(json.dumps({"keys": entries}))
    done = qgw(end, "keystore", "import", "--link", LINK, str(path))
    assert done.returncode == 0, done.stderr


def memory_of(pid: int) -> Iterator[bytes]:
    """Yield every readable mapping of a process."""
    with (
        Path(f"/proc/{pid}/maps").open() as maps,
        Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory,
    ):
        for line in maps:
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if not found or "[vvar" in line or "[vsyscall" in line:
                continue
            first, last = (int(word, 16) for word in found.groups())
            memory.seek(first)
            with contextlib.suppress(OSError):
                yield memory.read(last - first)


def left_in(end: Gateway, keys: dict[UUID, bytes]) -> tuple[int, int]:
    """Return of how many keys the text, and the bytes, are in a daemon's memory."""
    assert end.process is not None
    texts, plain = set(), set()
    for part in memory_of(end.process.pid):
        texts |= {k for k, key in keys.items() if base64.b64encode(key)[:-2] in part}
        plain |= {k for k, key in keys.items() if key in part}
    return len(texts), len(plain)


def test_imported_keys_are_gone_once_they_are_used(by_hand: Lab) -> None:
    keys = {UUID(int=n): os.urandom(32) for n in range(1, KEYS + 1)}
    for end in reversed(by_hand.ends):
        end.start()
    for end in by_hand.ends:
        end.wait_ready()
        import_random(end, keys)
    # Sealed from then on: no text of any, whether used or not.
    assert [left_in(end, keys)[0] for end in by_hand.ends] == [0, 0]
    until(lambda: state(by_hand.a) == "up", "the tunnel")

    def consumed() -> int:
        return int(by_hand.a.call("keystore.status", link=LINK)[0]["consumed"])

    while (had := consumed()) < KEYS:
        qgw(by_hand.a, "tunnel", "rotate", TUNNEL)
        until(lambda before=had: consumed() > before, "a rotation")  # type: ignore[misc]
    time.sleep(1.0)
    assert [left_in(end, keys) for end in by_hand.ends] == [(0, 0), (0, 0)]
    # And the search finds what is there.
    assert by_hand.a.process is not None
    name = str(by_hand.a.socket).encode()
    assert any(name in part for part in memory_of(by_hand.a.process.pid))


MEMBER = """
import os, socket, sys
path, count = sys.argv[1], int(sys.argv[2])
os.setgroups([0]); os.setgid(65534); os.setuid(65534)
held, refused = [], 0
for _ in range(count):
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    client.settimeout(0.3)
    try:
        refused += b"busy" in client.recv(4096)
    except TimeoutError:
        held.append(client)
print(len(held), refused, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def running(pair: tuple[Namespace, Namespace]) -> Iterator[Lab]:
    """Two gateways in force."""
    with make_lab(pair, interval=30.0, lifetime=90.0) as lab:
        lab.start()
        yield lab


@contextlib.contextmanager
def member(end: Gateway, connections: int) -> Iterator[list[int]]:
    """A member of the control group holds connections open; yield held, refused."""
    for folder in (end.folder, *end.folder.parents[:2]):
        folder.chmod(0o711)
    process = subprocess.Popen(  # noqa: S603  # our own
        [sys.executable, "-I", "-c", MEMBER, str(end.socket), str(connections)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield [int(word) for word in process.stdout.readline().split()]
    finally:
        process.kill()
        process.communicate()


def test_idle_connections_of_a_member_lock_nobody_out(running: Lab) -> None:
    with member(running.a, 40) as (held, refused):
        assert (held, refused) == (8, 32)
        for command in (("status",), ("reload",), ("tunnel", "list")):
            done = qgw(running.a, *command)
            assert done.returncode == 0, done.stderr


def test_no_descriptors_left(running: Lab) -> None:
    """A line, repeated with its count, and not one traceback; then all goes on."""
    assert running.a.process is not None
    pid = running.a.process.pid
    before = running.a.log.stat().st_size
    was = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    open_now = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_now, was[1]))
    held = []
    until_then = time.monotonic() + EXHAUSTED
    while time.monotonic() < until_then:
        client = socket.socket(socket.AF_UNIX)
        held.append(client)
        client.settimeout(0.1)
        with contextlib.suppress(OSError):
            client.connect(str(running.a.socket))
        time.sleep(0.1)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, was)
    for client in held:
        client.close()
    until(lambda: qgw(running.a, "status").returncode == 0, "an answer")
    until(lambda: state(running.a) == "up", "the tunnel")
    said = running.a.log.read_text()[before:]
    assert "Traceback" not in said
    assert "Too many open files" in said
    assert len(said) < MOST_SAID
