"""``qgw-keeper``: nobody flushes the fence, whether or not a daemon runs."""

import array
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab.inside import made_inside

from gateway.dataplane.fence.base import FencedTunnel, FencePlan
from gateway.dataplane.fence.nft.connection import NftConnection
from gateway.dataplane.fence.nft.fence import NftFence
from gateway.dataplane.fence.nft.standing import read_identity
from gateway.dataplane.fence.plan_file import write_plan
from gateway.errors import PlaneConflictError
from tests.kernel.fence.place import DEVICE, HOMES, NAME, PLAN, REMOTE, TUNNEL, Place

pytestmark = pytest.mark.may_skip("before Linux 6.9 no table outlives its owner")

PATIENCE = 20.0
"""Seconds for a process to start on a busy machine."""

LIFETIME = 3.0
"""Seconds that a grant lasts here."""

DAEMON = """
import sys, time
from pathlib import Path
from gateway.dataplane.fence.nft.fence import NftFence
from tests.kernel.fence.place import DEVICE, NAME, PLAN
fence = NftFence(keeper=Path(sys.argv[1]))
fence.load(PLAN)
fence.grant(NAME, DEVICE, float(sys.argv[2]))
print(time.monotonic(), flush=True)
time.sleep(600)
"""

WITH_STORED = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1",
                  LISTEN_FDNAMES="fence-owner")
os.execv(sys.argv[2], sys.argv[2:])
"""

KEEPER = (sys.executable, "-m", "gateway.dataplane.fence.nft.keeper")


class Keeper:
    """One keeper, and the part of systemd that it talks to."""

    def __init__(self, place: Place, run: Path) -> None:
        self.folder = run / "qgw-keeper"
        self.folder.mkdir(mode=0o700)
        self._place = place
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notified.bind(str(run / "notify"))
        self._notified.settimeout(PATIENCE)
        self._run = run
        self.stored: int | None = None
        self.start()

    def start(self) -> None:
        """Start it, with what is stored; wait until it is ready."""
        command: tuple[str, ...] = KEEPER
        fds: tuple[int, ...] = ()
        gateway = self._place.name("gateway")
        if self.stored is not None:
            command = (sys.executable, "-c", WITH_STORED, str(self.stored), *KEEPER)
            fds = (self.stored,)
        self.process = subprocess.Popen(  # noqa: S603  # a program of ours
            ("/usr/bin/env", "ip", "netns", "exec", gateway, *command),
            pass_fds=fds,
            env={
                **os.environ,
                "RUNTIME_DIRECTORY": str(self.folder),
                "NOTIFY_SOCKET": str(self._run / "notify"),
            },
        )
        said = b""
        while b"READY=1" not in said:
            said, rights, _, _ = self._notified.recvmsg(4096, 64)
            for _, _, data in rights:
                self.stored = array.array("i", data)[0]

    def kill(self) -> None:
        """End it as the kernel does when memory is short."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End it, and forget what is stored."""
        self.kill()
        self._notified.close()
        if self.stored is not None:
            os.close(self.stored)


@pytest.fixture
def keeper(place: Place, tmp_path: Path) -> Iterator[Keeper]:
    if not _knows_owners(place):
        pytest.skip("needs Linux 6.9: there a table may have an owner and outlive it")
    run = tmp_path / "run"
    run.mkdir()
    made = Keeper(place, run)
    yield made
    made.close()


def _knows_owners(place: Place) -> bool:
    fence = place.fence()
    try:
        return fence.listen() is None
    finally:
        fence.close()


@pytest.fixture
def qgw(place: Place, keeper: Keeper, tmp_path: Path) -> Callable[..., str]:
    """Run ``qgw fence`` where the keeper's folder is in /run."""
    write_plan(tmp_path / "fence.json", PLAN)
    mount = 'mount --bind "$0" /run && exec "$@"'
    command = (sys.executable, "-m", "gateway.cli.main", "--socket", "/none", "fence")

    def run(*arguments: str) -> str:
        inside = ("unshare", "-m", "sh", "-c", mount, str(keeper.folder.parent))
        return place.run("gateway", *inside, *command, *arguments)

    return run


def borrowed(place: Place, keeper: Keeper) -> NftFence:
    gateway = place.name("gateway")
    return made_inside(gateway, lambda: NftFence(keeper=keeper.folder))


