"""Schema of the ``qkd.`` methods' answers (`gateway.control.schema` has the rest).

Plain JSON values only; ages and durations are seconds, sizes of keys are bits.
"""

from typing import Literal, TypedDict

from gateway.control.schema import LinkStatus

FindingGrade = Literal["ok", "warning", "failed"]


class QKDLink(TypedDict):
    """One QKD link as configured, and how it does: a row of ``qkd.links``.

    `kmes` are URLs, the preferred one first; empty unless `source` is ``etsi014`` or
    ``skip``. `route` says where relayed keys go, and is empty for others. `draws` says
    that this end draws new keys, and the peer fetches them. `tunnels` are those that
    use its keys. `error` is what the KME's last answer was wrong with.
    """

    link: str
    source: str
    simulated: bool
    kmes: list[str]
    route: str
    sae_id: str
    peer_sae_id: str
    draws: bool
    tunnels: list[str]
    stock: LinkStatus
    error: str


class Supply(TypedDict):
    """What was done to fill a link's stock (`gateway.supply.machine.SupplyStatus`)."""

    calls: int
    drawn: int
    fetched: int
    announced: int
    asks: bool
    peer_available: int | None
    compared_ago_s: float | None
    refused: dict[str, int]
    error: str
    hint: str
    retry_in_s: float


class KMEReport(TypedDict):
    """What a KME says of a link (`gateway.sources.base.KMEStatus`).

    `certificate_expires` is when our own certificate ends, ISO 8601 in UTC.
    """

    source: str
    source_kme_id: str
    target_kme_id: str
    key_size: int
    stored_key_count: int | None
    max_key_count: int | None
    max_key_per_request: int
    notes: list[str]
    certificate_expires: str | None
    tls_group: str


class KMETrouble(TypedDict):
    """Why a KME says nothing; `fault` is one of `gateway.errors.SourceFault`."""

    message: str
    hint: str
    fault: str


class QKDStatus(TypedDict):
    """Everything about one link's supply: ``qkd.status``.

    `unconfirmed` keys are in stock, and the peer is not known to hold them.
    `scheduled_rate` is keys a second that the tunnels' schedule takes, and
    `scheduled_empty_s` how long the stock lasts at that, None while no tunnel uses it;
    `stock` has what was measured. `supply` is None for a simulated link. Of `kme` and
    `kme_trouble` both are None for a link without KMEs.
    """

    link: str
    description: str
    draws: bool
    tunnels: list[str]
    stock: LinkStatus
    unconfirmed: int
    target: int
    capacity: int
    scheduled_rate: float
    scheduled_empty_s: float | None
    supply: Supply | None
    kme: KMEReport | None
    kme_trouble: KMETrouble | None


class FetchResult(TypedDict):
    """What ``qkd.fetch`` brought.

    `error` says why fewer than `wanted` came, empty if all did; `refused` counts keys
    that came and were turned away, by reason. `available` is the stock afterwards.
    """

    link: str
    wanted: int
    drawn: int
    refused: dict[str, int]
    available: int
    unconfirmed: int
    error: str
    hint: str


class QKDFinding(TypedDict):
    """One thing that a test found (`gateway.sources.diagnosis.findings.Finding`).

    `source` is the KME's URL, empty for what concerns all of a link's; `step` is one of
    `gateway.sources.diagnosis.findings.Step`, explained in docs/qkd.md.
    """

    source: str
    step: str
    grade: FindingGrade
    text: str
    hint: str


class QKDTestResult(TypedDict):
    """What ``qkd.test`` found, in order.

    `ok` says that no step failed, and `complete` that there was time for all of them.
    """

    link: str
    ok: bool
    complete: bool
    findings: list[QKDFinding]
