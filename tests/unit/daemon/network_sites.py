"""A network of whole services in one process, joined by simulated links and relays.

Real sockets (UDP for control, TCP for the relay), real stores; planes in memory.
"""

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

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
from gateway.keystore.master_key import create_master_key
from gateway.sources.simulated.seed import create_seed
from tests.ports import free_ports

Pair = tuple[str, str]


class NetworkPlane(FakePlane):
    """A plane whose tunnels lead to different ones."""

    def __init__(self) -> None:
        super().__init__()
        self.by_tunnel: dict[str, FakePlane] = {}

    def send(self, name: str) -> bool:
        """Send a packet to the end of that tunnel."""
        self.other = self.by_tunnel.get(name)
        return super().send(name)


@dataclass
class Site:
    """One gateway and node.

    Attributes:
        name: Of the node.
        folder: Its files.
        port: Of its control sockets, UDP.
        relay_port: Of its relay, TCP.
        identity: Its identity.
        plane: Its kernel.
        tables: TOML tables by their header.
        service: The service while it runs.
    """

    name: str
    folder: Path
    port: int
    relay_port: int
    identity: PrivateIdentity
    plane: NetworkPlane = field(default_factory=NetworkPlane)
    tables: dict[str, dict[str, object]] = field(default_factory=dict)
    service: Service = field(init=False)

    @property
    def path(self) -> Path:
        """The configuration."""
        return self.folder / "gateway.toml"

    def write(self) -> None:
        """Write the configuration as it stands."""
        lines = []
        for header, keys in self.tables.items():
            lines.append(f"[{header}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        self.path.write_text("\n".join(lines) + "\n")
        self.path.chmod(0o600)

    async def start(self) -> None:
        """Start a new service."""
        self.write()
        candidate = accept(self.path, environ={})
        self.service = Service(
            candidate,
            build(
                candidate,
                {},
                make_planes=partial(MemoryPlanes, self.plane),
                fence_opener=FakeFence,
            ),
            self.path,
            {},
            log_format=LogFormat.CONSOLE,
        )
        await self.service.start()

    async def call(self, method: str, **params: object) -> Any:  # JSON
        """Ask as the control socket does."""
        return await Handlers(self.service).table()[method](params)

    def in_force(self, tunnel: str) -> bool:
        """Whether a tunnel's newest epoch is proven here."""
        driver = self.service.tunnels.drivers.get(tunnel)
        current = driver.state.rotation.current if driver is not None else None
        return current is not None and current.in_force_at is not None

    def stock(self, link: str) -> int:
        """Confirmed keys of a link."""
        status = self.service.store.stocks.status(link)
        return status.available - status.unconfirmed


class Sites:
    """Gateways of a network.

    Args:
        folder: Where their files go.
        links: Pairs of nodes that share a QKD link, a tunnel and a hop.
        relayed: Pairs that share none; each has a tunnel ``a-b`` whose keys a link of
            that name relays. More keys of that link may follow in `tables`.
        rate: Keys a second of each simulated link.
        pads: Pads to keep for each direction of each hop.
    """

    def __init__(
        self,
        folder: Path,
        links: Sequence[Pair],
        relayed: Iterable[Pair] = (),
        *,
        rate: float = 2000.0,
        pads: int = 300,
    ) -> None:
        names = sorted({name for pair in links for name in pair})
        ports = free_ports(2 * len(names))
        udp, tcp = ports[: len(names)], ports[len(names) :]
        self.by_name = {
            name: self._make(folder / name, name, port, relay_port)
            for name, port, relay_port in zip(names, udp, tcp, strict=True)
        }
        for site in self.by_name.values():
            site.tables["relay"] = {
                "node": site.name,
                "listen": [f"127.0.0.1:{site.relay_port}"],
                "links": [list(pair) for pair in links],
                "forward": True,
            }
        self._count = itertools.count()
        for a, b in links:
            self._join(a, b, rate, pads)
        for a, b in relayed:
            self._relay(a, b)

    def __getitem__(self, name: str) -> Site:
        return self.by_name[name]

    async def start(self) -> None:
        """Start every gateway."""
        for site in self.by_name.values():
            await site.start()

    async def stop(self) -> None:
        """Stop those that run."""
        for site in self.by_name.values():
            if (
                hasattr(site, "service")
                and not site.service.store_worker._pool._shutdown
            ):
                await site.service.stop()

    def _make(self, place: Path, name: str, port: int, relay_port: int) -> Site:
        place.mkdir(mode=0o700)
        site = Site(name, place, port, relay_port, generate_identity(1))
        write_private_identity(place / "identity", encode_private(site.identity))
        create_master_key(place / "master-key")
        site.tables["gateway"] = {
            "identity": "identity",
            "listen": [f"127.0.0.1:{port}"],
            "state_dir": "state",
            "control_socket": "control.sock",
            "control_group": "root",
        }
        site.tables["keystore"] = {"path": "keys.db", "master_key": "master-key"}
        site.tables["log"] = {"format": "console"}
        return site

    def _join(self, a: str, b: str, rate: float, pads: int) -> None:
        link = f"{a}-{b}"
        first, second = self[a], self[b]
        create_seed(first.folder / f"{link}.seed")
        seed = (first.folder / f"{link}.seed").read_bytes()
        (second.folder / f"{link}.seed").touch(mode=0o600)
        (second.folder / f"{link}.seed").write_bytes(seed)
        for site, peer in ((first, second), (second, first)):
            site.tables[f"links.{link}"] = {
                "source": "simulated",
                "rate": rate,
                "seed_file": f"{link}.seed",
                "capacity": 400,
            }
            site.tables[f"relay.neighbours.{peer.name}"] = {
                "link": link,
                "tunnel": link,
                "endpoint": f"127.0.0.1:{peer.relay_port}",
                "pads": pads,
            }
        self._tunnel(first, second, link)

    def _relay(self, a: str, b: str) -> None:
        first, second = self[a], self[b]
        for site, peer in ((first, second), (second, first)):
            site.tables[f"links.{a}-{b}"] = {
                "source": "relay",
                "to": peer.name,
                "target": 20,
                "low_water": 4,
                "batch": 8,
                "requests_per_minute": 6000.0,
            }
        self._tunnel(first, second, f"{a}-{b}")

    def _tunnel(self, first: Site, second: Site, name: str) -> None:
        number = next(self._count)
        for site, peer, own, other in (
            (first, second, 1, 2),
            (second, first, 2, 1),
        ):
            public = f"{peer.name}.pub"
            if not (site.folder / public).exists():
                write_public_identity(
                    site.folder / public, encode_public(peer.identity.public)
                )
            site.plane.by_tunnel[name] = peer.plane
            site.tables[f"tunnels.{name}"] = {
                "peer": public,
                "endpoint": f"127.0.0.1:{peer.port}",
                "role": "initiator" if own == 1 else "responder",
                "plane": "esp",
                "qkd": "required",
                "link": name,
                "interface": f"qgw{number}",
                "rotation_interval": 60.0,
                "addresses": [f"10.{own}0{number}.0.1/32"],
                "local_subnets": [f"10.{own}{number}.0.0/24"],
                "remote_subnets": [f"10.{other}{number}.0.0/24"],
            }
