"""The operator's settings of one KME, as frozen typed objects.

Paths are absolute. Nothing here has been opened.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from gateway.kme.space_settings import SpaceSettings

DEFAULT_KEY_SIZE: Final = 256
"""Bits; what an AES-256 key takes, and every vendor's default."""

MIN_KEY_SIZE: Final = 64
"""Bits; the shortest key that KMEs in the field give."""

MAX_KEY_SIZE: Final = 1024
"""Bits; the longest key that most KMEs in the field give."""

DEFAULT_MAX_KEY_PER_REQUEST: Final = 128

MAX_KEY_PER_REQUEST: Final = 1024
"""As many key_IDs as fit a request body with room to spare."""

DEFAULT_MAX_KEY_COUNT: Final = 100_000
"""Keys each end stores; five months of one tunnel at one key every two minutes."""

DEFAULT_REQUESTS_PER_SECOND: Final = 100.0
"""For each SAE; with batches of 64 that is six times what the best fibre link gives."""

DEFAULT_MAX_WAITING: Final = 1_000_000
"""Keys that may wait for slave SAEs to fetch them; beyond, the oldest are dropped."""


class End(StrEnum):
    """Which end of the simulated link this KME is; one of each makes a link."""

    ALICE = "alice"
    """Runs the model of the link, and tells the other end what it gave."""
    BOB = "bob"


@dataclass(frozen=True, slots=True)
class SAESettings:
    """An SAE of this site.

    Attributes:
        slaves: SAEs of the other site that it may draw keys for (``enc_keys``).
        masters: SAEs of the other site whose keys it may fetch (``dec_keys``).
    """

    slaves: frozenset[str] = frozenset()
    masters: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """The simulated quantum link.

    Attributes:
        end: Which end this is.
        seed_file: File with the secret that both ends share.
        model: What makes the key rate: ``constant``, ``fibre`` or ``satellite``.
        parameters: Of the model, by name.
        space: Of a satellite: what is no figure.
    """

    end: End
    seed_file: Path
    model: str = "constant"
    parameters: Mapping[str, float | str] = field(default_factory=dict)
    space: SpaceSettings = field(default_factory=SpaceSettings)


@dataclass(frozen=True, slots=True)
class KmePeerSettings:
    """The KME at the other end.

    Attributes:
        kme_id: Its KME ID, the common name of its certificate.
        url: ``https://host:port``.
    """

    kme_id: str
    url: str


@dataclass(frozen=True, slots=True)
class KMESettings:
    """One KME.

    Attributes:
        kme_id: Its KME ID, the common name of its certificate.
        host: Address to listen on.
        port: TCP port.
        certificate: PEM file with its certificate and chain, for server and client.
        private_key: PEM file with the private key, mode 0600.
        ca: PEM file with the CAs of SAEs and of the peer KME.
        pool: SQLite file of the key pool.
        control_socket: Unix socket of `qgw-kme`.
        peer: The other end's KME.
        link: The quantum link.
        saes: SAEs of this site by SAE ID.
        key_size: Default size of a key, bits; also what one stored key counts.
        max_key_count: Keys stored at most at this end.
        max_key_per_request: Keys given in one call.
        max_waiting: Keys kept at most for slave SAEs that did not fetch them yet.
        requests_per_second: Calls each SAE may make, or 0 for no limit.
        log_level: Least important lines that are logged.
    """

    kme_id: str
    host: str
    port: int
    certificate: Path
    private_key: Path
    ca: Path
    pool: Path
    control_socket: Path
    peer: KmePeerSettings
    link: LinkSettings
    saes: Mapping[str, SAESettings]
    key_size: int = DEFAULT_KEY_SIZE
    max_key_count: int = DEFAULT_MAX_KEY_COUNT
    max_key_per_request: int = DEFAULT_MAX_KEY_PER_REQUEST
    max_waiting: int = DEFAULT_MAX_WAITING
    requests_per_second: float = DEFAULT_REQUESTS_PER_SECOND
    log_level: str = "info"
