"""The operator's configuration, as frozen typed objects.

Paths are absolute. Nothing here has been opened: identity, PSK and master-key
files are named, and read by the daemon.
"""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from pathlib import Path

DEFAULT_PORT = 51810
"""UDP port of the control plane; WireGuard devices use the two ports above it."""

DEFAULT_RELAY_PORT = DEFAULT_PORT + 3
"""TCP port on which relays take their neighbours' messages."""

SIMULATED_BATCH, SIMULATED_CALLS = 64, 600.0
"""Pads that a simulated link gives in one call, and calls a minute: it costs nothing to
ask, and its rate is what counts."""

DEFAULT_ROTATION_INTERVAL = 120.0
"""Seconds; what a bank's production link ran for 45 days (arXiv 2405.04415)."""

MIN_ROTATION_INTERVAL = 2.0
"""Seconds; below it a rotation can meet its successor on a slow link."""

MAX_ROTATION_INTERVAL = 3600.0
"""Seconds; a key in use for longer than an hour is a mistake, not a policy."""

MAX_QKD_EVERY = 10_080
"""Epochs: a fortnight of two-minute ones, more than the longest spell of cloud over a
satellite's station. Beyond it a key is history, not policy."""

LIFETIME_INTERVALS = 3.0
"""Default `max_epoch_lifetime`, in intervals: two missed rotations are survived."""


class Role(StrEnum):
    """Who starts the handshakes of a tunnel."""

    AUTO = "auto"
    INITIATOR = "initiator"
    RESPONDER = "responder"


class QKDPolicy(StrEnum):
    """Whether an epoch needs a QKD key."""

    REQUIRED = "required"
    PREFERRED = "preferred"
    OFF = "off"


class PlaneName(StrEnum):
    """Data planes an operator can name."""

    AUTO = "auto"
    ESP = "esp"
    WIREGUARD = "wireguard"
    WIREGUARD_GO = "wireguard-go"


class KEMProviderName(StrEnum):
    """Where ML-KEM comes from."""

    AUTO = "auto"
    LIBOQS = "liboqs"
    OPENSSL = "openssl"


