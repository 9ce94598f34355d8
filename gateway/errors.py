"""Every error this package raises.

::

    GatewayError
    ├── ConfigError              the operator's files are wrong
    ├── IdentityError            an identity file is wrong or unsafe
    ├── CryptoError              a primitive refused its input
    ├── ProtocolError            a peer's bytes are wrong (never leaves the machine)
    ├── KeyStoreError            the key store cannot do what was asked
    │   ├── KeyUnavailableError  no such key is there to reserve or consume
    │   └── KeyFileError         a key container cannot be read at all
    ├── KeySourceError           a KME cannot give keys, or what it gave is wrong
    ├── RelayError               a key could not be carried over trusted nodes
    ├── QuantumLinkError         a simulated quantum link cannot be modelled
    ├── OrbitError               orbital elements or a station cannot be used
    ├── KMEError                 our own KME cannot start, or be controlled
    ├── DataPlaneError           the kernel refused
    │   ├── PlaneUnsupportedError   this kernel lacks what the plane needs
    │   ├── PlanePermissionError    CAP_NET_ADMIN is missing
    │   └── PlaneConflictError      a name or an address is taken
    └── ControlError             the control socket: not there, refused, bad request

An error says what went wrong (`message`) and what to do about it (`hint`).
Neither ever carries key bytes.
"""

import errno
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class GatewayError(Exception):
    """Base of all errors of this package.

    Attributes:
        message: What went wrong, one line, no trailing full stop.
        hint: What the operator can do about it; empty when there is nothing to say.
        retryable: Whether trying again later, unchanged, can succeed. Nobody knows of
            most errors that it cannot.
    """

    def __init__(self, message: str, hint: str = "", *, retryable: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retryable = retryable

    @property
    def advice(self) -> str:
        """Message and hint in one line."""
        return f"{self.message}; {self.hint}" if self.hint else self.message


OPERATORS_ERRNO: Final = frozenset(
    {
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR),
        *(errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL),
    }
)
"""Answers of the system about a path or an address that time does not change."""


EXHAUSTED_ERRNO: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
)
"""What the system answers when this host, or this process, has run out."""


def passes(error: OSError) -> bool:
    """Say whether a refusal of the system may pass by itself."""
    return error.errno not in OPERATORS_ERRNO


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing wrong in the operator's files.

    Attributes:
        file: Path of the file as the operator would type it.
        line: Line number from 1, or 0 when the problem is not at one line.
        key: Dotted TOML key, for example ``tunnels.paris.qkd``.
        expected: What would have been right.
        found: What is there.
    """

    file: str
    line: int
    key: str
    expected: str
    found: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.key}: expected {self.expected}, found {self.found}"


class ConfigError(GatewayError):
    """Raised when configuration files cannot be used; carries every problem at once."""

    def __init__(self, problems: tuple[ConfigProblem, ...]) -> None:
        count = len(problems)
        super().__init__(
            f"{count} problem{'s' if count != 1 else ''} in the configuration",
            "correct them and run: qgw config check",
            retryable=False,
        )
        self.problems = problems


class IdentityError(GatewayError):
    """Raised when an identity file is malformed, truncated, unsafe or would be lost."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint, retryable=False)


class CryptoError(GatewayError):
    """Raised when a primitive refuses its input: wrong size, bad point, failed tag."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint, retryable=False)


class ProtocolError(GatewayError):
    """Raised inside the protocol machine when a peer's bytes are wrong.

    Attributes:
        reason: Short machine-readable reason; becomes `DatagramDropped.reason`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class KeyStoreError(GatewayError):
    """Raised when the key store cannot do what was asked."""

    def __init__(
        self, message: str, hint: str = "", *, retryable: bool = False
    ) -> None:
        super().__init__(message, hint, retryable=retryable)


class KeyUnavailableError(KeyStoreError):
    """Raised when no key, or not the key named, is there to reserve or consume."""


class KeyFileError(KeyStoreError):
    """Raised when a key container cannot be read at all."""


class SourceFault(StrEnum):
    """What is wrong between us and a KME; decides whether and when to try again."""

    UNREACHABLE = "unreachable"
    """No connection: refused, no route, name not found, dropped half-way."""
    TIMEOUT = "timeout"
    """No whole answer in time."""
    TLS = "tls"
    """No common protocol version or cipher, or no TLS at all."""
    CERTIFICATE = "certificate"
    """The KME's certificate: unknown CA, expired, not yet valid, another name."""
    CREDENTIALS = "credentials"
    """Our own certificate or key: unreadable, expired, refused by the KME."""
    UNAUTHORIZED = "unauthorized"
    """The KME knows us and will not serve us: 401 or 403."""
    REJECTED = "rejected"
    """The KME calls our request wrong: other 4xx; asking again changes nothing."""
    EMPTY = "empty"
    """The KME has no key for us now."""
    MISSING = "missing"
    """The KME does not hold the keys named, or no longer."""
    OVERLOADED = "overloaded"
    """The KME asks us to wait: 429, or 503 without saying it is empty."""
    SERVER = "server"
    """The KME failed: other 5xx."""
    MALFORMED = "malformed"
    """What came is not what the standard describes."""
    OVERSIZED = "oversized"
    """More came than any honest answer has."""


