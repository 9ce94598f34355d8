r"""Three sites as INT-UQKD has them: their hosts, KMEs and gateways.

::

    redu ---- fibre ---- lux ---- satellite ---- sin
      \________________ tunnel redu-sin _________/

Every quantum link is simulated, and days pass in seconds.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.config.identity_files import (
    write_private_identity,
    write_public_identity,
)
from gateway.crypto.identity import (
    PrivateIdentity,
    encode_private,
    encode_public,
    generate_identity,
)
from gateway.keystore.master_key import create_master_key
from gateway.kme.laboratory import Site, SiteFiles, make_laboratory
from gateway.kme.settings import End
from lab.gateway import PORT, Gateway
from lab.kme import KME
from lab.netns import Namespace, join, run

SITES: Final = ("redu", "lux", "sin")
RELAY_PORT: Final = 51813

DAY: Final = 86_400.0

TIME_SCALE: Final = 10_000.0
"""Simulated seconds a second: a day of passes in 8.6 s."""

DELAYS: Final = {"lux": 0.001, "sin": 0.085}
"""Seconds from a site to the network: Luxembourg and Singapore are 172 ms apart and
back, as measured; Redu sits at the network itself."""

INTERVAL: Final = 2.0
"""Seconds between epochs: at this pace of time, five and a half hours."""

LIFETIME: Final = 6.0
"""Seconds that an epoch lives without a successor."""

FIBRE: Final = ('model = "fibre"', "time_scale = 100")
"""Redu-Luxembourg, 80 km. Its pace is its own: keys by the second either way."""

FIBRE_POOL: Final = 16
"""Keys that the fibre's KMEs keep: an eavesdropper's days must be noticed."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """One tunnel of the scenario.

    Attributes:
        name: Its name, and that of its link but for the satellite's and the fibre's.
        ends: Sites; the first initiates.
        link: QKD link.
        qkd: Policy.
        every: `qkd_every`.
        number: For addresses.
    """

    name: str
    ends: tuple[str, str]
    link: str
    qkd: str
    every: int
    number: int

    def address(self, site: str) -> str:
        """Return the address inside, at one end."""
        return f"10.{70 + self.number}.{1 + self.ends.index(site)}.1"


TUNNELS: Final = (
    Tunnel("redu-lux", ("redu", "lux"), "fibre", "required", 1, 1),
    Tunnel("lux-sin", ("lux", "sin"), "satellite", "preferred", 2, 2),
    Tunnel("redu-sin", ("redu", "sin"), "redu-sin", "required", 2, 3),
)

STOCKS: Final = {"fibre": 10, "satellite": 10, "redu-sin": 6}
"""Keys to keep of each link: what a satellite gives in a day at this pace."""


@dataclass
class Network:
    """Everything that runs.

    Attributes:
        hosts: Namespaces by site.
        gateways: Daemons by site.
        kmes: KMEs by link and site.
        cables: Programs that delay frames.
    """

    hosts: dict[str, Namespace]
    gateways: dict[str, Gateway] = field(default_factory=dict)
    kmes: dict[tuple[str, str], KME] = field(default_factory=dict)
    cables: "list[subprocess.Popen[str]]" = field(default_factory=list)

    def stop(self) -> None:
        """Stop daemons, KMEs, and what daemons left running."""
        for gateway in self.gateways.values():
            gateway.stop()
            gateway.end_children()
        for kme in self.kmes.values():
            kme.stop()


@contextlib.contextmanager
def three_hosts() -> Iterator[Network]:
    """Make hosts and the network between them; remove all of it at the end."""
    base = f"qgw{os.getpid()}"
    wire = f"{base}w"
    hosts = {
        site: Namespace(
            f"{base}{site}", f"192.0.2.{number}", f"veth-{site}", wire, f"leg-{site}"
        )
        for number, site in enumerate(SITES, 1)
    }
    network = Network(hosts)
    try:
        for name in (wire, *(host.name for host in hosts.values())):
            run("ip", "netns", "add", name)
        run("ip", "-n", wire, "link", "add", "network", "type", "bridge")
        run("ip", "-n", wire, "link", "set", "network", "up")
        for site, host in hosts.items():
            if site in DELAYS:
                network.cables.append(_lay_cable(host, DELAYS[site]))
            else:
                join(host, "/24")
        yield network
    finally:
        for cable in network.cables:
            cable.send_signal(signal.SIGTERM)
            cable.communicate(timeout=10)
        for name in (*(host.name for host in hosts.values()), wire):
            run("ip", "netns", "del", name, check=False)


def _lay_cable(host: Namespace, delay: float) -> "subprocess.Popen[str]":
    """Join a host by a cable of some length."""
    cable = subprocess.Popen(
        [
            *(sys.executable, "-m", "lab.delay"),
            *(host.name, host.device, host.wire, host.leg, str(delay)),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    assert cable.stdout is not None  # noqa: S101  # it is a pipe
    if not cable.stdout.readline():
        raise RuntimeError("the cable could not be laid: no TUN devices here")
    run("ip", "-n", host.wire, "link", "set", host.leg, "master", "network", "up")
    run("ip", "-n", host.name, "addr", "add", f"{host.address}/24",
        "dev", host.device)  # fmt: skip
    run("ip", "-n", host.name, "link", "set", "lo", "up")
    run("ip", "-n", host.name, "link", "set", host.device, "up")
    return cable


def write_files(
    network: Network, folder: Path, plane: str, satellite: tuple[str, ...]
) -> None:
    """Write every configuration, identity and certificate.

    Args:
        network: Hosts; gateways and KMEs are added.
        folder: Where.
        plane: Data plane of all tunnels.
        satellite: TOML lines of the satellite link.
    """
    _make_kmes(network, folder / "fibre", "fibre", ("redu", "lux"), FIBRE, FIBRE_POOL)
    _make_kmes(
        network, folder / "satellite", "satellite", ("lux", "sin"), satellite, None
    )
    identities = {site: generate_identity(1) for site in SITES}
    for site in SITES:
        home = folder / site
        home.mkdir(mode=0o700)
        write_private_identity(home / "identity", encode_private(identities[site]))
        create_master_key(home / "master-key")
        network.gateways[site] = Gateway(site, network.hosts[site], home)
    for site in SITES:
        _write_gateway(network, site, plane, identities)


def _make_kmes(
    network: Network,
    folder: Path,
    link: str,
    ends: tuple[str, str],
    lines: tuple[str, ...],
    pool: int | None,
) -> None:
    port = 8443 if link == "fibre" else 8444
    sites = [
        Site(f"{link}-{site}", network.hosts[site].address, port, [f"gw-{site}"])
        for site in ends
    ]
    files = make_laboratory(folder, *sites, link_lines=lines, local=True)
    for end, site in zip((End.ALICE, End.BOB), ends, strict=True):
        made = files[end]
        if pool is not None:
            text = made.config.read_text()
            made.config.write_text(
                text.replace("[kme]\n", f"[kme]\nmax_key_count = {pool}\n", 1)
            )
        network.kmes[link, site] = KME(site, network.hosts[site], made)


def _write_gateway(
    network: Network,
    site: str,
    plane: str,
    identities: Mapping[str, PrivateIdentity],
) -> None:
    home = network.gateways[site].folder
    text = [_GATEWAY]
    for (link, at), kme in network.kmes.items():
        if at == site:
            other = next(s for lk, s in network.kmes if lk == link and s != site)
            text.append(_kme_link(link, site, other, kme.files))
    hops = {"redu": ["lux"], "lux": ["redu", "sin"], "sin": ["lux"]}
    text.append(
        f"""[relay]
