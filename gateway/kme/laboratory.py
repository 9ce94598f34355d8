"""A laboratory of two KMEs: a PKI, a seed, a configuration each.

::

    DIR/ca/             ca.pem ca.key       the CA; its key stays here
    DIR/alice/          kme.toml ca.pem kme.pem kme.key link.seed
    DIR/alice/GATEWAY/  ca.pem client.pem client.key    for the gateway of that site
    DIR/bob/ ...        the same

Each site's folder is what that site gets, and nothing of it is the other's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from gateway.config.private_files import (
    PUBLIC_MODE,
    write_new_file,
)
from gateway.errors import IdentityError, KMEError
from gateway.kme.pki import LaboratoryCA, TlsFiles
from gateway.kme.seed import create_seed, write_seed
from gateway.kme.settings import End

DEFAULT_PORT: Final = 8443


@dataclass(frozen=True, slots=True)
class Site:
    """One site of a laboratory.

    Attributes:
        kme_id: KME ID.
        host: Name or address by which its SAEs and the other KME call the KME.
        port: TCP port.
        sae_ids: SAEs of the site.
    """

    kme_id: str
    host: str
    port: int
    sae_ids: Sequence[str]

    @property
    def url(self) -> str:
        """``https://host:port``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class SiteFiles:
    """What a site gets.

    Attributes:
        config: The KME's configuration.
        url: Where the KME is called.
        saes: Credentials of its SAEs, by SAE ID.
    """

    config: Path
    url: str
    saes: dict[str, TlsFiles]


def make_laboratory(
    folder: Path,
    alice: Site,
    bob: Site,
    *,
    link_lines: Sequence[str] = (),
    local: bool = False,
) -> dict[End, SiteFiles]:
    """Make the folder of a laboratory.

    Args:
        folder: Where; must not be there, or be empty.
        alice: Site that runs the model of the link.
        bob: The other one.
        link_lines: TOML lines of ``[link]``: model and its parameters.
        local: Keep pool and control socket in the folder, too, to try it all on one
            machine; otherwise they are where the systemd unit has them.

    Raises:
        KMEError: The folder is not empty, or a file cannot be written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except OSError as error:
        raise KMEError(
            f"cannot make {folder}: {(error.strerror or 'an error').lower()}"
        ) from None
    if not is_empty:
        raise KMEError(f"{folder} is not empty", "name a new folder")
    made = _make_folder(folder / "ca")
    authority = LaboratoryCA(made)
    seed = create_seed()
    files = {}
    for end, site, other in ((End.ALICE, alice, bob), (End.BOB, bob, alice)):
        home = _make_folder(folder / end.value)
        _write(home / "ca.pem", authority.certificate.read_bytes())
        write_seed(home / "link.seed", seed)
        issued = authority.issue_kme(site.kme_id, [site.host], folder=home)
        issued.certificate.rename(home / "kme.pem")
        issued.private_key.rename(home / "kme.key")
        saes = {sae_id: _issue_sae(authority, home, sae_id) for sae_id in site.sae_ids}
        text = _config(end, site, other, link_lines, local=local)
        _write(home / "kme.toml", text.encode())
        files[end] = SiteFiles(home / "kme.toml", site.url, saes)
    return files


def _issue_sae(authority: LaboratoryCA, home: Path, sae_id: str) -> TlsFiles:
    folder = _make_folder(home / quote(sae_id, safe=""))
    issued = authority.issue_sae(sae_id, folder=folder)
    _write(folder / "ca.pem", authority.certificate.read_bytes())
    return TlsFiles(
        issued.certificate.rename(folder / "client.pem"),
        issued.private_key.rename(folder / "client.key"),
        folder / "ca.pem",
    )


def _config(
    end: End, site: Site, other: Site, link_lines: Sequence[str], *, local: bool
) -> str:
    any_address = "[::]" if ":" in site.host else "0.0.0.0"  # noqa: S104  # a server
    lines = [
        f"# KME {site.kme_id}: one end of a simulated QKD link, NOT quantum keys.",
        "",
        "[kme]",
        f"id = {_quoted(site.kme_id)}",
        f'listen = "{any_address}:{site.port}"',
        'certificate = "kme.pem"',
        'private_key = "kme.key"',
        'ca = "ca.pem"',
        *(('pool = "pool/kme.db"', 'control_socket = "control.sock"') if local else ()),
        "",
        "[peer]",
        f"id = {_quoted(other.kme_id)}",
        f"url = {_quoted(other.url)}",
        "",
        "[link]",
        f'end = "{end}"',
        'seed_file = "link.seed"',
        *link_lines,
    ]
    peers = "[" + ", ".join(_quoted(sae_id) for sae_id in other.sae_ids) + "]"
    for sae_id in site.sae_ids:
        lines += [
            "",
            f"[saes.{_quoted(sae_id)}]",
            f"slaves = {peers}",
            f"masters = {peers}",
        ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _make_folder(path: Path) -> Path:
    path.mkdir(mode=0o700)
    return path


def _write(path: Path, content: bytes) -> None:
    try:
        write_new_file(path, content, PUBLIC_MODE)
    except IdentityError as error:
        raise KMEError(error.message, error.hint) from None
