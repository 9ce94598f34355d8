"""Schema of the control socket, as the daemon sends it and `qgw` reads it.

Plain JSON values only. Ages and durations are seconds as floats, rounded by the
reader; identifiers are text. No field ever holds key bytes.
"""

from typing import Final, Literal, NotRequired, TypedDict

Severity = Literal["note", "warning", "critical"]
"""How bad something is: a note asks for nothing."""

QKDKeyState = Literal["fresh", "chained", "none"]
"""``chained``: no key of the epoch's own; the chain carries an earlier one on."""

StockAlarm = Literal["ok", "low", "empty"]


class ErrorCode:
    """Codes of an error answer; docs/control.md lists what each means."""

    BAD_REQUEST: Final = "bad-request"
    UNKNOWN_METHOD: Final = "unknown-method"
    TOO_LARGE: Final = "too-large"
    BUSY: Final = "busy"
    TIMEOUT: Final = "timeout"
    NOT_PERMITTED: Final = "not-permitted"
    NOT_FOUND: Final = "not-found"
    NEEDS_APPROVAL: Final = "needs-approval"
    CONFIG: Final = "config"
    IDENTITY: Final = "identity"
    KEY_STORE: Final = "key-store"
    DATA_PLANE: Final = "data-plane"
    FAILED: Final = "failed"
    INTERNAL: Final = "internal"
    UNREACHABLE: Final = "unreachable"
    """Never sent: the client's own, when no daemon answers."""


class Method:
    """Names of the methods."""

    STATUS: Final = "status"
    TUNNEL_LIST: Final = "tunnel.list"
    TUNNEL_SHOW: Final = "tunnel.show"
    TUNNEL_UP: Final = "tunnel.up"
    TUNNEL_DOWN: Final = "tunnel.down"
    TUNNEL_ROTATE: Final = "tunnel.rotate"
    RELOAD: Final = "reload"
    KEYSTORE_STATUS: Final = "keystore.status"
    KEYSTORE_IMPORT: Final = "keystore.import"
    KEYSTORE_PURGE: Final = "keystore.purge"
    QKD_LINKS: Final = "qkd.links"
    QKD_STATUS: Final = "qkd.status"
    QKD_FETCH: Final = "qkd.fetch"
    QKD_TEST: Final = "qkd.test"
    NETWORK: Final = "network"
    IDENTITY_SHOW: Final = "identity.show"
    APPROVALS: Final = "approvals"
    APPROVE: Final = "approve"


class AlertKind:
    """Kinds of alerts; docs/troubleshooting.md says what each asks for.

    A tunnel that is not up has one more, ``tunnel-`` and its state.
    """

    CANNOT_START: Final = "cannot-start"
    ROTATION_FAILS: Final = "rotation-fails"
    FAULT: Final = "fault"
    FENCE_OUTWARD: Final = "fence-outward"
    FENCE_INWARD: Final = "fence-inward"
    FENCE_MEANWHILE: Final = "fence-meanwhile"
    FENCE_MISSING: Final = "fence-missing"
    FENCE_UNAVAILABLE: Final = "fence-unavailable"
    FENCE_UNRECORDED: Final = "fence-unrecorded"
    FENCE_RESTORED: Final = "fence-restored"
    KERNEL_MISSING: Final = "kernel-missing"
    KERNEL_RESTORED: Final = "kernel-restored"
    NOT_APPLIED: Final = "not-applied"
    LEASE_IN_PREFIX: Final = "lease-in-remote-prefix"
    UNASKED_IN_PREFIX: Final = "new-in-remote-prefix"
    CONNECTED_IN_PREFIX: Final = "connected-in-remote-prefix"
    CONNECTED_IN_FULL_TUNNEL: Final = "connected-in-full-tunnel"
    KME: Final = "kme"
    KEY_STORE: Final = "key-store"
    STOCK_LOW: Final = "stock-low"
    STOCK_EMPTY: Final = "stock-empty"
    CERTIFICATE_ENDS: Final = "certificate-ends"
    CERTIFICATE_ENDED: Final = "certificate-ended"
    SIMULATED: Final = "simulated"
    FORWARDING_OFF: Final = "forwarding-off"
    REVERSE_PATH_STRICT: Final = "reverse-path-strict"
    NAMESERVER_COVERED: Final = "nameserver-covered"
    ADDRESS_ABSENT: Final = "address-absent"
    UNSENT: Final = "unsent"
    RELAY: Final = "relay"
    STRANGER: Final = "stranger"
    APPROVAL_WAITING: Final = "approval-waiting"


