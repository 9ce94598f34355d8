"""Two strongSwan daemons in two namespaces: what our rotations are compared with.

Taken from where Debian's packages charon-systemd and strongswan-swanctl put them; the
daemons keep to a folder of their own and read nothing of the host's configuration.
"""

import contextlib
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lab.netns import Namespace, end_process

DAEMON: Final = "charon-systemd"
TOOL: Final = "swanctl"
START_TIMEOUT: Final = 30.0
STOP_TIMEOUT: Final = 10.0

PLUGINS: Final = (
    "random nonce drbg aes gcm sha1 sha2 hmac kdf curve25519 openssl ml "
    "kernel-netlink socket-default vici"
)
"""What IKEv2 with a pre-shared key and ESP in the kernel need; none of the others'
threads and timers."""

SECRET: Final = "0s" + "q" * 43 + "="
"""Pre-shared by the two daemons of a measurement, which guard nothing."""

REKEYED: Final = re.compile(r"inbound CHILD_SA .* established")
"""How its log begins to tell of a CHILD_SA that replaces another one."""

_DAEMON_CONF: Final = """\
charon-systemd {{
  load = {plugins}
  install_routes = no
  plugins {{
    vici {{
      socket = "unix://{folder}/vici"
    }}
  }}
  filelog {{
    file {{
      path = {folder}/log
      default = 1
      flush_line = yes
    }}
  }}
}}
"""

_CONNECTION: Final = """\
connections {{
  pair {{
    version = 2
    local_addrs = {local}
    remote_addrs = {remote}
    proposals = aes256gcm16-prfsha384-{exchange}
    rekey_time = 0
    reauth_time = 0
    local {{
      auth = psk
      id = {local}
    }}
    remote {{
      auth = psk
      id = {remote}
    }}
    children {{
{children}    }}
  }}
}}
secrets {{
  ike-pair {{
    secret = {secret}
  }}
}}
"""

_CHILD: Final = """\
      c{index} {{
        local_ts = 10.{ours}.{index}.0/24
        remote_ts = 10.{theirs}.{index}.0/24
        esp_proposals = aes256gcm16-{exchange}-esn
        rekey_time = {rekey}
        rand_time = {rekey}
        life_time = 0
      }}
"""


def is_installed() -> bool:
    """Whether there is a strongSwan to compare with."""
    return all(map(shutil.which, (DAEMON, TOOL)))


@dataclass(slots=True)
class Charon:
    """One of the two.

    Attributes:
        namespace: Where it runs.
        folder: Where its files are.
        process: The daemon, while it runs.
    """

    namespace: Namespace
    folder: Path
    process: "subprocess.Popen[str] | None" = field(default=None)

    @property
    def log(self) -> str:
        """What it has logged."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            RuntimeError: It does not.
        """
        self.folder.mkdir()
        conf = self.folder / "strongswan.conf"
        conf.write_text(_DAEMON_CONF.format(plugins=PLUGINS, folder=self.folder))
        self.process = self.namespace.spawn(
            ["env", f"STRONGSWAN_CONF={conf}", DAEMON],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + START_TIMEOUT
        while not (self.folder / "vici").exists():
            if time.monotonic() > until or self.process.poll() is not None:
                raise RuntimeError(f"{DAEMON} did not start:\n{self.log}")
            time.sleep(0.05)

    def control(self, *words: str) -> str:
        """Give its control tool an order, and return what that printed."""
        uri = f"unix://{self.folder}/vici"
        return self.namespace.run(TOOL, *words, "--uri", uri)

    def load(
        self, peer: Namespace, exchange: str, *, count: int, rekey: int, first: bool
    ) -> None:
        """Load a connection to the peer with some children.

        Args:
            peer: The other host.
            exchange: Key exchanges, as in a proposal.
            count: Children.
            rekey: Seconds between rekeys at most, half of it on average; 0 for none.
            first: Whether this is the end that has the lower prefixes.
        """
        ours, theirs = (71, 72) if first else (72, 71)
        children = "".join(
            _CHILD.format(
                index=index, ours=ours, theirs=theirs, exchange=exchange, rekey=rekey
            )
            for index in range(1, count + 1)
        )
        conf = self.folder / "swanctl.conf"
        conf.write_text(
            _CONNECTION.format(
                local=self.namespace.address,
                remote=peer.address,
                exchange=exchange,
                children=children,
                secret=SECRET,
            )
        )
        self.control("--load-all", "--file", str(conf))

    def rekeys(self) -> int:
        """Return how many children were replaced so far."""
        return len(REKEYED.findall(self.log))

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            end_process(self.process, STOP_TIMEOUT)


@contextlib.contextmanager
def charon_pair(
    folder: Path, namespaces: tuple[Namespace, Namespace], count: int, rekey: int
) -> Iterator[tuple[Charon, str]]:
    """Run both, with all children up; the first rekeys them.

    Yields:
        The first, and what the two are: version and key exchanges.
    """
    first, second = (
        Charon(namespace, folder / f"charon-{namespace.device}")
        for namespace in namespaces
    )
    try:
        for end in (first, second):
            end.start()
        exchange = _best_exchange(first)
        first.load(second.namespace, exchange, count=count, rekey=rekey, first=True)
        second.load(first.namespace, exchange, count=count, rekey=0, first=False)
        for index in range(1, count + 1):
            first.control("--initiate", "--child", f"c{index}")
        yield first, f"strongSwan {_version(first)}, {exchange}, {count} CHILD_SAs"
    finally:
        for end in (first, second):
            end.stop()


def _version(end: Charon) -> str:
    found = re.search(r"strongSwan (\d[\w.]*)", end.log)
    if found is None:
        raise RuntimeError(f"{DAEMON} does not say which version it is:\n{end.log}")
    return found[1]


def _best_exchange(end: Charon) -> str:
    """Return what it can do that is nearest to ours: hybrid, if it has ML-KEM."""
    if "ML_KEM_768" in end.control("--list-algs"):
        return "x25519-ke1_mlkem768"
    # RFC 9370 came with 6.0: as many messages as with ML-KEM, though shorter ones.
    return "x25519-ke1_ecp256" if int(_version(end).split(".")[0]) >= 6 else "x25519"
