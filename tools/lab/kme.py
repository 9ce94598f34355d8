"""The two KMEs of a laboratory: one in each gateway's namespace, TLS between them."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.errors import GatewayError
from gateway.kme.control import run_call
from gateway.kme.laboratory import Site, SiteFiles, make_laboratory
from gateway.kme.settings import End
from lab.netns import Namespace

PORT = 8443
SAES = {"a": "gateway-a", "b": "gateway-b"}
ENDS = {"a": End.ALICE, "b": End.BOB}

FIBRE_SPEED = 100
"""How much faster than real time the simulated fibre runs: its first keys would come
after four minutes."""

FIBRE = ('model = "fibre"', f"time_scale = {FIBRE_SPEED}")
"""TOML lines of the link: the fibre between Redu and Luxembourg."""

READY_TIMEOUT = 120.0
"""Seconds until a KME has its first keys: six here, a minute in a slow VM."""

STOP_TIMEOUT = 10.0


@dataclass(slots=True)
class KME:
    """One KME.

    Attributes:
        letter: ``a`` or ``b``, as its gateway.
        namespace: Where it runs.
        files: Its configuration, and what its gateway needs to call it.
        process: The KME, while it runs.
    """

    letter: str
    namespace: Namespace
    files: SiteFiles
    process: "subprocess.Popen[str] | None" = field(default=None)

    @property
    def log(self) -> Path:
        """What the KME wrote."""
        return self.files.config.with_name("log")

    def start(self) -> None:
        """Start it; `wait_for_keys` says when it has some."""
        command = [sys.executable, "-m", "gateway.kme.main", "run"]
        with self.log.open("a") as log:
            self.process = self.namespace.spawn(
                [*command, "--config", str(self.files.config)],
                stdout=log.fileno(),
                stderr=log.fileno(),
            )

    def wait_for_keys(self, count: int = 1, timeout: float = READY_TIMEOUT) -> None:
        """Wait until its half of the pool has some keys.

        Raises:
            RuntimeError: It ended, or has none in time.
        """
        socket = self.files.config.with_name("control.sock")
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            if self.process is None or self.process.poll() is not None:
                raise RuntimeError(f"KME {self.letter} ended:\n{self.log.read_text()}")
            with contextlib.suppress(GatewayError):
                stored = run_call(socket, "GET", "status")["stored_key_count"]
                if isinstance(stored, int) and stored >= count:
                    return
            time.sleep(0.1)
        raise RuntimeError(f"KME {self.letter} has no keys:\n{self.log.read_text()}")

    def link_lines(self) -> str:
        """TOML lines of a link that draws on it."""
        other = "b" if self.letter == "a" else "a"
        ours = self.files.saes[SAES[self.letter]]
        return f"""source = "etsi014"
kme = "{self.files.url}"
sae_id = "{SAES[self.letter]}"
peer_sae_id = "{SAES[other]}"
ca = "{ours.ca}"
certificate = "{ours.certificate}"
private_key = "{ours.private_key}"
target = 100
low_water = 10
batch = 32
"""

    def stop(self) -> None:
        """Stop it as systemd would; kill it if it does not."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_TIMEOUT)
        self.process = None


def make_kmes(
    folder: Path,
    namespaces: tuple[Namespace, Namespace],
    link_lines: Sequence[str] = FIBRE,
) -> tuple[KME, KME]:
    """Write certificates, seed and configurations for both KMEs."""
    sites = [
        Site(f"kme-{letter}", namespace.address, PORT, [SAES[letter]])
        for letter, namespace in zip("ab", namespaces, strict=True)
    ]
    files = make_laboratory(folder, *sites, link_lines=link_lines, local=True)
    first, second = (
        KME(letter, namespace, files[ENDS[letter]])
        for letter, namespace in zip("ab", namespaces, strict=True)
    )
    return first, second
