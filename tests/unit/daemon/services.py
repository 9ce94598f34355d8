"""Two whole services in one process: real sockets, real stores, planes in memory."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from doubles.fence import FakeFence
from doubles.plane import FakePlane
from doubles.planes import MemoryPlanes

from gateway.acceptance.accept import accept
from gateway.config.identity_files import (
    write_private_identity,
    write_public_identity,
)
from gateway.config.model import LogFormat
from gateway.crypto.identity import (
    PrivateIdentity,
    encode_private,
    encode_public,
    generate_identity,
)
from gateway.daemon.api.gateway import Handlers
from gateway.daemon.parts import build
from gateway.daemon.service import Service
from gateway.keystore.container import parse_container
from gateway.keystore.master_key import create_master_key
from gateway.secret import Secret
from gateway.sources.simulated.seed import create_seed
from gateway.tunnels.driver import TunnelDriver
from tests.ports import free_ports

LINK = "fibre"
TUNNEL = "paris"
PATIENCE = 60.0
"""Seconds to wait for what takes milliseconds on an idle machine: against hanging."""


@dataclass
class End:
    """One gateway.

    Attributes:
        letter: ``a`` initiates.
        folder: Its files.
        port: Of its control socket on loopback.
        identity: Its identity.
        plane: Its kernel, which outlives the service.
        fence: Its kernel's packet filter.
        tunnel_keys: TOML of each tunnel, by name.
        link_keys: TOML of the link.
        service: The service while it runs.
    """

    letter: str
    folder: Path
    port: int
    identity: PrivateIdentity
    plane: FakePlane
    fence: FakeFence = field(default_factory=FakeFence)
    tunnel_keys: dict[str, dict[str, object]] = field(default_factory=dict)
    link_keys: dict[str, object] = field(default_factory=dict)
    gateway_keys: dict[str, object] = field(default_factory=dict)
    service: Service = field(init=False)

    @property
    def path(self) -> Path:
        """The configuration."""
        return self.folder / "gateway.toml"

    def write(self) -> None:
        """Write the configuration as it stands."""
        gateway: dict[str, object] = {
            "identity": "identity",
            "listen": [f"127.0.0.1:{self.port}"],
            "state_dir": "state",
            "control_socket": "control.sock",
            "control_group": "root",
            **self.gateway_keys,
        }
        lines = ["[gateway]", *_toml(gateway)]
        lines += ["[keystore]", 'path = "keys.db"', 'master_key = "master-key"']
        lines += ["[log]", 'format = "console"']
        lines += [f"[links.{LINK}]", *_toml(self.link_keys)]
        for name, keys in self.tunnel_keys.items():
            lines += [f"[tunnels.{name}]", *_toml(keys)]
        self.path.write_text("\n".join(lines) + "\n")
        self.path.chmod(0o600)

    def make(self) -> Service:
        """Make the service, not yet started."""
        self.write()
        candidate = accept(self.path, environ={})
        self.service = Service(
            candidate,
            build(
                candidate,
                {},
                make_planes=partial(MemoryPlanes, self.plane),
                fence_opener=lambda: self.fence,
            ),
            self.path,
            {},
            log_format=LogFormat.CONSOLE,
        )
        return self.service

    async def start(self) -> None:
        """Start a new service."""
        await self.make().start()

    async def start_with(self, numbers: Iterable[int]) -> None:
        """Start a new service that has had keys since before its first attempt."""
        service = self.make()
        keys = [{"key_ID": str(UUID(int=n)), "key": _key(n)} for n in numbers]
        parsed = parse_container(json.dumps({"keys": keys}))
        service.store.intake.add(LINK, parsed.keys, lifetime=None, confirmed=False)
        await service.start()

    async def stop(self) -> None:
        """Stop it as SIGTERM does."""
        await self.service.stop()

    @property
    def driver(self) -> TunnelDriver:
        """Driver of the tunnel."""
        return self.service.tunnels.drivers[TUNNEL]

    async def call(self, method: str, **params: object) -> Any:  # JSON
        """Ask as the control socket does."""
        return await Handlers(self.service).table()[method](params)

    async def status(self, name: str = TUNNEL) -> dict[str, Any]:
        """Return a tunnel's status."""
        result: dict[str, Any] = await self.call("tunnel.show", name=name)
        return result

    async def stock(self) -> dict[str, Any]:
        """Return the link's stock."""
        result: list[dict[str, Any]] = await self.call("keystore.status", link=LINK)
        return result[0]

    async def import_keys(self, numbers: Iterable[int]) -> dict[str, Any]:
        """Import keys that are told apart by a number."""
        keys = [
            {"key_ID": str(UUID(int=n)), "key": Secret(n.to_bytes(32))} for n in numbers
        ]
        result: dict[str, Any] = await self.call(
            "keystore.import", link=LINK, keys=keys
        )
        return result

    def in_force(self) -> bool:
        """Whether the tunnel's newest epoch is proven at both ends."""
        current = self.driver.state.rotation.current
        return current is not None and current.in_force_at is not None


