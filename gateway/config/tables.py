"""The tables of the configuration: which keys each has, of what type, and defaults."""

import base64
import hashlib
from collections.abc import Callable
from typing import Final, TypeVar

from gateway.config.addresses import (
    parse_address,
    parse_interface_address,
    parse_listen,
    parse_network,
    parse_peer,
)
from gateway.config.defaults import (
    DEFAULT_CONFIRMING,
    DEFAULT_CONTROL_SOCKET,
    DEFAULT_STATE_DIR,
)
from gateway.config.kme_tables import read_kme
from gateway.config.model import (
    DEFAULT_PORT,
    DEFAULT_ROTATION_INTERVAL,
    LIFETIME_INTERVALS,
    MAX_QKD_EVERY,
    MAX_ROTATION_INTERVAL,
    MIN_ROTATION_INTERVAL,
    Endpoint,
    KEMProviderName,
    LinkConfig,
    LinkSource,
    LogFormat,
    LogLevel,
    PlaneName,
    QKDPolicy,
    Role,
    SecondPerson,
    TunnelConfig,
)
from gateway.config.relay_tables import read_route
from gateway.config.section import Section
from gateway.config.values import (
    INTERFACE_SIZE,
    MAX_PORT,
    many,
    number,
    one_of,
    parse_boolean,
    parse_interface_name,
    parse_text,
    path_beside,
    secret_path_beside,
    whole,
)
from gateway.wire.header import DEFAULT_MTU, MAX_MTU, MIN_MTU

T = TypeVar("T")

DEFAULT_LISTEN: Final = (
    Endpoint("0.0.0.0", DEFAULT_PORT),  # noqa: S104 - peers are outside
    Endpoint("::", DEFAULT_PORT),
)
DEFAULT_CONTROL_GROUP: Final = "qgw"
DEFAULT_VIEW_GROUP: Final = "qgw-view"
MIN_CONFIRMING: Final = 10.0
MAX_CONFIRMING: Final = 86_400.0
DEFAULT_WIREGUARD_PORTS: Final = (DEFAULT_PORT + 1, DEFAULT_PORT + 2)
KEYSTORE_NAME: Final = "keys.db"
"""The key store's file in the state folder."""

MAX_EPOCH_LIFETIME: Final = MAX_ROTATION_INTERVAL * LIFETIME_INTERVALS
"""Seconds; what the longest interval gets by default."""

MIN_INNER_MTU: Final = 576
MAX_INNER_MTU: Final = 65_535

MAX_KEY_RATE: Final = 10_000.0
"""Keys a second; ten times what the best fibre link gives (304 kb/s)."""

MAX_STOCK: Final = 10_000_000
"""Keys; ten years of one tunnel at one key every two minutes take 2.6 million."""

MAX_KEY_LIFETIME: Final = 10 * 366 * 86_400.0
"""Seconds; ten years."""

_INTERFACE_PREFIX: Final = "qgw-"
_INTERFACE_NAME_LEFT: Final = 4
"""Characters kept of a name that is too long, before six that are its hash."""


class GatewayKeys:
    """What the tables ``[gateway]``, ``[keystore]`` and ``[log]`` say."""

    def __init__(self, gateway: Section, keystore: Section, log: Section) -> None:
        """Read the three tables of one file."""
        file = gateway.source.file
        beside = path_beside(file)
        self.identity = gateway.required("identity", beside, '"identity.key"')
        self.listen = gateway.optional(
            "listen", _one_or_more(parse_listen), DEFAULT_LISTEN
        )
        self.control_mtu = gateway.optional(
            "control_mtu", whole(MIN_MTU, MAX_MTU), DEFAULT_MTU
        )
        self.kem_provider = gateway.optional(
            "kem_provider", one_of(KEMProviderName), KEMProviderName.AUTO
        )
        self.state_dir = gateway.optional("state_dir", beside, DEFAULT_STATE_DIR)
        self.control_socket = gateway.optional(
            "control_socket", beside, DEFAULT_CONTROL_SOCKET
        )
        self.control_group = gateway.optional(
            "control_group", parse_text, DEFAULT_CONTROL_GROUP
        )
        self.view_group = gateway.optional("view_group", parse_text, DEFAULT_VIEW_GROUP)
        self.second_person = gateway.optional(
            "second_person", many(one_of(SecondPerson)), ()
        )
        self.second_person_within = gateway.optional(
            "second_person_within",
            number(MIN_CONFIRMING, MAX_CONFIRMING, "seconds"),
            DEFAULT_CONFIRMING,
        )
        ports = gateway.optional(
            "wireguard_ports", many(whole(1, MAX_PORT)), DEFAULT_WIREGUARD_PORTS
        )
        if len(ports) != len(DEFAULT_WIREGUARD_PORTS):
            gateway.refuse("wireguard_ports", "two ports", f"{len(ports)}")
            ports = DEFAULT_WIREGUARD_PORTS
        self.wireguard_ports: tuple[int, int] = (ports[0], ports[1])
        self.keystore = keystore.optional(
            "path", beside, self.state_dir / KEYSTORE_NAME
        )
        self.master_key = keystore.optional(
            "master_key", secret_path_beside(file), None
        )
        self.log_format = log.optional("format", one_of(LogFormat), LogFormat.AUTO)
        self.log_level = log.optional("level", one_of(LogLevel), LogLevel.INFO)
        for section in (gateway, keystore, log):
            section.close()


