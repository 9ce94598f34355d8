"""Real daemons in network namespaces, over the best data plane this kernel has."""

import contextlib
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.gateway import INNER, PORT, TUNNEL, Gateway, Settings, make_pair
from lab.netns import Namespace, join, linked_pair, run
from lab.tools import finish_tool, start_traffic
from lab.watch import Watcher

from gateway.dataplane.choose import best_plane
from gateway.errors import ControlError

INTERVAL = 2.0
"""Seconds: the shortest interval there is."""

LIFETIME = 6.0
"""Seconds until a tunnel without a new epoch fails closed, for tests of just that."""

LONG = 60.0
"""The same for all other tests: a daemon that a busy machine takes long to start, or an
epoch that it delays, is then no reason for a tunnel to be blocked."""

PATIENCE = 60.0
"""Seconds for what takes one or two on an idle machine: a limit against hanging. How
long something may take at most is for the test to say, where that matters."""

Pair = tuple[Gateway, Gateway]


@functools.cache
def plane() -> str:
    """Return the best plane of this kernel."""
    return best_plane()


@dataclass
class Lab:
    """Two gateways and their network.

    Attributes:
        folder: Everything they have on disk.
        ends: The gateways; the first initiates.
        watcher: What both said of each epoch.
        extra: Further namespaces on the same network.
    """

    folder: Path
    ends: Pair
    watcher: Watcher
    extra: list[str] = field(default_factory=list)

    @property
    def a(self) -> Gateway:
        """The initiator."""
        return self.ends[0]

    @property
    def b(self) -> Gateway:
        """The responder."""
        return self.ends[1]

    def start(self) -> int:
        """Start both; return the first epoch in force."""
        for end in reversed(self.ends):
            end.start()
        for end in self.ends:
            end.wait_ready()
        return self.in_force()

    def in_force(self, after: int = 0) -> int:
        """Wait for an epoch in force at both ends; return its number."""
        return self.watcher.wait_in_force(PATIENCE, after=after)

    def newest(self) -> int:
        """Return the newest epoch seen."""
        self.watcher.look()
        return max(self.watcher.epochs, default=0)

    def next(self) -> int:
        """Wait for an epoch that is not there yet."""
        return self.in_force(self.newest())

    def join_host(self, letter: str, address: str) -> Namespace:
        """Put another host on the network."""
        near = self.a.namespace
        name = near.name[:-1] + letter
        host = Namespace(name, address, f"veth-{letter}", near.wire, f"leg-{letter}")
        run("ip", "netns", "add", name)
        self.extra.append(name)
        join(host, "/24")
        return host

    def ping(self, by: int = 0, *, count: int = 3) -> bool:
        """Say whether packets pass through the tunnel."""
        near, far = ("a", "b") if by == 0 else ("b", "a")
        host = self.ends[by].namespace
        return ping(host, INNER[near], INNER[far], count=count)

    @contextlib.contextmanager
    def traffic(self, seconds: float) -> Iterator[dict[str, Any]]:
        """Send a packet each 2 ms both ways; the dictionary is filled at the end."""
        senders = start_traffic(
            (self.a.namespace, self.b.namespace), seconds, interval=0.002
        )
        result: dict[str, Any] = {}
        try:
            yield result
            reports = [finish_tool(sender) for sender in senders]
        finally:
            for sender in senders:
                if sender.poll() is None:
                    sender.kill()
                sender.wait()
        # What came through the tunnel and found no room is not the tunnel's loss, and
        # hides whether there was another.
        assert not sum(report["overflowed"] for report in reports), reports
        result["sent"] = sum(report["sent"] for report in reports)
        result["lost"] = sum(
            one["sent"] - other["received"]
            for one, other in zip(reports, reversed(reports), strict=True)
        )
        result["reports"] = reports

    def close(self) -> None:
        """Stop the daemons and what they left running."""
        for end in self.ends:
            end.stop()
            end.end_children()
        for name in self.extra:
            run("ip", "netns", "del", name, check=False)


def ping(host: Namespace, source: str, target: str, *, count: int = 3) -> bool:
    """Say whether every echo came back."""
    options = ("-q", "-c", str(count), "-i", "0.1", "-W", "1", "-I", source)
    try:
        host.run("ping", *options, target)
    except RuntimeError:
        return False
    return True