def _key(number: int) -> str:
    return base64.b64encode(number.to_bytes(32)).decode()


def _toml(keys: dict[str, object]) -> list[str]:
    return [f"{key} = {json.dumps(value)}" for key, value in keys.items()]


def make_ends(folder: Path, *, simulated: bool = True, suite: int = 1) -> list[End]:
    """Make two gateways with one tunnel; nothing is started."""
    ports = free_ports(2)
    ends = []
    for letter, port in zip("ab", ports, strict=True):
        place = folder / letter
        place.mkdir(mode=0o700)
        end = End(letter, place, port, generate_identity(suite), FakePlane())
        write_private_identity(place / "identity", encode_private(end.identity))
        create_master_key(place / "master-key")
        ends.append(end)
    first, second = ends
    first.plane.connect(second.plane)
    create_seed(first.folder / "seed")
    (second.folder / "seed").touch(mode=0o600)
    (second.folder / "seed").write_bytes((first.folder / "seed").read_bytes())
    for end, peer in ((first, second), (second, first)):
        write_public_identity(
            end.folder / "peer.pub", encode_public(peer.identity.public)
        )
        end.link_keys = (
            {"source": "simulated", "rate": 100.0, "seed_file": "seed", "capacity": 400}
            if simulated
            else {"source": "file", "low_water": 2}
        )
        end.tunnel_keys[TUNNEL] = tunnel_keys(end, peer)
    return ends


def tunnel_keys(end: End, peer: End, number: int = 0) -> dict[str, object]:
    """Return the TOML of a tunnel between two ends."""
    own, other = (1, 2) if end.letter == "a" else (2, 1)
    high, low = divmod(number, 256)
    return {
        "peer": "peer.pub",
        "endpoint": f"127.0.0.1:{peer.port}",
        "role": "initiator" if end.letter == "a" else "responder",
        "plane": "esp",
        "qkd": "required",
        "link": LINK,
        "interface": f"qgw{number}",
        "rotation_interval": 60.0,
        "addresses": [f"10.{own}0{high}.{low}.1/32"],
        "local_subnets": [f"10.{own}{high}.{low}.0/24"],
        "remote_subnets": [f"10.{other}{high}.{low}.0/24"],
    }


async def until(
    condition: Callable[[], object | Awaitable[object]],
    what: str,
    patience: float = PATIENCE,
) -> None:
    """Wait until something is so.

    Raises:
        AssertionError: It did not become so in time.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + patience
    while True:
        result = condition()
        if isinstance(result, Awaitable):
            result = await result
        if result:
            return
        if loop.time() > end:
            raise AssertionError(f"not in {patience:g} s: {what}")
        await asyncio.sleep(0.01)


async def stays(
    condition: Callable[[], object], what: str, seconds: float = 0.3
) -> None:
    """Check that something remains so for a while.

    Raises:
        AssertionError: It did not.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        assert condition(), what
        await asyncio.sleep(0.01)
