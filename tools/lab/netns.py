"""Network namespaces, and the link between two of them."""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

COMMAND_TIMEOUT = 60.0
"""Seconds any one command may take, our own among them: a limit against hanging. In a
virtual machine on a busy host, `qgw fence load` took more than 20."""


def run(*command: str, check: bool = True, timeout: float = COMMAND_TIMEOUT) -> str:
    """Run a command and return its output.

    Raises:
        RuntimeError: It failed; the message has what it said.
    """
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Namespace:
    """One host.

    Attributes:
        name: Of the network namespace.
        address: Its address on the link.
        device: Its end of the link.
        wire: Namespace of the network between the hosts.
        leg: Where the network has this host's link.
    """

    name: str
    address: str
    device: str
    wire: str
    leg: str

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command inside."""
        return run("ip", "netns", "exec", self.name, *command, check=check)

    def spawn(
        self,
        command: Sequence[str],
        *,
        stdout: int | None = None,
        stderr: int | None = None,
        binds: Sequence[tuple[Path, str]] = (),
    ) -> "subprocess.Popen[str]":
        """Start a program inside, with folders of its own in place of some paths."""
        script = "".join(
            (f'mkdir -p "{target}"; ' if source.is_dir() else "")
            + f'mount --bind "{source}" "{target}"; '
            for source, target in binds
        )
        return subprocess.Popen(
            [
                "ip",
                "netns",
                "exec",
                self.name,
                "sh",
                "-c",
                script + 'exec "$@"',
                "sh",
                *command,
            ],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            text=True,
        )


def end_process(process: "subprocess.Popen[str]", timeout: float) -> None:
    """Stop a program as systemd would; kill it if it takes longer than `timeout`."""
    process.terminate()
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout)


@contextlib.contextmanager
def linked_pair(
    tag: str = "", *, ipv6: bool = False
) -> Iterator[tuple[Namespace, Namespace]]:
    """Make two hosts and a network between them; remove all three at the end.

    The network is a namespace of its own with a bridge, so that a capture there sees
    what is on the wire and nothing else: at a host, the kernel also shows it what ESP
    has just decrypted.

    Args:
        tag: Tells several pairs of one process apart.
        ipv6: Whether the link has IPv6 addresses instead of IPv4.
    """
    base = f"qgw{os.getpid()}{tag}"
    addresses = ("fd00:71::1", "fd00:71::2") if ipv6 else ("192.0.2.1", "192.0.2.2")
    wire = f"{base}w"
    first, second = (
        Namespace(f"{base}{end}", address, f"veth-{end}", wire, f"leg-{end}")
        for end, address in zip("ab", addresses, strict=True)
    )
    try:
        for name in (wire, first.name, second.name):
            run("ip", "netns", "add", name)
        run("ip", "-n", wire, "link", "add", "network", "type", "bridge")
        run("ip", "-n", wire, "link", "set", "network", "up")
        for end in (first, second):
            join(end, "/64" if ipv6 else "/24")
        yield first, second
    finally:
        for name in (first.name, second.name, wire):
            run("ip", "netns", "del", name, check=False)


def join(end: Namespace, prefix: str) -> None:
    """Connect a host to the network and give it its address."""
    run("ip", "-n", end.wire, "link", "add", end.leg, "type", "veth",
        "peer", "name", end.device, "netns", end.name)  # fmt: skip
    run("ip", "-n", end.wire, "link", "set", end.leg, "master", "network", "up")
    options = ["nodad"] if ":" in end.address else []
    run("ip", "-n", end.name, "addr", "add", end.address + prefix,
        "dev", end.device, *options)  # fmt: skip
    run("ip", "-n", end.name, "link", "set", "lo", "up")
    run("ip", "-n", end.name, "link", "set", end.device, "up")


def cut(end: Namespace, *, is_cut: bool) -> None:
    """Cut the link of one host in the network, or mend it."""
    run("ip", "-n", end.wire, "link", "set", end.leg, "down" if is_cut else "up")


def impair(end: Namespace, *netem: str) -> None:
    """Delay or lose what leaves one end: arguments of tc-netem(8)."""
    run(
        "tc",
        "-n",
        end.name,
        "qdisc",
        "replace",
        "dev",
        end.device,
        "root",
        "netem",
        *netem,
    )
