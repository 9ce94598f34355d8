"""Trying every file that a configuration names.

Identities, PSKs, master key, seeds, and what KMEs are spoken to with.
"""

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from gateway.config.checks import ONE_TUNNEL_A_PEER, shared_peer
from gateway.config.files import read_source
from gateway.config.identity_files import (
    load_private_identity,
    load_psk,
    load_public_identity,
)
from gateway.config.model import GatewayConfig, LinkConfig, PlaneName, TunnelConfig
from gateway.config.section import Problems, Source
from gateway.crypto.identity import PublicIdentity, format_fingerprint
from gateway.errors import ConfigProblem, GatewayError
from gateway.keystore.master_key import load_master_key
from gateway.qkd.seed import load_seed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FileFindings:
    """What was found.

    Attributes:
        problems: What does not work.
        warnings: What will not for much longer.
    """

    problems: tuple[ConfigProblem, ...]
    warnings: tuple[ConfigProblem, ...]


def check_files(
    config: GatewayConfig, *, environ: Mapping[str, str] = os.environ
) -> FileFindings:
    """Return what is wrong with the files that a configuration names.

    Args:
        config: The configuration, itself without problems.
        environ: Where systemd names its folder of credentials.
    """
    return _FileChecks(config, environ).run()


class _FileChecks:
    """Opens every file once and notes what does not work, with the line it is named."""

    def __init__(self, config: GatewayConfig, environ: Mapping[str, str]) -> None:
        self._config = config
        self._environ = environ
        self._problems = Problems()
        self._warnings = Problems()
        self._sources = dict(self._read_sources())
        self._peers: dict[tuple[PlaneName, bytes], str] = {}

    def run(self) -> FileFindings:
        config = self._config
        main = config.files[0]
        own = self._try(
            main,
            ("gateway", "identity"),
            "a private identity file",
            lambda: load_private_identity(config.identity, environ=self._environ),
        )
        # Without a path the key comes as a credential, which only systemd can show.
        if config.master_key is not None:
            self._try(
                main,
                ("keystore", "master_key"),
                "a master key file",
                lambda: load_master_key(config.master_key, self._environ),
            )
        for link in config.links.values():
            self._check_link(link)
        for tunnel in config.tunnels.values():
            self._check_tunnel(tunnel, None if own is None else own.public)
        return FileFindings(tuple(self._problems.found), tuple(self._warnings.found))

    def _check_link(self, link: LinkConfig) -> None:
        file = self._file_of("links", link.name)
        place = ("links", link.name)
        if link.seed_file is not None:
            load = functools.partial(load_seed, link.seed_file)
            self._try(file, (*place, "seed_file"), "a seed file", load)
        if link.kme is not None:
            # Imported here: TLS for nothing takes a third of the start of `qgw`.
            from gateway.cli.kme_file_checks import KMEFileChecks  # noqa: PLC0415

            def refuse(key: str, expected: str, found: str) -> None:
                self._note(self._problems, file, (*place, key), expected, found)

            def warn(key: str, expected: str, found: str) -> None:
                self._note(self._warnings, file, (*place, key), expected, found)

            now = datetime.now(UTC)
            KMEFileChecks(link.kme, now, refuse=refuse, warn=warn).run()

    def _check_tunnel(self, tunnel: TunnelConfig, own: PublicIdentity | None) -> None:
        file = tunnel.source_file
        place = ("tunnels", tunnel.name)
        if tunnel.psk_file is not None:
            psk = tunnel.psk_file
            self._try(
                file,
                (*place, "psk"),
                "a PSK file",
                lambda: load_psk(psk, environ=self._environ),
            )
        peer = self._try(
            file,
            (*place, "peer"),
            "a public identity file",
            lambda: load_public_identity(tunnel.peer_identity),
        )
        if peer is not None:
            self._check_shared(tunnel, peer)
        if peer is not None and own is not None:
            self._check_peer(file, (*place, "peer"), own, peer)

    def _check_shared(self, tunnel: TunnelConfig, peer: PublicIdentity) -> None:
        """Refuse a second tunnel to a gateway whatever its file is called."""
        if tunnel.plane not in ONE_TUNNEL_A_PEER or not tunnel.enabled:
            return
        key = (tunnel.plane, peer.fingerprint)
        first = self._peers.setdefault(key, tunnel.name)
        if first != tunnel.name:
            place = ("tunnels", tunnel.name, "peer")
            self._refuse(tunnel.source_file, place, *shared_peer(tunnel, first))

    def _check_peer(
        self,
        file: Path,
        key: tuple[str, ...],
        own: PublicIdentity,
        peer: PublicIdentity,
    ) -> None:
        if peer.fingerprint == own.fingerprint:
            self._refuse(
                file,
                key,
                "the peer's identity",
                "this gateway's own (did you copy the wrong public file?)",
            )
        elif peer.suite_id != own.suite_id:
            self._refuse(
                file,
                key,
                f"an identity of suite {own.suite_id}, as this gateway's",
                f"suite {peer.suite_id} ({format_fingerprint(peer.fingerprint)})",
            )

    def _read_sources(self) -> Iterator[tuple[Path, Source]]:
        # Read a second time, for the lines alone; load_config found no problems.
        for file in self._config.files:
            source = read_source(file, Problems())
            if source is not None:
                yield file, source

    def _file_of(self, kind: str, name: str) -> Path:
        for file, source in self._sources.items():
            if (kind, name) in source.lines:
                return file
        return self._config.files[0]

    def _try(
        self,
        file: Path,
        key: tuple[str, ...],
        expected: str,
        load: Callable[[], T],
    ) -> T | None:
        try:
            return load()
        except GatewayError as error:
            hint = f" ({error.hint})" if error.hint else ""
            self._refuse(file, key, expected, f"{error.message}{hint}")
            return None

    def _refuse(
        self, file: Path, key: tuple[str, ...], expected: str, found: str
    ) -> None:
        self._note(self._problems, file, key, expected, found)

    def _note(
        self,
        notes: Problems,
        file: Path,
        key: tuple[str, ...],
        expected: str,
        found: str,
    ) -> None:
        source = self._sources.get(file)
        if source is not None:
            notes.add(source, key, expected, found)
        else:
            notes.add_at(file, 0, ".".join(key), expected, found)