class KeySourceError(GatewayError):
    """Raised when a KME cannot give keys, or gives what cannot be right.

    Attributes:
        source: The KME, as configured: its URL without path, never with credentials.
        call: The call, for example ``enc_keys``.
        fault: What kind of thing is wrong.
        retry_after: Seconds the KME asked us to wait, or None.
        calls: Calls that were made, where a refused batch was halved.
        is_json: Whether the KME answered, with an error written in JSON.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        source: str,
        call: str,
        fault: SourceFault,
        retry_after: float | None = None,
        is_json: bool = False,
    ) -> None:
        super().__init__(f"{source}: {call}: {message}", hint)
        self.calls = 1
        self.source = source
        self.call = call
        self.fault = fault
        self.retry_after = retry_after
        self.is_json = is_json


class RelayFault(StrEnum):
    """What went wrong with a relayed key, or with the route it should have taken."""

    MALFORMED = "malformed"
    """Truncated, padded, of another version, or a field out of its bounds."""
    FORGED = "forged"
    """The one-time authenticator does not fit."""
    REPLAYED = "replayed"
    """Its authenticator's key was used before."""
    WRONG_HOP = "wrong-hop"
    """It was not made for the hop on which it came."""
    UNEXPECTED = "unexpected"
    """An answer to nothing that is under way here."""
    OUT_OF_STEP = "out-of-step"
    """The receiver does not hold pads that the sender used."""
    PADS_EXHAUSTED = "pads-exhausted"
    """The link has too few pads for the batch."""
    LOST = "lost"
    """No answer in time: a node or a link is gone."""
    BUSY = "busy"
    """A node has as much under way as it can bear."""
    STORE = "store"
    """A node's key store failed."""
    UNKNOWN_NODE = "unknown-node"
    """The network, or the node asked to pass on, knows no such node."""
    LOOP = "loop"
    """The route visits a node twice."""
    NO_PATH = "no-path"
    """No path, or not as many disjoint ones as asked, has links up and pads enough."""


class RelayError(GatewayError):
    """Raised when a key cannot be carried over trusted nodes.

    Attributes:
        fault: What kind of thing is wrong.
        node: The node where it happened, or empty when that is here.
    """

    def __init__(
        self, message: str, hint: str = "", *, fault: RelayFault, node: str = ""
    ) -> None:
        super().__init__(message, hint)
        self.fault = fault
        self.node = node


class KMEError(GatewayError):
    """Raised when our own KME (`qgw-kme`) cannot start, go on, or be controlled."""


class QuantumLinkError(GatewayError):
    """Raised when a simulated quantum link cannot be modelled.

    Its figures are impossible, or the package that computes key rates is missing.
    """


class OrbitFault(StrEnum):
    """What is wrong with a satellite's orbit, or with what was asked of it."""

    FILE = "file"
    """The TLE file cannot be read, or is too large."""
    FORMAT = "format"
    """What is there is no two-line element set."""
    CHECKSUM = "checksum"
    """A line is damaged."""
    RANGE = "range"
    """An element, or an argument, is beyond what can be."""
    EPOCH = "epoch"
    """The elements' date is no date."""
    STALE = "stale"
    """The elements are too far away from the time asked for."""
    DECAYED = "decayed"
    """The elements lead to no orbit, or into the ground."""
    TIME = "time"
    """The span of time is empty, too long, or beyond what the formulas hold for."""
    STATION = "station"
    """The station is nowhere on the Earth."""


class OrbitError(GatewayError):
    """Raised when passes of a satellite cannot be predicted.

    Attributes:
        fault: What kind of thing is wrong.
    """

    def __init__(self, message: str, hint: str = "", *, fault: OrbitFault) -> None:
        super().__init__(message, hint)
        self.fault = fault


class DataPlaneError(GatewayError):
    """Raised when the kernel refuses what a data plane asked."""

    def __init__(
        self, message: str, hint: str = "", *, retryable: bool = False
    ) -> None:
        super().__init__(message, hint, retryable=retryable)


class PlaneUnsupportedError(DataPlaneError):
    """Raised when this kernel lacks something; the hint says what to install."""


class PlanePermissionError(DataPlaneError):
    """Raised when the process may not configure the network."""


class PlaneConflictError(DataPlaneError):
    """Raised when a name or address belongs to something we did not create."""


class ControlError(GatewayError):
    """Raised at the control socket: not there, refused, or a bad request.

    Attributes:
        code: One of the codes listed in docs/control.md.
        details: Further lines, for example one per problem of a configuration.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        code: str = "failed",
        details: tuple[str, ...] = (),
        retryable: bool = True,
    ) -> None:
        super().__init__(message, hint, retryable=retryable)
        self.code = code
        self.details = details