class Approval(TypedDict):
    """An act that waits for a second person, of ``approvals``."""

    id: int
    act: str
    what: str
    asked_by: str
    left_s: float


class ApproveResult(TypedDict):
    """Answer of ``approve``: what was done, and what that answered."""

    act: str
    what: str
    asked_by: str
    result: object


class IdentityStatus(TypedDict):
    """The daemon's own identity, public parts only."""

    fingerprint: str
    suite: int


class PlaneStatus(TypedDict):
    """Whether this kernel can do one data plane; `detail` says what it lacks."""

    plane: str
    supported: bool
    detail: str


class InForceStatus(TypedDict):
    """Where the newest committed epoch is proven in force, and since when."""

    local: bool
    peer: bool
    since_s: float | None


class FailureStatus(TypedDict):
    """The last rotation that did not commit."""

    reason: str
    detail: str
    ago_s: float


class FailingStatus(TypedDict):
    """Attempts at a new epoch that failed since the last one in force.

    `reason` is the last one's in a word, `detail` in a line; `since_s` is how long ago
    the first of them ended.
    """

    attempts: int
    since_s: float
    reason: str
    detail: str


class TunnelStatus(TypedDict):
    """One tunnel.

    `state` is ``down``, ``connecting``, ``unproven`` (keys were agreed, and no packet
    under them has arrived at both ends), ``up`` (an epoch is in force at both ends) or
    ``blocked`` (fail-closed: nothing leaves, in clear or under an old key). `reason`
    and `hint` say why it is not up and what to do; with `failing`, `hint` is about
    that. `started` is false while something keeps the tunnel from starting at all.
    `peer_address` is where the peer was last heard authentically, and `endpoint` that
    or what is configured.
    `sources` names what the epoch's keys were mixed from: ``x25519`` or ``p-384``,
    ``ml-kem-768`` or ``ml-kem-1024``, ``qkd``, ``chain``, ``psk``. `qkd_key` says
    whether the epoch has a fresh QKD key of its own or depends by the chain on one of
    `qkd_age` epochs ago; both are null where that is unknown, in an epoch that an
    earlier run of the daemon made. Bytes and packets are what the tunnel has carried
    since the host booted, probes and keepalives included: they only grow. Packets are
    null where the plane counts none. `received_ago_s` is how long ago a reading of the
    kernel last found that something had come, null while none has. `faults` are things
    that work but should not stay so, such as policies that differ.
    """

    name: str
    enabled: bool
    started: bool
    state: str
    reason: str
    hint: str
    role: str
    peer: str
    endpoint: str | None
    peer_address: str | None
    plane: str
    interface: str
    suite: int
    qkd: str
    qkd_every: int
    peer_qkd: str | None
    peer_qkd_every: int | None
    link: str | None
    epoch: int | None
    in_force: InForceStatus
    sources: list[str]
    key_id: str | None
    qkd_key: QKDKeyState | None
    qkd_age: int | None
    epoch_age_s: float | None
    next_rotation_s: float | None
    lifetime_left_s: float | None
    rotations: int
    failed_rotations: int
    rx_bytes: int
    tx_bytes: int
    rx_packets: int | None
    tx_packets: int | None
    received_ago_s: float | None
    sent_ago_s: float | None
    last_failure: FailureStatus | None
    failing: FailingStatus | None
    faults: list[str]


class DeviceStatus(TypedDict):
    """One interface that carries a tunnel (`gateway.dataplane.view.DeviceView`)."""

    name: str
    up: bool
    addresses: list[str]
    mtu: int
    port: int | None
    public_key: str