def read_link(name: str, section: Section) -> LinkConfig:
    """Read one ``[links.NAME]``."""
    source = section.required("source", one_of(LinkSource), '"file"')
    simulated = source is LinkSource.SIMULATED
    rate = section.optional("rate", number(0.001, MAX_KEY_RATE, "keys a second"), 0.0)
    seed = section.optional("seed_file", secret_path_beside(section.source.file), None)
    for key in ("rate", "seed_file"):
        if source and simulated and key not in section:
            section.refuse(key, 'a value, since source is "simulated"', "nothing")
        elif source and not simulated and key in section:
            section.refuse(key, 'no such key unless source is "simulated"', "one")
    link = LinkConfig(
        name=name,
        source=source or LinkSource.FILE,
        rate=rate,
        seed_file=seed,
        key_lifetime=section.optional(
            "key_lifetime", number(1, MAX_KEY_LIFETIME, "seconds"), None
        ),
        low_water=section.optional("low_water", whole(0, MAX_STOCK), 20),
        target=section.optional("target", whole(1, MAX_STOCK), 1_000),
        capacity=section.optional("capacity", whole(1, MAX_STOCK), 10_000),
        kme=read_kme(section, source),
        route=read_route(section, source),
    )
    fetched = link.kme or link.route
    if simulated and link.low_water > link.capacity:
        section.refuse(
            "low_water" if "low_water" in section else "capacity",
            "low_water <= capacity",
            f"{link.low_water}, {link.capacity}",
        )
    if not link.low_water <= link.target <= link.capacity and fetched:
        section.refuse(
            "target" if "target" in section else "capacity",
            "low_water <= target <= capacity",
            f"{link.low_water}, {link.target}, {link.capacity}",
        )
    section.close()
    return link


def read_tunnel(name: str, section: Section) -> TunnelConfig:
    """Read one ``[tunnels.NAME]``."""
    file = section.source.file
    interval = section.optional(
        "rotation_interval",
        number(MIN_ROTATION_INTERVAL, MAX_ROTATION_INTERVAL, "seconds"),
        DEFAULT_ROTATION_INTERVAL,
    )
    peer = section.required("peer", path_beside(file), f'"peers/{name}.pub"')
    tunnel = TunnelConfig(
        name=name,
        peer_identity=peer or file,
        endpoint=section.optional("endpoint", parse_peer, None),
        role=section.optional("role", one_of(Role), Role.AUTO),
        local_address=section.optional("local_address", parse_address, None),
        plane=section.optional("plane", one_of(PlaneName), PlaneName.AUTO),
        # Without a word from the operator the strictest policy holds.
        qkd=section.optional("qkd", one_of(QKDPolicy), QKDPolicy.REQUIRED),
        qkd_every=section.optional("qkd_every", whole(1, MAX_QKD_EVERY), 1),
        link=section.optional("link", parse_text, None),
        psk_file=section.optional("psk", secret_path_beside(file), None),
        rotation_interval=interval,
        max_epoch_lifetime=section.optional(
            "max_epoch_lifetime",
            number(MIN_ROTATION_INTERVAL, MAX_EPOCH_LIFETIME, "seconds"),
            interval * LIFETIME_INTERVALS,
        ),
        encap=section.optional("encap", parse_boolean, default=False),
        addresses=section.optional("addresses", many(parse_interface_address), ()),
        local_subnets=section.optional("local_subnets", many(parse_network), ()),
        remote_subnets=section.optional("remote_subnets", many(parse_network), ()),
        interface=section.optional(
            "interface", parse_interface_name, default_interface(name)
        ),
        mtu=section.optional("mtu", whole(MIN_INNER_MTU, MAX_INNER_MTU), None),
        enabled=section.optional("enabled", parse_boolean, default=True),
        source_file=file,
    )
    section.close()
    return tunnel


def default_interface(tunnel: str) -> str:
    """Name a tunnel's interface: ``qgw-NAME``, or a short form of it.

    A name of more than 11 characters keeps its first four, followed by a dash and
    30 bits of its SHA-256 in base 32: the same after every start, at both ends.
    """
    if len(_INTERFACE_PREFIX + tunnel) <= INTERFACE_SIZE:
        return _INTERFACE_PREFIX + tunnel
    digest = base64.b32encode(hashlib.sha256(tunnel.encode()).digest()).decode().lower()
    head = tunnel[:_INTERFACE_NAME_LEFT] + "-"
    left = INTERFACE_SIZE - len(_INTERFACE_PREFIX) - len(head)
    return _INTERFACE_PREFIX + head + digest[:left]


def _one_or_more(parse: Callable[[object], T]) -> Callable[[object], tuple[T, ...]]:
    """Make a parser that takes one value where a list of one would do."""
    parse_list = many(parse)

    def parse_either(value: object) -> tuple[T, ...]:
        return parse_list(value) if isinstance(value, list) else (parse(value),)

    return parse_either
