"""One gateway of a pair: its folder, its daemon, and what the daemon says."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.config.identity_files import (
    write_private_identity,
    write_public_identity,
)
from gateway.control.client import ControlClient
from gateway.crypto.identity import (
    PrivateIdentity,
    encode_private,
    encode_public,
    generate_identity,
)
from gateway.errors import ControlError
from gateway.keystore.master_key import create_master_key
from gateway.sources.simulated.seed import create_seed
from lab.kme import KME
from lab.netns import Namespace, end_process

TUNNEL = "demo"
LINK = "demo-link"
PORT = 51810
READY_TIMEOUT = 90.0
"""Seconds a daemon may take to start: a third of one here, a minute in a slow VM."""

STOP_TIMEOUT = 10.0
"""Seconds a daemon may take to stop."""

INNER = {"a": "10.71.0.1", "b": "10.72.0.1"}
INNER6 = {"a": "fd71::1", "b": "fd72::1"}
NETS = {"a": ("10.71.0.0/24", "fd71::/64"), "b": ("10.72.0.0/24", "fd72::/64")}


@dataclass(slots=True)
class Settings:
    """What a pair's configurations have in common.

    Attributes:
        plane: Data plane.
        interval: Rotation interval, seconds.
        lifetime: `max_epoch_lifetime`, seconds, or None for the default.
        qkd: Policy.
        rate: Keys a second of the simulated link.
        suite: Suite of both identities.
        encap: UDP encapsulation of ESP.
        log_level: Of both daemons.
        provider: KEM provider.
    """

    plane: str
    interval: float
    lifetime: float | None = None
    qkd: str = "required"
    rate: float = 50.0
    suite: int = 1
    encap: bool = False
    log_level: str = "info"
    provider: str = "auto"


@dataclass(slots=True)
class Gateway:
    """One end.

    Attributes:
        letter: ``a`` or ``b``; the end ``a`` is the initiator.
        namespace: Where its daemon runs.
        folder: Where its files are.
        process: The daemon, while it runs.
        prefix: Command and arguments before the daemon's own, such as ``env``.
        binds: Folders and files put in place of others for the daemon.
    """

    letter: str
    namespace: Namespace
    folder: Path
    process: "subprocess.Popen[str] | None" = field(default=None)
    prefix: tuple[str, ...] = ()
    binds: tuple[tuple[Path, str], ...] = ()

    @property
    def socket(self) -> Path:
        """The control socket."""
        return self.folder / "control.sock"

    @property
    def log(self) -> Path:
        """What the daemon wrote."""
        return self.folder / "log"

    def start(self) -> None:
        """Start the daemon; `wait_ready` says when it is."""
        wireguard = self.folder / "wireguard"
        wireguard.mkdir(exist_ok=True)
        with self.log.open("a") as log:
            self.process = self.namespace.spawn(
                [
                    *self.prefix,
                    sys.executable,
                    "-m",
                    "gateway.daemon",
                    "--console",
                    "--config",
                    str(self.folder / "gateway.toml"),
                ],
                stdout=log.fileno(),
                stderr=log.fileno(),
                binds=[(wireguard, "/var/run/wireguard"), *self.binds],
            )

    def wait_ready(self, timeout: float = READY_TIMEOUT) -> float:
        """Wait until the daemon answers; return when that was, monotonic seconds.

        Raises:
            RuntimeError: It ended, or did not answer in time.
        """
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            if self.process is None or self.process.poll() is not None:
                raise RuntimeError(f"gateway {self.letter} ended:\n{self.tail()}")
            with contextlib.suppress(ControlError):
                self.call("tunnel.list")
                return time.monotonic()
            time.sleep(0.02)
        raise RuntimeError(f"gateway {self.letter} is not ready:\n{self.tail()}")

    def call(self, method: str, **params: object) -> Any:  # JSON
        """Ask the daemon."""
        with ControlClient(self.socket, timeout=5.0) as client:
            return client.call(method, params)

    def tunnel(self) -> dict[str, Any]:
        """Return the tunnel's status."""
        status: dict[str, Any] = self.call("tunnel.show", name=TUNNEL)
        return status

    def kill(self) -> None:
        """End the daemon at once, as a crash would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(STOP_TIMEOUT)
            self.process = None

    def stop(self) -> None:
        """Stop the daemon as systemd would; kill it if it does not."""
        if self.process is None:
            return
        end_process(self.process, STOP_TIMEOUT)
        self.process = None

    def end_children(self) -> None:
        """End the wireguard-go processes that outlive their daemon."""
        for pid in self.namespace_pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def namespace_pids(self) -> list[int]:
        """Return the processes that run in this namespace."""
        listed = subprocess.run(
            ["ip", "netns", "pids", self.namespace.name],
            check=False,
            capture_output=True,
            text=True,
            timeout=10,
        ).stdout
        return [int(word) for word in listed.split()]

    def tail(self, lines: int = 25) -> str:
        """Return the end of the log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text().splitlines()[-lines:])