class SessionStatus(TypedDict):
    """One epoch's keys in the kernel (`gateway.dataplane.view.SessionView`).

    SPIs are numbers, null on WireGuard; `peer_key` is the peer's WireGuard public key,
    base64, empty on ESP.
    """

    epoch: int
    active: bool
    device: str
    local: str
    peer: str
    spi_in: int | None
    spi_out: int | None
    peer_key: str


class TunnelFenceStatus(TypedDict):
    """What the fence does for one tunnel.

    `dropped_out` are packets for its remote prefixes that went another way than the
    tunnel, or came while it was not up; `dropped_in` those from there that came another
    way, or would have left by another interface than that of their local network. Both
    only grow while the fence stands. `granted_s` is how long packets may still pass if
    no further epoch comes into force.
    """

    dropped_out: int
    dropped_in: int
    granted_s: float


class TunnelDetails(TunnelStatus):
    """Answer of ``tunnel.show``: one tunnel, and what is real of it in the kernel.

    `local_address` is our own outer address as the peer knows it, null where the
    routing table chooses. `mtu` is the inner one in force: on the WireGuard planes that
    of its routes, for the devices, which all tunnels share, have the largest.
    """

    local_address: str | None
    local_subnets: list[str]
    remote_subnets: list[str]
    mtu: int | None
    devices: list[DeviceStatus]
    sessions: list[SessionStatus]
    fence: TunnelFenceStatus | None


class LinkStatus(TypedDict):
    """One QKD link's stock (`gateway.keystore.base.StockStatus`) and its alarm."""

    link: str
    source: str
    simulated: bool
    available: int
    unconfirmed: int
    reserved: int
    consumed: int
    expired: int
    rate_in: float
    rate_out: float
    seconds_to_empty: float | None
    low_water: int
    alarm: StockAlarm


class Alert(TypedDict):
    """One thing that is not as it should be.

    `kind` is a word for scripts; docs/troubleshooting.md lists them. `about` is
    ``gateway``, ``tunnel`` or ``link``, and `name` the tunnel's or link's. `hint` says
    what to do, and is empty where there is nothing to do.
    """

    severity: Severity
    kind: str
    about: str
    name: str
    text: str
    hint: str


class FenceStatus(TypedDict):
    """Whether the fence stands; `reason` says why it does not, or only in part."""

    present: bool
    reason: str


class StatusResult(TypedDict):
    """Answer of ``status``.

    `warnings` are the texts of `alerts`, each with the name of what it is about.
    """

    version: str
    pid: int
    uptime_s: float
    identity: IdentityStatus
    kem_provider: str
    listen: list[str]
    planes: list[PlaneStatus]
    dropped: dict[str, int]
    tunnels: list[TunnelStatus]
    links: list[LinkStatus]
    fence: FenceStatus
    alerts: list[Alert]
    warnings: list[str]


class ReloadResult(TypedDict):
    """Answer of ``reload``: names of tunnels and links, and what was not applied.

    `restart_needed` are dotted TOML keys that only a restart of the daemon applies.
    `details` says by name what changed; a peer with both fingerprints. `warnings` are
    problems that stood before and do not concern what changed, keys that are new and do
    nothing here, and networks of this host that pass beside tunnels; those that did not
    before are in `changed`, as ``local networks``, too. `failed` says what the kernel
    would not do, by name of a tunnel or ``fence``.
    """

    added: list[str]
    removed: list[str]
    changed: list[str]
    unchanged: list[str]
    restart_needed: list[str]
    details: dict[str, str]
    warnings: list[str]
    failed: dict[str, str]


class RefusedKey(TypedDict):
    """One key that was not imported (`gateway.keystore.base.Refusal`)."""

    key_id: str
    reason: str


class ImportResult(TypedDict):
    """Answer of ``keystore.import`` (`gateway.keystore.base.ImportReport`)."""

    added: int
    refused: list[RefusedKey]


class PurgeResult(TypedDict):
    """Answer of ``keystore.purge``."""

    erased: int


class ErrorBody(TypedDict):
    """What the ``error`` member of an answer holds."""

    code: str
    message: str
    hint: str
    details: NotRequired[list[str]]