node = "{site}"
listen = ["{network.hosts[site].address}:{RELAY_PORT}"]
forward = {str(site == "lux").lower()}
links = [["redu", "lux"], ["lux", "sin"]]
"""
    )
    for peer in hops[site]:
        (hop,) = (one for one in TUNNELS if set(one.ends) == {site, peer})
        text.append(
            f"""[relay.neighbours.{peer}]
link = "{hop.link}"
tunnel = "{hop.name}"
endpoint = "{network.hosts[peer].address}:{RELAY_PORT}"
pads = 16
"""
        )
    for tunnel in TUNNELS:
        if site not in tunnel.ends:
            continue
        peer = next(one for one in tunnel.ends if one != site)
        public = home / f"{peer}.pub"
        if not public.exists():
            write_public_identity(public, encode_public(identities[peer].public))
        if tunnel.link == tunnel.name:
            text.append(
                f"""[links.{tunnel.link}]
source = "relay"
to = "{peer}"
target = {STOCKS[tunnel.link]}
low_water = 2
batch = 4
requests_per_minute = 600
"""
            )
        address, remote = tunnel.address(site), tunnel.address(peer)
        text.append(
            f"""[tunnels.{tunnel.name}]
peer = "{peer}.pub"
endpoint = "{network.hosts[peer].address}:{PORT}"
role = "{"initiator" if site == tunnel.ends[0] else "responder"}"
plane = "{plane}"
qkd = "{tunnel.qkd}"
qkd_every = {tunnel.every}
link = "{tunnel.link}"
rotation_interval = {INTERVAL}
max_epoch_lifetime = {LIFETIME}
addresses = ["{address}/32"]
local_subnets = ["{address}/32"]
remote_subnets = ["{remote}/32"]
"""
        )
    path = home / "gateway.toml"
    path.write_text("\n".join(text))
    path.chmod(0o600)


_GATEWAY: Final = f"""[gateway]
identity = "identity"
listen = ["0.0.0.0:{PORT}"]
state_dir = "state"
control_socket = "control.sock"
control_group = "root"

[keystore]
path = "state/keys.db"
master_key = "master-key"

[log]
level = "info"
format = "console"
"""


def _kme_link(link: str, site: str, other: str, files: SiteFiles) -> str:
    ours = files.saes[f"gw-{site}"]
    return f"""[links.{link}]
source = "etsi014"
kme = "{files.url}"
sae_id = "gw-{site}"
peer_sae_id = "gw-{other}"
ca = "{ours.ca}"
certificate = "{ours.certificate}"
private_key = "{ours.private_key}"
target = {STOCKS[link]}
low_water = 2
batch = 8
requests_per_minute = 600
"""


def cut_off(network: Network, site: str, *, is_cut: bool) -> None:
    """Cut a site off the network, or mend it."""
    host = network.hosts[site]
    run("ip", "-n", host.wire, "link", "set", host.leg, "down" if is_cut else "up")