@contextlib.contextmanager
def daemon(
    place: Place, keeper: Keeper
) -> Iterator[tuple[subprocess.Popen[str], float]]:
    """A process that grants for LIFETIME; yields it and when it had."""
    inside = ("/usr/bin/env", "ip", "netns", "exec", place.name("gateway"))
    with subprocess.Popen(  # noqa: S603  # a program of ours
        (*inside, sys.executable, "-c", DAEMON, str(keeper.folder), str(LIFETIME)),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        try:
            assert process.stdout is not None
            yield process, float(process.stdout.readline())
        finally:
            process.kill()


def flush(place: Place) -> None:
    """Do what ``systemctl reload nftables`` does first."""
    place.nft("flush ruleset")


def assert_blocked(place: Place) -> None:
    for version in (4, 6):
        assert place.outward(version) == {"lan": set(), "gateway": {"refused"}}
        assert place.inward(version, "wan") == {"lan": set(), "gateway": set()}


def test_a_flush_before_any_daemon_opens_nothing(
    place: Place, qgw: Callable[..., str], tmp_path: Path
) -> None:
    place.divert()
    file = str(tmp_path / "fence.json")
    assert qgw("load", file) == "loaded: 1 tunnel, nothing may pass\n"
    flush(place)
    assert_blocked(place)
    assert "stands already" in qgw("load", file)
    assert qgw("show").splitlines()[1] == "  tunnels: 1, of which 0 may pass"
    assert qgw("remove") == "removed\n"
    assert place.arrivals("gateway", REMOTE[4]) == {"wan"}
    assert "no fence" in qgw("show")
    assert qgw("load", file).startswith("loaded")
    assert_blocked(place)


def test_without_a_keeper_a_flush_opens_all(place: Place) -> None:
    # What the keeper is for: if this fails, the kernel does it by itself.
    fence = place.fence()
    fence.load(PLAN)
    fence.close()
    place.divert()
    flush(place)
    assert place.arrivals("gateway", REMOTE[4]) == {"wan"}


def test_a_flush_after_the_daemon_was_killed_leaves_the_grant_its_end(
    place: Place, keeper: Keeper
) -> None:
    with daemon(place, keeper) as (process, granted_at):
        process.kill()
        process.wait()
        flush(place)
        assert time.monotonic() - granted_at < LIFETIME
        assert place.arrivals("gateway", REMOTE[4]) == {"far"}
        while place.arrivals("gateway", REMOTE[4]) == {"far"}:
            assert time.monotonic() - granted_at < LIFETIME + 1
        flush(place)
        assert_blocked(place)
        place.divert()
        assert_blocked(place)


def test_a_keeper_that_is_killed_comes_back_to_the_same_socket(
    place: Place, keeper: Keeper
) -> None:
    fence = borrowed(place, keeper)
    fence.load(PLAN)
    fence.close()
    place.divert()
    keeper.kill()
    flush(place)
    assert_blocked(place)
    keeper.start()
    flush(place)
    assert_blocked(place)
    again = borrowed(place, keeper)
    again.load(PLAN)
    again.grant(NAME, DEVICE, 600)
    again.revoke(NAME)
    again.close()
    flush(place)
    assert_blocked(place)


def test_a_borrower_waits_for_a_keeper_that_is_being_started_again(
    place: Place, keeper: Keeper
) -> None:
    fence = borrowed(place, keeper)
    fence.load(PLAN)
    fence.close()
    keeper.kill()
    starting = threading.Timer(0.5, keeper.start)
    starting.start()
    try:
        again = borrowed(place, keeper)
    finally:
        starting.join()
    again.load(PLAN)  # with a socket of its own it would be refused
    again.close()


def test_a_keeper_that_is_restarted_beneath_a_daemon_lends_to_nobody_else(
    place: Place, keeper: Keeper
) -> None:
    fence = borrowed(place, keeper)
    fence.load(PLAN)
    keeper.kill()
    keeper.start()
    other = borrowed(place, keeper)  # it waits in vain, then has a socket of its own
    with pytest.raises(PlaneConflictError, match="belongs to another process"):
        other.load(PLAN)
    other.close()
    fence.grant(NAME, DEVICE, 600)
    assert place.arrivals("gateway", REMOTE[4]) == {"far"}
    fence.close()


def test_a_table_of_an_earlier_owner_is_handed_over(
    place: Place, keeper: Keeper
) -> None:
    old = place.fence()  # as the release before this one did
    old.load(PLAN)
    old.grant(NAME, DEVICE, 600)
    early = borrowed(place, keeper)
    assert early.read().tunnels[NAME].granted > 0
    early.close()
    old.close()
    new = borrowed(place, keeper)
    flush(place)
    new.load(PLAN)
    assert place.arrivals("gateway", REMOTE[4]) == {"far"}
    new.close()
    flush(place)
    assert place.arrivals("gateway", REMOTE[4]) == {"far"}


def test_a_reload_is_held_too(place: Place, keeper: Keeper) -> None:
    wider = FencePlan(
        (TUNNEL, FencedTunnel("a-c", ("10.3.0.0/16",), TUNNEL.local)),
        ports=(51810, 51811, 51812),
        homes=HOMES,
    )
    place.ip("gateway", "route add 10.3.0.0/16 via 203.0.113.2")
    fence = borrowed(place, keeper)
    fence.load(PLAN)
    fence.load(wider, PLAN)
    flush(place)
    fence.load(wider)
    assert not fence.repair(touched=True)
    fence.close()
    flush(place)
    assert place.arrivals("gateway", "10.3.0.10") == {"refused"}
    assert_blocked(place)


def test_answers_to_a_borrower_that_died_are_nobodys(
    place: Place, keeper: Keeper
) -> None:
    gateway = place.name("gateway")
    with daemon(place, keeper) as (process, _):
        process.send_signal(signal.SIGSTOP)
        assert keeper.stored is not None
        # What it asked and did not read: a dump that has begun, and a refusal.
        with socket.socket(fileno=os.dup(keeper.stored)) as same:
            same.sendto(
                bytes.fromhex("14000000010a0103010000000000000001000000"), (0, 0)
            )
            same.sendto(
                bytes.fromhex("14000000160a0500010000000000000001000000"), (0, 0)
            )
        process.kill()
        process.wait()
    connection = made_inside(gateway, lambda: NftConnection(keeper.folder))
    assert connection.is_borrowed
    # Whatever is not there to read now could be taken for the answer to something.
    assert read_identity(connection) is not None
    connection.close()
    fence = borrowed(place, keeper)
    fence.load(PLAN)
    fence.revoke(NAME)
    fence.close()
    flush(place)
    assert_blocked(place)


def test_a_keeper_of_another_network_is_none_of_ours(
    place: Place, keeper: Keeper
) -> None:
    connection = made_inside(place.name("lan"), lambda: NftConnection(keeper.folder))
    assert not connection.is_borrowed
    connection.close()


@pytest.mark.parametrize("hangs", [False, True])
def test_a_second_keeper_takes_nothing_from_the_first(
    place: Place, keeper: Keeper, *, hangs: bool
) -> None:
    if hangs:
        os.kill(keeper.process.pid, signal.SIGSTOP)
    second = subprocess.run(  # noqa: S603  # our own program
        KEEPER,
        env={**os.environ, "RUNTIME_DIRECTORY": str(keeper.folder)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    os.kill(keeper.process.pid, signal.SIGCONT)
    assert second.returncode == 1
    assert second.stderr.endswith(": another keeper lends there\n")
    borrowed = made_inside(place.name("gateway"), lambda: NftConnection(keeper.folder))
    assert borrowed.is_borrowed
    borrowed.close()


def test_the_keeper_takes_no_arguments() -> None:
    done = subprocess.run(  # noqa: S603  # our own program
        (*KEEPER, "--help"), capture_output=True, text=True, timeout=9, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "takes no arguments" in done.stderr


def test_others_are_lent_nothing(keeper: Keeper) -> None:
    keeper.folder.chmod(0o755)
    (keeper.folder / "lend.sock").chmod(0o666)
    for parent in (keeper.folder, *keeper.folder.parents):
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    ask = (
        "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX); "
        "s.connect(sys.argv[1]); print(socket.recv_fds(s, 1, 1)[:2])"
    )
    said = subprocess.check_output(  # noqa: S603  # a program of ours
        (sys.executable, "-c", ask, str(keeper.folder / "lend.sock")), text=True
    )
    assert said == "(b'', [])\n"