def make_pair(
    folder: Path,
    namespaces: tuple[Namespace, Namespace],
    settings: Settings,
    kmes: tuple[KME, KME] | None = None,
) -> tuple[Gateway, Gateway]:
    """Write identities, keys and configurations for both ends.

    Their QKD keys come from a simulated link of their own, or from KMEs.
    """
    first, second = (
        Gateway(letter, namespace, folder / letter)
        for letter, namespace in zip("ab", namespaces, strict=True)
    )
    identities = {}
    for end in (first, second):
        end.folder.mkdir(mode=0o700, parents=True)
        identities[end.letter] = generate_identity(settings.suite)
    create_seed(first.folder / "seed")
    seed = (first.folder / "seed").read_bytes()
    seed_file = second.folder / "seed"
    seed_file.touch(mode=0o600)
    seed_file.write_bytes(seed)
    for end, peer in ((first, second), (second, first)):
        link = _simulated_link(settings)
        if kmes is not None:
            link = kmes[end is second].link_lines()
        _write_files(end, peer, identities, settings, link)
    return first, second


def _simulated_link(settings: Settings) -> str:
    return f"""source = "simulated"
rate = {settings.rate}
seed_file = "seed"
capacity = 500
"""


def _write_files(
    end: Gateway,
    peer: Gateway,
    identities: dict[str, PrivateIdentity],
    settings: Settings,
    link: str,
) -> None:
    own = identities[end.letter]
    write_private_identity(end.folder / "identity", encode_private(own))
    write_public_identity(
        end.folder / "peer.pub", encode_public(identities[peer.letter].public)
    )
    create_master_key(end.folder / "master-key")
    any_address = "[::]" if ":" in end.namespace.address else "0.0.0.0"  # noqa: S104
    lifetime = (
        f"max_epoch_lifetime = {settings.lifetime}\n" if settings.lifetime else ""
    )
    host = (
        f"[{peer.namespace.address}]"
        if ":" in peer.namespace.address
        else (peer.namespace.address)
    )
    text = f"""
[gateway]
identity = "identity"
listen = ["{any_address}:{PORT}"]
state_dir = "state"
control_socket = "control.sock"
control_group = "root"
kem_provider = "{settings.provider}"

[keystore]
path = "state/keys.db"
master_key = "master-key"

[log]
level = "{settings.log_level}"
format = "console"

[links.{LINK}]
{link}
[tunnels.{TUNNEL}]
peer = "peer.pub"
endpoint = "{host}:{PORT}"
role = "{"initiator" if end.letter == "a" else "responder"}"
plane = "{settings.plane}"
qkd = "{settings.qkd}"
link = "{LINK}"
rotation_interval = {settings.interval}
{lifetime}encap = {str(settings.encap).lower()}
addresses = ["{INNER[end.letter]}/32", "{INNER6[end.letter]}/128"]
local_subnets = {_list(NETS[end.letter])}
remote_subnets = {_list(NETS[peer.letter])}
"""
    path = end.folder / "gateway.toml"
    path.write_text(text)
    path.chmod(0o600)


def _list(items: tuple[str, ...]) -> str:
    return "[" + ", ".join(f'"{item}"' for item in items) + "]"