@contextlib.contextmanager
def hosts(tag: str, *, ipv6: bool = False) -> Iterator[tuple[Namespace, Namespace]]:
    """Make two hosts; end whatever still runs in them when done."""
    with linked_pair(tag, ipv6=ipv6) as pair:
        try:
            yield pair
        finally:
            for host in pair:
                end_processes(host)


def end_processes(host: Namespace) -> None:
    """End every process of a namespace that we made."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        pids = run("ip", "netns", "pids", host.name, check=False).split()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), number)
        if pids:
            time.sleep(0.1)


@contextlib.contextmanager
def make_lab(pair: tuple[Namespace, Namespace], **settings: Any) -> Iterator[Lab]:
    """Write two gateways' files; nothing is started."""
    values = {"plane": plane(), "interval": INTERVAL, "lifetime": LONG, **settings}
    folder = Path(tempfile.mkdtemp(prefix="qgw-t-"))
    ends = make_pair(folder / "g", pair, Settings(**values))
    lab = Lab(folder, ends, Watcher(ends))
    try:
        yield lab
    finally:
        lab.close()
        for host in pair:
            end_processes(host)
        shutil.rmtree(folder, ignore_errors=True)


def edit(end: Gateway, pattern: str, new: str) -> None:
    """Change an end's configuration.

    Raises:
        AssertionError: The pattern does not stand there exactly once.
    """
    path = end.folder / "gateway.toml"
    text, count = re.subn(pattern, new, path.read_text(), flags=re.MULTILINE)
    assert count == 1, (pattern, count)
    path.write_text(text)


def qgw(end: Gateway, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `qgw` as an operator would."""
    program = Path(sys.executable).with_name("qgw")
    return subprocess.run(  # noqa: S603  # our own program
        [program, "--socket", end.socket, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def status(end: Gateway) -> dict[str, Any]:
    """Return what `qgw status --json` prints."""
    done = qgw(end, "status", "--json")
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def run_daemon(
    end: Gateway, *, prefix: Sequence[str] = (), timeout: float = PATIENCE
) -> tuple[int, str]:
    """Run `qgwd` until it ends by itself; return its exit code and what it said.

    Raises:
        AssertionError: It did not end.
    """
    before = end.prefix
    end.prefix = (*before, *prefix)
    size = end.log.stat().st_size if end.log.exists() else 0
    end.start()
    end.prefix = before
    assert end.process is not None
    try:
        code = end.process.wait(timeout)
    except subprocess.TimeoutExpired:
        end.stop()
        raise AssertionError(f"qgwd did not end:\n{end.tail()}") from None
    end.process = None
    return code, end.log.read_text()[size:]


def until(
    condition: Callable[[], object], what: str, patience: float = PATIENCE
) -> None:
    """Wait until something is so.

    Raises:
        AssertionError: It did not become so in time.
    """
    end = time.monotonic() + patience
    while True:
        with contextlib.suppress(ControlError):
            if condition():
                return
        if time.monotonic() > end:
            raise AssertionError(f"not in {patience:g} s: {what}")
        time.sleep(0.05)


def state(end: Gateway) -> str:
    """Return the tunnel's state."""
    return str(end.tunnel()["state"])


def unstarted(end: Gateway) -> dict[str, Any]:
    """Return the status of a tunnel that cannot start.

    Raises:
        AssertionError: It has started, or its state is not what the fence makes it.
    """
    fence = status(end)["fence"]
    found = end.tunnel()
    assert not found["started"], found
    assert found["state"] == ("blocked" if fence["present"] else "down"), fence
    return found


def failure(end: Gateway) -> str:
    """Return why the tunnel's last attempt failed."""
    last = end.tunnel()["last_failure"]
    return str(last["detail"]) if last else ""


__all__ = [
    "INTERVAL",
    "LIFETIME",
    "LONG",
    "PORT",
    "TUNNEL",
    "Gateway",
    "Lab",
    "edit",
    "failure",
    "hosts",
    "make_lab",
    "ping",
    "plane",
    "qgw",
    "run_daemon",
    "state",
    "status",
    "unstarted",
    "until",
]
