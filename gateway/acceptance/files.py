"""Named files: identities, PSKs, master key, seeds, and credentials for KMEs."""

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from gateway.acceptance.contents import (
    Content,
    Key,
    content_of_identity,
    content_of_secret,
)
from gateway.acceptance.findings import Notes
from gateway.config.identity_files import (
    load_private_identity,
    load_psk,
    load_public_identity,
)
from gateway.config.model import KEMProviderName, LinkConfig, TunnelConfig
from gateway.crypto.identity import PrivateIdentity, PublicIdentity
from gateway.crypto.suite import choose_provider, passed_over
from gateway.errors import GatewayError, IdentityError
from gateway.keystore.master_key import load_master_key
from gateway.secret import Secret
from gateway.sources.simulated.seed import load_seed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TunnelFiles:
    """What the files of one tunnel hold.

    Attributes:
        peer: The peer's identity.
        psk: The static PSK, or None without one.
    """

    peer: PublicIdentity
    psk: Secret | None


@dataclass(frozen=True, slots=True)
class LoadedFiles:
    """What all files hold that could be read.

    Attributes:
        identity: The gateway's own identity, None if it cannot be used.
        tunnels: By tunnel; those are missing whose files cannot be used.
        contents: By key of the configuration.
    """

    identity: PrivateIdentity | None
    tunnels: dict[str, TunnelFiles]
    contents: dict[Key, Content]


def load_tunnel_files(
    tunnel: TunnelConfig,
    own: PublicIdentity,
    *,
    environ: Mapping[str, str] = os.environ,
) -> TunnelFiles:
    """Read what one tunnel names.

    Raises:
        IdentityError: A file is missing, unsafe or damaged; or the peer's identity is
            of another suite than ours, or our own.
    """
    peer = load_public_identity(tunnel.peer_identity)
    judge_peer(tunnel, own, peer)
    psk = load_psk(tunnel.psk_file, environ=environ) if tunnel.psk_file else None
    return TunnelFiles(peer, psk)


def judge_peer(tunnel: TunnelConfig, own: PublicIdentity, peer: PublicIdentity) -> None:
    """See that a peer's identity can be that of a tunnel of ours.

    Raises:
        IdentityError: It is of another suite, or our own.
    """
    if peer.suite_id != own.suite_id:
        raise IdentityError(
            f"{tunnel.peer_identity}: an identity of suite {peer.suite_id}, and ours "
            f"is of suite {own.suite_id}",
            "both ends need identities of one suite: qgw identity new --suite",
        )
    if peer.fingerprint == own.fingerprint:
        raise IdentityError(
            f"{tunnel.peer_identity}: this is our own identity",
            "put the peer's public identity file there",
        )


def contents_of_tunnel(name: str, files: TunnelFiles) -> dict[Key, Content]:
    """Return what tells the files of a tunnel from others, by key."""
    place = ("tunnels", name)
    contents: dict[Key, Content] = {(*place, "peer"): content_of_identity(files.peer)}
    if files.psk is not None:
        contents[*place, "psk"] = content_of_secret(files.psk)
    return contents


class FileChecks:
    """Opens every file once, and keeps what it holds.

    Args:
        notes: Names the files, and takes what is wrong with them.
        environ: Where systemd names its folder of credentials.
    """

    def __init__(self, notes: Notes, environ: Mapping[str, str]) -> None:
        self._notes = notes
        self._config = notes.config
        self._environ = environ
        self._tunnels: dict[str, TunnelFiles] = {}
        self._contents: dict[Key, Content] = {}

    def run(self) -> LoadedFiles:
        """Read all there is."""
        config = self._config
        own = self._load_identity()
        # Without a path the key comes as a credential, which only systemd can show.
        if config.master_key is not None or "CREDENTIALS_DIRECTORY" in self._environ:
            load = functools.partial(load_master_key, config.master_key, self._environ)
            self._keep(("keystore", "master_key"), "a master key file", load)
        for link in config.links.values():
            self._check_link(link)
        for tunnel in config.tunnels.values():
            self._check_tunnel(tunnel, None if own is None else own.public)
        return LoadedFiles(own, self._tunnels, self._contents)

    def _load_identity(self) -> PrivateIdentity | None:
        config, key = self._config, ("gateway", "identity")
        provider = self._try(
            ("gateway", "kem_provider"),
            "a KEM provider of this host",
            lambda: choose_provider(config.kem_provider.value),
        )
        if provider is None:
            return None
        if config.kem_provider is KEMProviderName.AUTO and (why := passed_over()):
            self._notes.warn(
                ("gateway", "kem_provider"),
                "a liboqs that fits",
                f"{why}; OpenSSL is used",
            )
        own = self._try(
            key,
            "a private identity file",
            lambda: load_private_identity(
                config.identity, provider, environ=self._environ
            ),
        )
        if own is not None:
            self._contents[key] = content_of_identity(own.public)
        return own

    def _check_link(self, link: LinkConfig) -> None:
        place = ("links", link.name)
        if link.seed_file is not None:
            load = functools.partial(load_seed, link.seed_file)
            self._keep((*place, "seed_file"), "a seed file", load)
        if link.kme is not None:
            # Imported here: TLS for nothing takes a third of the start of `qgw`.
            from gateway.acceptance.kme_files import KMEFileChecks  # noqa: PLC0415

            def refuse(key: str, expected: str, found: str) -> None:
                self._notes.refuse((*place, key), expected, found)

            def warn(key: str, expected: str, found: str) -> None:
                self._notes.warn((*place, key), expected, found)

            now = datetime.now(UTC)
            KMEFileChecks(link.kme, now, refuse=refuse, warn=warn).run()

    def _check_tunnel(self, tunnel: TunnelConfig, own: PublicIdentity | None) -> None:
        place = ("tunnels", tunnel.name)
        psk: Secret | None = None
        is_right = True
        if tunnel.psk_file is not None:
            load = functools.partial(load_psk, tunnel.psk_file, environ=self._environ)
            psk = self._try((*place, "psk"), "a PSK file", load)
            is_right = psk is not None
        peer = self._try(
            (*place, "peer"),
            "a public identity file",
            lambda: load_public_identity(tunnel.peer_identity),
        )
        if peer is None or own is None:
            return
        if self._try_peer(tunnel, own, peer) and is_right:
            files = self._tunnels[tunnel.name] = TunnelFiles(peer, psk)
            self._contents |= contents_of_tunnel(tunnel.name, files)

    def _try_peer(
        self, tunnel: TunnelConfig, own: PublicIdentity, peer: PublicIdentity
    ) -> bool:
        try:
            judge_peer(tunnel, own, peer)
        except IdentityError as error:
            self._refuse(
                ("tunnels", tunnel.name, "peer"),
                f"the peer's identity, of suite {own.suite_id} as this gateway's",
                error,
            )
            return False
        return True

    def _keep(self, key: Key, expected: str, load: Callable[[], Secret]) -> None:
        """Try to read a secret, and keep what tells it from another one."""
        secret = self._try(key, expected, load)
        if secret is not None:
            self._contents[key] = content_of_secret(secret)
            secret.wipe()

    def _try(self, key: Key, expected: str, load: Callable[[], T]) -> T | None:
        try:
            return load()
        except GatewayError as error:
            self._refuse(key, expected, error)
            return None

    def _refuse(self, key: Key, expected: str, error: GatewayError) -> None:
        hint = f" ({error.hint})" if error.hint else ""
        self._notes.refuse(key, expected, f"{error.message}{hint}")