class LogFormat(StrEnum):
    """Where log lines go."""

    AUTO = "auto"
    JOURNAL = "journal"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The least important lines that are logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LinkSource(StrEnum):
    """Where a link's QKD keys come from."""

    FILE = "file"
    SIMULATED = "simulated"
    ETSI014 = "etsi014"
    SKIP = "skip"
    RELAY = "relay"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a peer is reached.

    Attributes:
        host: IPv4 or IPv6 address, or a DNS name.
        port: UDP port.
    """

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class KMEConfig:
    """How a link's keys are fetched from this end's KMEs.

    Attributes:
        urls: Base URLs, ``https://host:port``, the preferred one first; any of them
            serves the same keys.
        sae_id: Our SAE ID (SKIP: our system's name); what our certificate says.
        peer_sae_id: The peer gateway's SAE ID (SKIP: ``remoteSystemID``).
        ca: PEM file with the CAs that KMEs are checked against; no others are.
        certificate: PEM file with our client certificate and its chain; None only
            for SKIP with `psk_file`.
        private_key: PEM file with its private key, or None with `certificate`.
        psk_identity: TLS-PSK identity, SKIP only.
        psk_file: File with the TLS-PSK, hexadecimal, SKIP only.
        timeout: Seconds a whole call may take.
        batch: Keys asked for in one call, at most; the KME may allow fewer.
        requests_per_minute: Budget of calls for fetching ahead.
        kme_ids: KME IDs, one of which the KME's certificate must say; empty for any.
    """

    urls: tuple[str, ...]
    sae_id: str
    peer_sae_id: str
    ca: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    psk_identity: str | None = None
    psk_file: Path | None = None
    timeout: float = 10.0
    batch: int = 64
    requests_per_minute: float = 120.0
    kme_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """How a link's keys are relayed over trusted nodes.

    Attributes:
        to: The node at the other end.
        via: The nodes between, for each path that the operator chose, from this end;
            empty to have paths computed.
        paths: How many disjoint paths each key is combined from.
        batch: Keys asked for at once, at most.
        requests_per_minute: Budget of batches for relaying ahead.
    """

    to: str
    via: tuple[tuple[str, ...], ...] = ()
    paths: int = 1
    batch: int = 128
    requests_per_minute: float = 120.0


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """A QKD link whose keys fill a stock.

    Attributes:
        name: The link's name, equal at both ends.
        source: Where its keys come from.
        rate: Keys a second, for a simulated link.
        seed_file: File with the secret seed that both simulated ends share; None
            for other sources.
        key_lifetime: Seconds a key may wait in stock, or None for ever.
        low_water: Alarm when fewer keys than this are available; fetching ahead
            begins at the latest here.
        target: Keys that fetching ahead aims for.
        capacity: A simulated link stops filling at this many; from a KME no more
            are taken in, whoever asks.
        kme: Where and as whom to fetch, for ``etsi014`` and ``skip``.
        route: Over which nodes they come, for ``relay``.
        checked: Whether both ends compare check values of its keys; pads of a hop
            are never shown in any other place.
    """

    name: str
    source: LinkSource
    rate: float = 0.0
    seed_file: Path | None = None
    key_lifetime: float | None = None
    low_water: int = 20
    target: int = 1_000
    capacity: int = 10_000
    kme: KMEConfig | None = None
    route: RouteConfig | None = None
    checked: bool = True

    @property
    def batch(self) -> int:
        """Keys asked for in one call, at most; 1 if none can be asked for."""
        asked = self.kme or self.route
        if asked is None and self.source is LinkSource.SIMULATED:
            return SIMULATED_BATCH
        return asked.batch if asked else 1

    @property
    def requests_per_minute(self) -> float:
        """Budget of calls for fetching ahead; 1 if there is nobody to call."""
        asked = self.kme or self.route
        if asked is None and self.source is LinkSource.SIMULATED:
            return SIMULATED_CALLS
        return asked.requests_per_minute if asked else 1.0


@dataclass(frozen=True, slots=True)
class NeighbourConfig:
    """A node that this one shares a QKD link with.

    Attributes:
        name: The node's name.
        link: The QKD link whose KME, or simulation, gives the pads.
        tunnel: The tunnel to it, whose control channel keeps the pads in step.
        endpoint: Where its relay listens (TCP).
        pads: Pads to keep in stock for each direction.
    """

    name: str
    link: str
    tunnel: str
    endpoint: Endpoint
    pads: int


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """This gateway's place in a network of trusted nodes.

    Attributes:
        node: Its name there.
        listen: Addresses and ports of its relay (TCP).
        forward: Whether it carries keys for others, which it then knows.
        links: Every link of the network, as pairs of nodes.
        neighbours: Nodes it shares a link with, by name.
    """

    node: str
    listen: tuple[Endpoint, ...]
    forward: bool
    links: tuple[tuple[str, str], ...]
    neighbours: dict[str, NeighbourConfig]


@dataclass(frozen=True, slots=True)
class TunnelConfig:
    """One tunnel to one peer.

    Attributes:
        name: Equal at both ends; 1 to 32 of ``a-z 0-9 -``, not starting with ``-``.
        peer_identity: The peer's public identity file.
        endpoint: Where the peer is, or None when only the peer can call.
        role: Who starts the handshakes.
        local_address: Outer address to use, or None to let the routing table choose.
        plane: Data plane.
        qkd: QKD policy.
        qkd_every: A fresh QKD key is mixed in every so many epochs, at least; the
            chain carries it through those between.
        link: Name of the QKD link, None only if `qkd` is off.
        psk_file: File with a static 32-byte PSK, base64, or None.
        rotation_interval: Seconds between epochs.
        max_epoch_lifetime: Seconds after which the tunnel fails closed.
        encap: UDP encapsulation of ESP.
        addresses: Addresses inside the tunnel.
        local_subnets: Prefixes behind this gateway.
        remote_subnets: Prefixes behind the peer.
        interface: Interface name.
        mtu: Inner MTU or None to derive it.
        enabled: Whether the tunnel is brought up at start.
        source_file: File that holds it, for messages.
    """

    name: str
    peer_identity: Path
    endpoint: Endpoint | None
    role: Role
    local_address: str | None
    plane: PlaneName
    qkd: QKDPolicy
    qkd_every: int
    link: str | None
    psk_file: Path | None
    rotation_interval: float
    max_epoch_lifetime: float
    encap: bool
    addresses: tuple[IPv4Interface | IPv6Interface, ...]
    local_subnets: tuple[IPv4Network | IPv6Network, ...]
    remote_subnets: tuple[IPv4Network | IPv6Network, ...]
    interface: str
    mtu: int | None
    enabled: bool
    source_file: Path


class SecondPerson(StrEnum):
    """Acts that can be made to need a second person."""

    PURGE = "purge"
    """Erasing all unused keys of a link."""
    IDENTITY = "identity"
    """Taking another identity of our own into use by a reload."""
    FENCE = "fence"
    """Taking the fence away."""


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """The whole configuration.

    Attributes:
        identity: Private identity file of this gateway.
        listen: Addresses and ports of the control plane's UDP sockets.
        control_mtu: Largest datagram sent, bytes.
        kem_provider: Where ML-KEM comes from.
        state_dir: Where epochs, indexes and by default the key store live.
        control_socket: Unix socket for `qgw`.
        control_group: Group that may use it.
        view_group: Group that may only look, by a socket beside it.
        second_person: Acts that another user must confirm.
        second_person_within: Seconds in which that must be.
        keystore: SQLite file of the key store.
        master_key: File with the store's 32-byte master key; None to take the
            systemd credential ``master-key``.
        log_format: Where log lines go.
        log_level: The least important lines that are logged.
        wireguard_ports: UDP ports of the two WireGuard devices.
        links: QKD links by name.
        tunnels: Tunnels by name.
        files: Every file that was read, in order.
        relay: Its place in a network of trusted nodes, or None.
    """

    identity: Path
    listen: tuple[Endpoint, ...]
    control_mtu: int
    kem_provider: KEMProviderName
    state_dir: Path
    control_socket: Path
    control_group: str
    view_group: str
    second_person: tuple[SecondPerson, ...]
    second_person_within: float
    keystore: Path
    master_key: Path | None
    log_format: LogFormat
    log_level: LogLevel
    wireguard_ports: tuple[int, int]
    links: dict[str, LinkConfig]
    tunnels: dict[str, TunnelConfig]
    files: tuple[Path, ...]
    relay: RelayConfig | None = None
