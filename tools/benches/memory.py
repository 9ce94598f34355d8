"""Memory of a tunnel: a hub's daemon with 5,000 of them against one with one."""

import subprocess
import sys
import tempfile
from pathlib import Path

from benches.branches import Branches
from benches.figures import Figure
from benches.hub import make_branches, tunnel_name
from benches.hub_server import ECDH_SIZE
from benches.lines import ask, free_port, read_line
from benches.registry import Bench, Options
from gateway.config.identity_files import write_private_identity, write_public_identity
from gateway.crypto.identity import (
    PrivateIdentity,
    PublicIdentity,
    encode_private,
    encode_public,
    generate_identity,
)
from gateway.keystore.master_key import create_master_key
from gateway.wire.payloads import Policy

TUNNELS = 5000
QUICK_TUNNELS = 500
EPOCHS = 2
"""Rotations of each tunnel: a session in force and the one before it, as ever after."""

INTERVAL = 3600.0
MAX_KIB = 24.0

_GATEWAY = """
[gateway]
identity = "identity"
listen = ["{listen}"]
state_dir = "state"
control_socket = "control.sock"
control_group = "root"
[keystore]
path = "state/keys.db"
master_key = "master-key"
[log]
level = "error"
format = "console"
"""

_TUNNEL = """
[tunnels.{name}]
peer = "../peers/{name}.pub"
role = "responder"
plane = "esp"
qkd = "off"
rotation_interval = {interval}
addresses = ["10.255.{high}.{low}/32"]
local_subnets = ["10.1.0.0/16"]
remote_subnets = ["10.{net}.{high}.{low}/32"]
"""


def write_hub(
    folder: Path,
    identities: list[PrivateIdentity],
    *,
    listen: str = "",
    interval: float = INTERVAL,
) -> Path:
    """Write a hub's files: one of tunnels.d and one identity for each branch.

    Args:
        folder: Where.
        identities: The branches'.
        listen: Address and port; empty for a free port of loopback.
        interval: Rotation interval, seconds.
    """
    for name in ("tunnels.d", "peers", "state"):
        (folder / name).mkdir(mode=0o700)
    write_private_identity(folder / "identity", encode_private(generate_identity(1)))
    create_master_key(folder / "master-key")
    path = folder / "gateway.toml"
    path.write_text(_GATEWAY.format(listen=listen or f"127.0.0.1:{free_port()}"))
    path.chmod(0o600)
    for index, identity in enumerate(identities):
        name = tunnel_name(index)
        write_public_identity(
            folder / "peers" / f"{name}.pub", encode_public(identity.public)
        )
        file = folder / "tunnels.d" / f"{name}.toml"
        file.write_text(
            _TUNNEL.format(
                name=name,
                interval=interval,
                high=index // 256,
                low=index % 256,
                net=20,
            )
        )
        file.chmod(0o600)
    return path


def resident(count: int) -> int:
    """Return the resident bytes of a hub's daemon with so many tunnels up.

    Raises:
        RuntimeError: Not all of them came up.
    """
    with tempfile.TemporaryDirectory(prefix="qgw-bench-") as name:
        identities = make_branches(count)
        path = write_hub(Path(name), identities)
        process = subprocess.Popen(
            [sys.executable, "-m", "benches.memory_hub", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            said = read_line(process)
            raw = bytes.fromhex(said["identity"])
            branches = Branches(
                identities,
                PublicIdentity(1, raw[:ECDH_SIZE], raw[ECDH_SIZE:]),
                said["port"],
                name_of=tunnel_name,
                policy=Policy.OFF,
                interval=INTERVAL,
            )
            for _ in range(EPOCHS * count):
                branches.rotate_next()
            branches.serve(2.0)
            answer = ask(process)
            branches.close()
        finally:
            assert process.stdin is not None  # noqa: S101  # it is a pipe
            process.stdin.close()
            process.wait(timeout=60)
    if answer["up"] != count:
        raise RuntimeError(f"{answer['up']} of {count} tunnels are up")
    return int(answer["resident"])


def run(options: Options) -> list[Figure]:
    """Compare a hub with many tunnels to one with one."""
    count = QUICK_TUNNELS if options.quick else TUNNELS
    options.say(f"a hub's daemon with {count} tunnels, each brought up {EPOCHS} times")
    few, many = resident(1), resident(count)
    grown = (many - few) / 1024 / (count - 1)
    note = (
        f"resident memory of a hub's daemon with {count} tunnels up, {EPOCHS} epochs "
        f"each, {many / 2**20:.0f} MiB, less that with one, {few / 2**20:.0f} MiB: "
        "configuration, identities, sessions, rotation, drivers, tasks and timers; "
        "data plane in memory, no QKD link, memory not locked"
    )
    return [Figure("tunnel_memory_kib", grown, "KiB", None, MAX_KIB, note)]


BENCH = Bench(("tunnel_memory_kib",), run)
