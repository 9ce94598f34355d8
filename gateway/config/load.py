"""Loader of ``gateway.toml`` and ``tunnels.d/*.toml`` beside it.

Everything wrong is reported at once. Relative paths are taken from the folder of
the file that names them. What the files name is not opened here.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from gateway.config.checks import (
    check_listen,
    check_local_address,
    check_ports,
    check_together,
    check_tunnel,
)
from gateway.config.defaults import DEFAULT_PATH
from gateway.config.files import find_files, read_source
from gateway.config.model import (
    GatewayConfig,
    LinkConfig,
    RelayConfig,
    TunnelConfig,
)
from gateway.config.problems import Problems, Source
from gateway.config.relay_tables import (
    check_relay,
    check_route,
    check_routes_apart,
    read_relay,
)
from gateway.config.section import Section
from gateway.config.tables import GatewayKeys, read_link, read_tunnel
from gateway.config.values import NAME
from gateway.errors import ConfigError

MAX_TUNNELS: Final = 10_000
"""Twice the largest hub that is measured."""

MAIN_TABLES: Final = ("gateway", "keystore", "log", "links", "tunnels", "relay")
TUNNEL_TABLES: Final = ("links", "tunnels")
"""What a file in ``tunnels.d`` may hold: a tunnel, and the link it draws on."""


def load_config(path: Path = DEFAULT_PATH) -> GatewayConfig:
    """Load and check the whole configuration.

    Args:
        path: The main file; ``tunnels.d`` is looked for in its folder.

    Raises:
        ConfigError: Something is wrong; it carries every problem found.
    """
    problems = Problems()
    files = find_files(path, problems)
    sources = [
        source for file in files if (source := read_source(file, problems)) is not None
    ]
    # With a file missing, the links it may hold are not wrong but unknown.
    reader = _ConfigReader(problems, links_known=len(sources) == len(files))
    config = reader.read(path, sources)
    if problems.found or config is None:
        order = {str(file): place for place, file in enumerate(files)}
        found = sorted(problems.found, key=lambda p: (order.get(p.file, -1), p.line))
        raise ConfigError(tuple(found))
    return config


class _ConfigReader:
    """Puts the files together; remembers where each tunnel and link came from."""

    def __init__(self, problems: Problems, *, links_known: bool) -> None:
        self._problems = problems
        self._links_known = links_known
        self._links: dict[str, LinkConfig] = {}
        self._tunnels: dict[str, TunnelConfig] = {}
        self._sections: dict[tuple[str, str], Section] = {}

    def read(self, path: Path, sources: Sequence[Source]) -> GatewayConfig | None:
        """Read every file; None when the main one could not be read."""
        gateway: GatewayKeys | None = None
        relay: RelayConfig | None = None
        files = []
        for source in sources:
            files.append(source.file)
            is_main = source.file == path
            self._refuse_other_tables(source, MAIN_TABLES if is_main else TUNNEL_TABLES)
            if is_main:
                gateway = self._read_gateway(source)
                relay = read_relay(source, self._problems)
            for name, section in self._named(source, "links"):
                self._links[name] = read_link(name, section)
            for name, section in self._named(source, "tunnels"):
                self._tunnels[name] = read_tunnel(name, section)
        self._check_tunnels()
        if gateway is not None:
            self._check_local_addresses(gateway)
        if self._links_known:
            self._check_network(relay, sources)
        if gateway is None or gateway.identity is None:
            return None
        return GatewayConfig(
            identity=gateway.identity,
            listen=gateway.listen,
            control_mtu=gateway.control_mtu,
            kem_provider=gateway.kem_provider,
            state_dir=gateway.state_dir,
            control_socket=gateway.control_socket,
            control_group=gateway.control_group,
            view_group=gateway.view_group,
            second_person=gateway.second_person,
            second_person_within=gateway.second_person_within,
            keystore=gateway.keystore,
            master_key=gateway.master_key,
            log_format=gateway.log_format,
            log_level=gateway.log_level,
            wireguard_ports=gateway.wireguard_ports,
            links=self._links,
            tunnels=self._tunnels,
            files=tuple(files),
            relay=relay,
        )

    def _read_gateway(self, source: Source) -> GatewayKeys:
        gateway, keystore, log = (
            Section(source, (name,), self._problems) for name in MAIN_TABLES[:3]
        )
        keys = GatewayKeys(gateway, keystore, log)
        for expected, found in check_listen(keys.listen):
            gateway.refuse("listen", expected, found)
        for expected, found in check_ports(keys.listen, keys.wireguard_ports):
            gateway.refuse("wireguard_ports", expected, found)
        return keys

    def _refuse_other_tables(self, source: Source, known: tuple[str, ...]) -> None:
        top = Section(source, (), self._problems)
        for name in known:
            top.optional(name, lambda value: value, None)
        top.close()

    def _named(self, source: Source, kind: str) -> Iterable[tuple[str, Section]]:
        """Open ``[KIND.NAME]`` for every name that is a name, and new."""
        tables = Section(source, (kind,), self._problems)
        for name in tables.names():
            earlier = self._sections.get((kind, name))
            if not NAME.fullmatch(name):
                tables.refuse(name, "a name of 1 to 32 of a-z, 0-9 and -", repr(name))
            elif earlier is not None:
                line = earlier.source.line_of(earlier.path)
                where = f"{earlier.source.file}:{line}"
                tables.refuse(name, "each name once", f"another one at {where}")
            elif kind == "tunnels" and len(self._tunnels) >= MAX_TUNNELS:
                tables.refuse(name, f"at most {MAX_TUNNELS} tunnels", "one more")
                return
            else:
                section = Section(source, (kind, name), self._problems)
                self._sections[kind, name] = section
                yield name, section

    def _check_tunnels(self) -> None:
        for name, tunnel in self._tunnels.items():
            section = self._sections["tunnels", name]
            links = self._links if self._links_known else None
            check_tunnel(tunnel, links, section.refuse)
        check_together(
            self._tunnels.values(),
            lambda name, key, expected, found: self._sections["tunnels", name].refuse(
                key, expected, found
            ),
        )

    def _check_local_addresses(self, gateway: GatewayKeys) -> None:
        for name, tunnel in self._tunnels.items():
            refuse = self._sections["tunnels", name].refuse
            check_local_address(tunnel, gateway.listen, refuse)

    def _check_network(
        self, relay: RelayConfig | None, sources: Sequence[Source]
    ) -> None:
        if relay is not None:
            check_relay(relay, self._links, self._tunnels, sources[0], self._problems)
        elif "relay" in sources[0].data:
            return  # what is wrong with it has been said
        for name, link in self._links.items():
            check_route(link, relay, self._sections["links", name].refuse)
        check_routes_apart(
            self._links,
            lambda name, key, expected, found: self._sections["links", name].refuse(
                key, expected, found
            ),
        )
